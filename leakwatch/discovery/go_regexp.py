"""Regular expressions and replacements as Go has them, since that is what rules written for Prometheus mean.

RE2 does the matching: Go took its syntax and its choice among matches from there, and the time it takes grows
with the length of the text, whatever the pattern. Python's own `re` reads other patterns, reads some of the same
ones in another way, and one unlucky `(a+)+b` over one long annotation would stop the whole daemon.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from leakwatch.errors import quote

if TYPE_CHECKING:
    from re2 import _Regexp

EVERYTHING = "(.*)"
QUOTED = re.compile(r"\\Q.*?(?:\\E|$)|\\[^C]", re.DOTALL)
"""What may hold a harmless \\C: a quotation, or a backslash that is escaped itself."""
WORD = re.compile(r"\w+")
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")

REMEMBERED = 64  # characters; longer texts are seldom seen twice, and would take memory

Groups = tuple[str, ...]
"""Of a match: the whole of it first; "" for a group that took no part."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A pattern that must match the whole of a text, line ends too, as Prometheus anchors it."""

    text: str
    count: int
    """Of groups, without the whole."""
    names: dict[str, int]
    _compiled: "_Regexp[bytes] | None"
    """None for the one that matches everything, which most rules have."""

    def matches(self, text: str) -> bool:
        """Tell whether all of `text` fits."""
        return self.groups(text) is not None

    def groups(self, text: str) -> Groups | None:
        """Return the groups of `text`, None if it does not fit."""
        if self._compiled is None:
            return text, text
        # Names of labels, namespaces, "true": the same few over thousands of targets.
        return _remembered(self, text) if len(text) <= REMEMBERED else self.match(text)

    def match(self, text: str) -> Groups | None:
        """Do what `groups` does, anew."""
        match = self._compiled.search(text.encode()) if self._compiled else None
        return (match.group().decode(), *(group.decode() for group in match.groups(b""))) if match else None


@lru_cache(maxsize=4096)
def _remembered(pattern: Pattern, text: str) -> Groups | None:
    return pattern.match(text)


@lru_cache(maxsize=1024)
def compiled(text: str) -> Pattern:
    """Return the pattern in `text`; raises ValueError for what RE2 does not know, such as (?=...)."""
    if text == EVERYTHING:
        return Pattern(text, 1, {}, None)
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(f"^(?s:{text})$".encode(), options)
    except re2.error as error:
        said = str(error.args[0], "utf-8", "replace").replace(f"^(?s:{text})$", text)
        raise ValueError(f"{quote(text)} is no regular expression (RE2): {said}") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{quote(text)} is no text in Unicode") from error
    if r"\C" in QUOTED.sub("", text):  # RE2 has it, Go has not: it cuts letters into bytes
        raise ValueError(rf"{quote(text)} is no regular expression (RE2): invalid escape sequence: \C")
    names = {name.decode(): number for name, number in found.groupindex.items()}
    return Pattern(text, found.groups, names, found)


@dataclass(frozen=True, slots=True)
class Template:
    """What a match is replaced by; `pieces`: text, or the number of a group."""

    pieces: tuple[str | int, ...]

    def filled(self, groups: Groups) -> str:
        """Return the text for one match."""
        return "".join([piece if isinstance(piece, str) else groups[piece] for piece in self.pieces])


def template(text: str, pattern: Pattern) -> Template:
    """Return `text` with the places of `$1`, `${1}` and `${name}` known; `$$` is a dollar.

    As in Go a name is as long as it can be ($1x is ${1x}), a group that `pattern` has not is empty, and a dollar
    before anything else stands for itself.
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
        name, length = _name(text)
        text = text[length:]
        number = _number(name, pattern) if name else None
        if number is not None:
            pieces.append(number)
        elif not name:
            pieces.append("$")
    return Template(tuple(piece for piece in pieces if piece != ""))


def _name(text: str) -> tuple[str, int]:
    """Return the name that `text` begins with and how long it is as written; "" and 0 if there is none."""
    brace = text.startswith("{")
    match = WORD.match(text, int(brace))
    # Letters and decimal digits of any language; \w of Python has other numbers too, such as ² and Ⅷ.
    name = match[0] if match else ""
    end = next((i for i, c in enumerate(name) if not (c.isalpha() or c.isdecimal() or c == "_")), len(name))
    name = name[:end]
    if not name or (brace and text[1 + end : 2 + end] != "}"):
        return "", 0
    return name, end + 2 * brace


def _number(name: str, pattern: Pattern) -> int | None:
    """Return the number of a group, None where there is none; 01 is a name, which no group can have."""
    if NUMBER.fullmatch(name):
        return int(name) if int(name) <= pattern.count else None
    return pattern.names.get(name)
