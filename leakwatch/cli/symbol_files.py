"""Files beside saved bodies that name the functions hidden in text."""

import re
from collections.abc import Callable
from pathlib import Path

from leakwatch.errors import ProfileError
from leakwatch.profile import symbols

SYMBOLS = {"symbol", "symbol.txt"}
"""Files for all bodies of a folder."""
FORMAT = re.compile(r"\.(?:txt|pb)(?:\.gz)?$")

Warn = Callable[[str], None]
"""Reports one line about omitted input."""


def recorded_symbols(body: Path, warn: Warn) -> dict[int, str]:
    """Return address -> function from the symbol file of a body, or else from the symbol files of its folder."""
    own = own_symbols(body, warn)
    if own:
        return own
    names: dict[int, str] = {}
    for file in sorted(body.with_name(name) for name in SYMBOLS):
        if file.is_file():
            names |= read_symbols(file, warn)
    return names


def own_symbols(body: Path, warn: Warn) -> dict[int, str]:
    """Return address -> function from the file `<name>.symbol` beside a body; {} if there is none."""
    file = body.with_name(f"{FORMAT.sub('', body.name)}.symbol")
    return read_symbols(file, warn) if file.is_file() else {}


def read_symbols(file: Path, warn: Warn) -> dict[int, str]:
    """Return address -> function from a symbol file; {}, with a warning, if it cannot be read."""
    try:
        return symbols.parse(file.read_bytes())
    except (OSError, ProfileError) as error:
        warn(f"{file}: left out: {error}")
        return {}
