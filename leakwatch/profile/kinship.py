"""Whether two stacks that grow in step can belong to one leak.

They can, if they share own code, a dependency, or a part of the standard library that runs goroutines.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from leakwatch.model import Frame, Stack
from leakwatch.profile.blame import (
    BASIS,
    IsOwn,
    distance,
    innermost_own,
    is_companion,
    module_of,
    package_of,
    std_part,
)
from leakwatch.profile.fingerprint import normalise
from leakwatch.profile.packages import is_std

SERVERS: Final = ("net/http.(*conn).serve", "net/http.(*http2serverConn)", "google.golang.org/grpc.(*Server)")
"""Callers that all handlers of a process share."""


def are_kin(stack: Stack, other: Stack, is_own: IsOwn) -> bool:
    """Return whether two stacks that grow in step can have one cause."""
    if is_companion(stack) or is_companion(other):
        return True
    own, other_own = (innermost_own(each.frames, is_own) for each in (stack, other))
    if own is not None and other_own is not None:
        return not _inner(stack.frames, own).isdisjoint(_inner(other.frames, other_own))
    return not _parts(stack.frames, own).isdisjoint(_parts(other.frames, other_own))


def is_built_on(stack: Stack, other: Stack, is_own: IsOwn) -> bool:
    """Return whether `stack`, of a dependency, waits in the package of `other`, which many libraries are built on.

    A Kubernetes watch reads from net/http or golang.org/x/net/http2, which run goroutines for its connection.
    """
    if distance(stack, is_own) != 1 or distance(other, is_own) != 2:
        return False
    package = package_of(other.blamed.function)
    return any(package_of(frame.function) == package for frame in stack.frames)


def _inner(frames: Sequence[Frame], own: int) -> set[str]:
    """Return the package of the innermost own code, and the dependencies that it waits in."""
    return {package_of(frames[own].function), *_without_basis(_modules(frames[:own]))}


def _parts(frames: Sequence[Frame], own: int | None) -> set[str]:
    """Return the dependencies of a stack, and the parts of the standard library that own code waits in."""
    inner = frames if own is None else frames[:own]
    callers = () if own is None else frames[own + 1 :]
    outer = _modules(frame for frame in callers if not normalise(frame.function).startswith(SERVERS))
    return {part for frame in inner if (part := std_part(frame.function))} | _without_basis(
        _modules(inner) | outer
    )


def _modules(frames: Iterable[Frame]) -> set[str]:
    return {module_of(frame.function) for frame in frames if _has_domain(frame.function)}


def _has_domain(function: str) -> bool:
    """Return whether the package has a domain, as all modules that can be downloaded."""
    host, slash, _ = package_of(function).partition("/")
    return bool(slash) and "." in host and not is_std(function)


def _without_basis(modules: set[str]) -> set[str]:
    return modules - BASIS or modules
