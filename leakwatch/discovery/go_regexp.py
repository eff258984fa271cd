"""Regular expressions and replacements with Go's semantics, which rules written for Prometheus expect.

RE2 does the matching. Go has the syntax of RE2 and chooses the same match, and the time grows linearly with the
text, for any pattern. Python's `re` has another syntax, gives some patterns another meaning, and can backtrack
without end: `(a+)+b` on one long annotation would block the daemon.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from leakwatch.errors import quote

if TYPE_CHECKING:
    from re2 import _Regexp

MATCH_ALL = "(.*)"
ESCAPES = re.compile(r"\\Q.*?(?:\\E|$)|\\[^C]", re.DOTALL)
r"""Parts of a pattern in which \C has no meaning of its own: a quotation, and an escaped backslash."""
GROUP_NAME = re.compile(r"\w+")
GROUP_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")

MAX_CACHED_LENGTH = 64  # characters; longer texts rarely repeat, and would take memory

Groups = tuple[str, ...]
"""Groups of a match, the whole match first; "" for a group that did not take part."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """A compiled pattern, anchored at both ends as in Prometheus."""

    text: str
    group_count: int
    """Number of groups, without the whole match."""
    group_names: dict[str, int]
    """Number of each named group."""
    regexp: "_Regexp[bytes] | None"
    """None for `MATCH_ALL`, the pattern of most rules."""

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches all of `text`."""
        return self.groups(text) is not None

    def groups(self, text: str) -> Groups | None:
        """Return the groups of `text`, or None if the pattern does not match."""
        if self.regexp is None:
            return text, text
        # The same few label names and short values repeat over thousands of targets.
        return _cached_groups(self, text) if len(text) <= MAX_CACHED_LENGTH else self.search(text)

    def search(self, text: str) -> Groups | None:
        """Return the groups of `text` without the cache."""
        match = self.regexp.search(text.encode()) if self.regexp else None
        return (match.group().decode(), *(group.decode() for group in match.groups(b""))) if match else None


@lru_cache(maxsize=4096)
def _cached_groups(pattern: Pattern, text: str) -> Groups | None:
    return pattern.search(text)


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Compile a pattern; raises ValueError for syntax that RE2 does not support, such as (?=...)."""
    if text == MATCH_ALL:
        return Pattern(text=text, group_count=1, group_names={}, regexp=None)
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        regexp = re2.compile(f"^(?s:{text})$".encode(), options)
    except re2.error as error:
        message = str(error.args[0], "utf-8", "replace").replace(f"^(?s:{text})$", text)
        raise ValueError(f"{quote(text)} is not a regular expression (RE2): {message}") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{quote(text)} is not valid Unicode") from error
    if r"\C" in ESCAPES.sub("", text):  # RE2 accepts \C, which matches a byte within a letter; Go does not
        raise ValueError(rf"{quote(text)} is not a regular expression (RE2): invalid escape sequence: \C")
    names = {name.decode(): number for name, number in regexp.groupindex.items()}
    return Pattern(text=text, group_count=regexp.groups, group_names=names, regexp=regexp)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement of a match. Each piece is text or the number of a group."""

    pieces: tuple[str | int, ...]

    def expand(self, groups: Groups) -> str:
        """Return the replacement of one match."""
        return "".join([piece if isinstance(piece, str) else groups[piece] for piece in self.pieces])


def parse_replacement(text: str, pattern: Pattern) -> Replacement:
    """Parse a replacement with references `$1`, `${1}` and `${name}`; `$$` is a dollar sign.

    As in Go, a name is as long as possible ($1x means ${1x}), a reference to a group that `pattern` does not have
    is empty, and a dollar sign before any other text is literal.
    """
    pieces: list[str | int] = []
    while text:
        before, dollar, text = text.partition("$")
        pieces.append(before)
        if not dollar:
            break
        if text.startswith("$"):
            pieces.append("$")
            text = text[1:]
            continue
        name, length = _reference(text)
        text = text[length:]
        number = _group_number(name, pattern) if name else None
        if number is not None:
            pieces.append(number)
        elif not name:
            pieces.append("$")
    return Replacement(tuple(piece for piece in pieces if piece != ""))


def _reference(text: str) -> tuple[str, int]:
    """Return the group name at the start of `text` and its length with braces; "" and 0 if there is none."""
    brace = text.startswith("{")
    match = GROUP_NAME.match(text, int(brace))
    # Letters and decimal digits of any script. Python's \w also matches other numbers, such as ² and Ⅷ.
    name = match[0] if match else ""
    end = next((i for i, c in enumerate(name) if not (c.isalpha() or c.isdecimal() or c == "_")), len(name))
    name = name[:end]
    if not name or (brace and text[1 + end : 2 + end] != "}"):
        return "", 0
    return name, end + 2 * brace


def _group_number(name: str, pattern: Pattern) -> int | None:
    """Return the number of a group, or None if it does not exist. 01 is a name, which a group cannot have."""
    if GROUP_NUMBER.fullmatch(name):
        return int(name) if int(name) <= pattern.group_count else None
    return pattern.group_names.get(name)
