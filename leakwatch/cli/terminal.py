"""Output of the commands: messages on standard error, coloured or plain text on standard output.

NO_COLOR and FORCE_COLOR are respected. Text from services is escaped before it reaches a terminal.
rich is imported on first use, since most commands print nothing with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING

from leakwatch.leaks.wording import short_function
from leakwatch.profile.escape import escaped, escaped_json, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

PIPED_WIDTH = 240  # columns of a table in a pipe


def print_message(line: str) -> None:
    """Print one line to standard error, after the name of the program."""
    with contextlib.suppress(OSError):  # the terminal may be closed
        sys.stderr.write(f"leakwatch: {escaped(line)}\n")
        sys.stderr.flush()


def json_text(document: object) -> str:
    """Return a document as JSON that a terminal can show: names from services are readable, but escaped."""
    return escaped_json(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def console() -> Console:
    """Return a console on standard output, as wide as the terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=False)


def recorder(piped_width: int = PIPED_WIDTH, *, plain: bool = False) -> Console:
    """Return a console that records its output for `recorded`, with the width and colours of standard output.

    `plain`: for a file, which has neither.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty() and not plain
    width = None if terminal else piped_width
    forced = False if plain else terminal or None
    return Console(file=io.StringIO(), force_terminal=forced, width=width, highlight=False)


def recorded(console: Console) -> str:
    """Return the output of a recorder, without spaces at the ends of lines."""
    if not isinstance(console.file, io.StringIO):
        raise TypeError("not a recorder")
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def fits(console: Console, renderable: RenderableType) -> bool:
    """Return whether the terminal is wide enough for `renderable`; in a pipe everything fits."""
    needed = console.measure(renderable, options=console.options.update(max_width=PIPED_WIDTH)).maximum
    return not sys.stdout.isatty() or needed <= console.width


def styled(text: str, style: str = "") -> Text:
    """Return text from a service, without markup and escaped."""
    from rich.text import Text

    return Text(printable(text), style)


def short_cell(text: str, style: str = "") -> Text:
    """Return a cell for a narrow table: a name without its path, cut with "…" and never wrapped."""
    from rich.text import Text

    return Text(short_function(printable(text)), style, no_wrap=True, overflow="ellipsis")


def with_position(cell: Text, position: str) -> Text:
    """Return a cell with a file position below, dimmed, if it is known."""
    return cell.append(f"\n{printable(position)}", "not bold dim") if position else cell
