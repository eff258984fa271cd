"""Owner of a leak: the team of the blamed function or its package, else the owners in CODEOWNERS. Pure."""

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
"""The owner is unknown. In contrast, "" means that a rule names no owner."""
SOME_FILE: Final = "_.go"
"""Replaces an unknown file, such as that of an origin. Go does not build such files, so no rule names it."""


class Owners:
    """Returns the owners of stacks.

    `teams`: package (or a parent of it), type or function -> team; the key "" is for all others. `teams` has
    precedence over the CODEOWNERS files of `repositories`.
    """

    def __init__(self, teams: Mapping[str, str] | None = None, repositories: Sequence[Repository] = ()) -> None:
        self._teams = {scope_of(prefix): team for prefix, team in (teams or {}).items()}
        self._repositories = sorted(repositories, key=lambda repository: len(repository.module), reverse=True)
        self._cache: GenerationCache[tuple[Frame, tuple[Frame, ...]], str] = GenerationCache(REMEMBERED)

    def owner(self, stack: Stack, of_targets: str = "") -> str:
        """Return the owner of the blamed function of a stack, "" if it has none.

        If the blamed function belongs to a dependency or to the standard library and has no owner, return the
        owner of the nearest caller that has one, else of the nearest dependency that it calls. `of_targets`: the
        owner by the label of the targets, "" without one. It precedes only the key "" of `teams`.
        """
        default = of_targets or self._teams.get("", "")
        for frame in _candidates(stack):
            owner = self._owner(frame, stack.frames)
            if owner != UNKNOWN:
                return owner or default
        return default

    def _owner(self, frame: Frame, frames: tuple[Frame, ...]) -> str:
        """Return the owner of a frame, "" if it has none, UNKNOWN if it is unknown."""
        # Only the path of a main package depends on the other frames of the stack.
        key = frame, frames if frame.function.startswith("main.") else ()
        owner = self._cache.get(key)
        if owner is None:
            owner = self._team(frame, frames)
            if owner == UNKNOWN:
                owner = self._of_file(frame, frames)
            self._cache.put(key, owner, 1 + len(key[1]))
        return owner

    def _team(self, frame: Frame, frames: Sequence[Frame]) -> str:
        """Return the configured team of a frame, UNKNOWN if it has none."""
        printed, name = split(frame.function)
        package = package_of(frame)
        if package == "main":
            packages = (repository.package(frame, frames) for repository in self._repositories)
            package = next(filter(None, packages), printed)
        all_scopes = [*scopes(package, name), *(scopes(printed, name) if package != printed else ())]
        return next((self._teams[scope] for scope in all_scopes if scope in self._teams), UNKNOWN)

    def _of_file(self, frame: Frame, frames: Sequence[Frame]) -> str:
        """Return the owner of a frame's file by CODEOWNERS, UNKNOWN if no rule matches."""
        if not frame.file:
            frame = Frame(frame.function, SOME_FILE)
        paths = [(each, path) for each in self._repositories if (path := each.path(frame, frames))]
        if not paths:
            return self._guess(frame)
        if not frame.function.startswith("main."):
            paths = paths[:1]  # of nested modules, the innermost one applies
        return _agreed(repository.owners.owner(path) if repository.owners else None for repository, path in paths)

    def _guess(self, frame: Frame) -> str:
        """Return the owner of a main package that may be in any repository, UNKNOWN if they differ."""
        if package_of(frame) != "main" or frame.file == SOME_FILE:
            return UNKNOWN
        return _agreed(each.owners.guess(frame.file) for each in self._repositories if each.owners)


def scope_of(prefix: str) -> str:
    """Return the scope that a prefix names; it may end in a slash, a dot or Go's "/..."."""
    prefix = unquote(without_brackets(prefix) if "[" in prefix else prefix)
    return prefix.replace("(*", "").replace(")", "").removesuffix("...").rstrip("/.")


def _candidates(stack: Stack) -> Iterator[Frame]:
    blamed, frames = stack.blamed, stack.frames
    yield blamed
    if is_std(blamed.function) or is_dependency(blamed):
        index = frames.index(blamed) if blamed in frames else len(frames)
        yield from frames[index + 1 :]
        yield Frame(stack.origin)
        yield from (frame for frame in reversed(frames[:index]) if not is_std(frame.function))


def _agreed(owners: Iterable[str | None]) -> str:
    """Return the owner if all `owners` are equal, else UNKNOWN."""
    different = set(owners)
    owner = different.pop() if len(different) == 1 else None
    return UNKNOWN if owner is None else owner
