"""Whose a leak is: the team of the package of the function that it blames, else as CODEOWNERS has it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from leakwatch.leaks.ownership.go_modules import Repository, package_of, scopes, split
from leakwatch.model import Frame, Stack
from leakwatch.profile.cache import GenerationCache
from leakwatch.profile.fingerprint import without_brackets
from leakwatch.profile.packages import is_dependency, is_std

REMEMBERED: Final = 10_000  # frames
UNKNOWN: Final = "\0"
"""Nobody says whose it is, which is not the same as that it is nobody's."""
SOME_FILE: Final = "_.go"
"""Stands for a file whose name is not known, as of an origin: Go would not build it, so no rule names it alone."""


class Owners:
    """Knows whose a stack is.

    `teams`: what a function belongs to (a package or one above it, a type, a function) -> team; "" has the rest.
    They count before the CODEOWNERS files of `repositories`.
    """

    def __init__(self, teams: Mapping[str, str] | None = None, repositories: Sequence[Repository] = ()) -> None:
        self._teams = {scope_of(prefix): team for prefix, team in (teams or {}).items()}
        self._repositories = sorted(repositories, key=lambda one: len(one.module), reverse=True)
        self._known: GenerationCache[tuple[Frame, tuple[Frame, ...]], str] = GenerationCache(REMEMBERED)

    def owner(self, stack: Stack) -> str:
        """Return the team of a stack, "" where there is none: that of the blamed function.

        Where that one is a dependency's or the standard library's and has no team, it is whoever called it: the
        team of the next function outwards that has one.
        """
        for frame in _candidates(stack):
            found = self._team(frame, stack.frames)
            if found != UNKNOWN:
                return found or self._teams.get("", "")
        return self._teams.get("", "")

    def _team(self, frame: Frame, frames: tuple[Frame, ...]) -> str:
        """Return the team of a frame, "" if it is nobody's, UNKNOWN if that is not known."""
        # Only a main package needs the rest of the stack to be found.
        key = frame, frames if frame.function.startswith("main.") else ()
        found = self._known.get(key)
        if found is None:
            found = self._named(frame, frames)
            if found == UNKNOWN:
                found = self._of_file(frame, frames)
            self._known.put(key, found, 1 + len(key[1]))
        return found

    def _named(self, frame: Frame, frames: Sequence[Frame]) -> str:
        said, name = split(frame.function)
        package = package_of(frame)
        if package == "main":
            package = next(filter(None, (one.package(frame, frames) for one in self._repositories)), said)
        places = [*scopes(package, name), *(scopes(said, name) if package != said else ())]
        return next((self._teams[place] for place in places if place in self._teams), UNKNOWN)

    def _of_file(self, frame: Frame, frames: Sequence[Frame]) -> str:
        if not frame.file:
            frame = Frame(frame.function, SOME_FILE)
        places = [(one, path) for one in self._repositories if (path := one.path(frame, frames))]
        if not places:
            return self._guess(frame)
        if not frame.function.startswith("main."):
            places = places[:1]  # a module within another one is by itself
        return _agreed(one.owners.owner(path) if one.owners else None for one, path in places)

    def _guess(self, frame: Frame) -> str:
        """Return the team of a main package that may lie in any of the repositories, if they agree."""
        if package_of(frame) != "main" or frame.file == SOME_FILE:
            return UNKNOWN
        return _agreed(one.owners.guess(frame.file) for one in self._repositories if one.owners)


def scope_of(prefix: str) -> str:
    """Return what a prefix names, as `scopes` would: also with a slash or a dot at its end, or Go's "/..."."""
    prefix = unquote(without_brackets(prefix) if "[" in prefix else prefix)
    return prefix.replace("(*", "").replace(")", "").removesuffix("...").rstrip("/.")


def _candidates(stack: Stack) -> Iterator[Frame]:
    blamed, frames = stack.blamed, stack.frames
    yield blamed
    if is_std(blamed.function) or is_dependency(blamed):
        yield from frames[frames.index(blamed) + 1 :] if blamed in frames else ()
        yield Frame(stack.origin)


def _agreed(owners: Iterable[str | None]) -> str:
    """Return what all `owners` are; where they differ nobody can say."""
    found = set(owners)
    owner = found.pop() if len(found) == 1 else None
    return UNKNOWN if owner is None else owner
