"""Globs of `*` and `?` over a whole text. Not regular expressions: Go names have brackets and dots."""

import re
from collections.abc import Iterable


def glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a glob; "" matches anything."""
    return any_of((pattern,))


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return the regular expression of several globs, of which one must match."""
    return re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in patterns), re.DOTALL)


def _expression(pattern: str) -> str:
    """Return the regular expression of a glob as text.

    It does not backtrack beyond the previous star, so no name takes long.
    """
    first, *others = (".".join(map(re.escape, part.split("?"))) for part in (pattern or "*").split("*"))
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return first + middle + "".join(f".*{part}" for part in others[-1:])
