"""Parses CODEOWNERS files, and returns the owners of a path. Pure.

The rules of GitHub apply: the last rule that matches a path names its owners, and a rule without owners removes
them. Patterns are those of .gitignore, except that [ ] is not a range, and that /* at the end does not match files
in directories below. Supported from GitLab: sections with default owners, each with its own last rule; ! before a
pattern, for paths without owners; a backslash before a # at the beginning.

Libraries for .gitignore match such files and ranges. They also compile the expressions of all rules at once, and a
hostile pattern may take unlimited time.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from leakwatch.errors import ConfigError, quote

LONGEST_PATH = 4096
"""Characters; a longer path has no owners."""

WORD = re.compile(r"(?:\\.|\S)+")
SECTION = re.compile(r"\^?\[([^\]]+)\](?:\[\d+\])?(?:\s+(.*))?")
OWNER = re.compile(r"@{1,2}[\w.-]+(?:/[\w.-]+)*|[\w.%+-]+@[\w.-]+")
PART = re.compile(r"\\(.)|(\*+)|(\?)|(.)", re.DOTALL)


@dataclass(frozen=True)
class OwnerRule:
    """One line of the file: the owners of the paths that a pattern matches, which may be none."""

    pattern: str
    owners: tuple[str, ...] = ()
    section: str = ""

    @cached_property
    def anchored(self) -> bool:
        """Whether the pattern begins at the root of the repository."""
        return "/" in self.pattern.rstrip("/")

    @cached_property
    def beginning(self) -> str:
        """The literal text with which each matching path begins."""
        if not self.anchored:
            return ""
        literal = ""
        for escaped, star, mark, plain in PART.findall(self.pattern.strip("/")):
            if star or mark:
                break
            literal += escaped or plain
        return literal

    @cached_property
    def piece(self) -> str:
        """The longest literal text that each matching path contains."""
        return max(re.split(r"[*?/]|\\.", self.pattern), key=len)

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches a path of the repository."""
        # Compiling an expression is expensive, and few of thousands of rules need it.
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
        self._sections = [section[::-1] for section in sections.values()]

    def owner(self, path: str) -> str | None:
        """Return the owners of a path, joined by commas: "" if the rule has none, None if no rule matches."""
        last = list(self._last(path))
        if not last:
            return None
        return ", ".join(dict.fromkeys(owner for rule in last for owner in rule.owners))

    def guess(self, file: str) -> str | None:
        """Return the owners of `file` if the root of its repository is unknown.

        The root is the first directory of the path below which a rule with a literal beginning matches. Without
        such a rule, the file is in the root itself.
        """
        name = file.lstrip("/")
        literal = [rule for rules in self._sections for rule in rules if rule.beginning]
        while len(file) <= LONGEST_PATH and "/" in name and not any(rule.matches(name) for rule in literal):
            name = name.partition("/")[2]
        return self.owner(name)

    def _last(self, path: str) -> Iterator[OwnerRule]:
        """Yield the last rule of each section that matches a path."""
        if not path or len(path) > LONGEST_PATH:
            return
        for rules in self._sections:
            rule = next((rule for rule in rules if rule.matches(path)), None)
            if rule:
                yield rule


def parse(text: str, name: str) -> CodeOwners:
    """Return the rules in `text`; `name`: of the file, for errors. Raises ConfigError."""
    rules, section = [], ""
    default: tuple[str, ...] = ()
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        words, place = WORD.findall(line), f"{name}:{number}"
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(("[", "^[")):
            match = SECTION.fullmatch(line.strip())
            if match is None:
                raise ConfigError(
                    f"{place}: {quote(line.strip())} begins like a section, but is not of the form [Name] @owner"
                )
            section, default = match[1], _owners(WORD.findall(match[2] or ""), place)
            continue
        negated, pattern = words[0].startswith("!"), words[0].removeprefix("!")
        owners = _owners(words[1:], place)
        if negated and owners:
            raise ConfigError(f"{place}: {quote(line.strip())}: a pattern cannot be negated with !")
        rules.append(OwnerRule(pattern, () if negated else owners or default, section))
    return CodeOwners(rules)


def _owners(words: Sequence[str], place: str) -> tuple[str, ...]:
    owners = []
    for word in words:
        if word.startswith("#"):
            break
        if not OWNER.fullmatch(word):
            raise ConfigError(
                f"{place}: {quote(word)} is not an owner; write @user, @org/team or an e-mail address"
            )
        owners.append(word)
    return tuple(owners)


def expression(pattern: str) -> str:
    """Return a regular expression that matches the whole path.

    It does not backtrack beyond the previous star, so no pattern takes long.
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
        return ".+" if pattern.strip("/") else "(?!)"  # / alone matches no path
    result = first + "/" * bool(first and others)
    for other in others[:-1]:
        result += f"(?>(?:[^/]+/)*?{other}/)"
    if others:
        result += f"(?:[^/]+/)*?{others[-1]}"
    return result + ("" if direct else "/.+" if inside else "(?:/.*)?")


def _segment(text: str) -> str:
    """Return the expression of one segment of a pattern, which has no slash."""
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
