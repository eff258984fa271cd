"""Reads CODEOWNERS, and tells from it who owns a file. Pure.

As GitHub has it: the last rule that matches a path says who owns it, and a rule without owners says that nobody
does. Patterns are those of .gitignore, but [ ] is no range, and what ends in /* does not reach into directories
below. Of GitLab's: sections, each of which has a last rule of its own, with default owners; ! before a path that
nobody owns; a # at the beginning that is written with a backslash.

Libraries for .gitignore do reach into them, know ranges, and make the expressions of all rules at once, over which
a hostile pattern may take for ever.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from leakwatch.errors import ConfigError, quote

LONGEST_PATH = 4096
"""A longer one is no path, and nobody owns it."""

WORD = re.compile(r"(?:\\.|\S)+")
SECTION = re.compile(r"\^?\[([^\]]+)\](?:\[\d+\])?(?:\s+(.*))?")
OWNER = re.compile(r"@{1,2}[\w.-]+(?:/[\w.-]+)*|[\w.%+-]+@[\w.-]+")
PART = re.compile(r"\\(.)|(\*+)|(\?)|(.)", re.DOTALL)


@dataclass(frozen=True)
class OwnerRule:
    """One line: whose the paths are that a pattern matches; no owners is nobody."""

    pattern: str
    owners: tuple[str, ...] = ()
    section: str = ""

    @cached_property
    def anchored(self) -> bool:
        """Whether the pattern begins at the root of the repository."""
        return "/" in self.pattern.rstrip("/")

    @cached_property
    def beginning(self) -> str:
        """What each path that matches begins with, as far as the pattern spells it."""
        if not self.anchored:
            return ""
        found = []
        for escaped, star, mark, plain in PART.findall(self.pattern.strip("/")):
            if star or mark:
                break
            found.append(escaped or plain)
        return "".join(found)

    @cached_property
    def piece(self) -> str:
        """A text that each path that matches has in it."""
        return max(re.split(r"[*?/]|\\.", self.pattern), key=len)

    def matches(self, path: str) -> bool:
        """Tell whether the pattern matches a path of the repository."""
        # Expressions are dear to make: of thousands of rules, few come so far.
        return path.startswith(self.beginning) and self.piece in path and bool(self._expression.fullmatch(path))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(expression(self.pattern), re.DOTALL)


class CodeOwners:
    """The rules of one file, in their order."""

    def __init__(self, rules: Iterable[OwnerRule] = ()) -> None:
        sections: dict[str, list[OwnerRule]] = {}
        for rule in rules:
            sections.setdefault(rule.section.lower(), []).append(rule)
        self._sections = [found[::-1] for found in sections.values()]

    def owner(self, path: str) -> str | None:
        """Return the owners of a path, joined by commas; "" is nobody, None that no rule tells."""
        last = list(self._last(path))
        if not last:
            return None
        return ", ".join(dict.fromkeys(owner for rule in last for owner in rule.owners))

    def guess(self, file: str) -> str | None:
        """Return the owners of `file`, of which it is not known where in it the repository begins.

        That is at the first directory from which on a rule names it from the root; else the file is in the root.
        """
        name = file.lstrip("/")
        spelled = [rule for rules in self._sections for rule in rules if rule.beginning]
        while len(file) <= LONGEST_PATH and "/" in name and not any(rule.matches(name) for rule in spelled):
            name = name.partition("/")[2]
        return self.owner(name)

    def _last(self, path: str) -> Iterator[OwnerRule]:
        """Yield the rule of each section that tells whose a path is."""
        if not path or len(path) > LONGEST_PATH:
            return
        for rules in self._sections:
            rule = next((rule for rule in rules if rule.matches(path)), None)
            if rule:
                yield rule


def parse(text: str, name: str) -> CodeOwners:
    """Return the rules in `text`, which errors call `name`; raises ConfigError."""
    rules, section = [], ""
    default: tuple[str, ...] = ()
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        words, place = WORD.findall(line), f"{name}:{number}"
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(("[", "^[")):
            found = SECTION.fullmatch(line.strip())
            if found is None:
                raise ConfigError(
                    f"{place}: {quote(line.strip())} begins like a section, [Name] @owner, and is none"
                )
            section, default = found[1], _owners(WORD.findall(found[2] or ""), place)
            continue
        nobody, pattern = words[0].startswith("!"), words[0].removeprefix("!")
        owners = _owners(words[1:], place)
        if nobody and owners:
            raise ConfigError(f"{place}: {quote(line.strip())}: a pattern cannot be negated with !")
        rules.append(OwnerRule(pattern, () if nobody else owners or default, section))
    return CodeOwners(rules)


def _owners(words: Sequence[str], place: str) -> tuple[str, ...]:
    found = []
    for word in words:
        if word.startswith("#"):
            break
        if not OWNER.fullmatch(word):
            raise ConfigError(f"{place}: {quote(word)} is no owner; write @user, @org/team or an e-mail address")
        found.append(word)
    return tuple(found)


def expression(pattern: str) -> str:
    """Return the regular expression of the whole paths that a pattern matches.

    It never goes back over what it has found before a star, so that no pattern takes long.
    """
    anchored, inside = "/" in pattern.rstrip("/"), pattern.endswith("/")
    segments = pattern.strip("/").split("/")
    direct = anchored and not inside and segments[-1] == "*"
    if segments[-1] == "**":
        inside, segments = True, [*segments[:-1], "*"] if inside else segments[:-1]
    if not anchored:
        segments.insert(0, "**")
    runs: list[list[str]] = [[]]
    for segment in segments:
        if segment == "**":
            runs.append([])
        else:
            runs[-1].append(_segment(segment))
    first, *others = ["/".join(run) for i, run in enumerate(runs) if run or i == 0]
    if not any(runs):
        return ".+" if pattern.strip("/") else "(?!)"  # / alone is no path
    found = first + "/" * bool(first and others)
    for other in others[:-1]:
        found += f"(?>(?:[^/]+/)*?{other}/)"
    if others:
        found += f"(?:[^/]+/)*?{others[-1]}"
    return found + ("" if direct else "/.+" if inside else "(?:/.*)?")


def _segment(text: str) -> str:
    """Return the expression of what stands between two slashes of a pattern."""
    pieces = [""]
    for escaped, star, mark, plain in PART.findall(text):
        if star:
            pieces.append("")
        else:
            pieces[-1] += "[^/]" if mark else re.escape(escaped or plain)
    first, *others = pieces
    if not others:
        return first
    if not any(pieces):
        return "[^/]+"
    return first + "".join(f"(?>[^/]*?{piece})" for piece in others[:-1]) + f"[^/]*{others[-1]}"
