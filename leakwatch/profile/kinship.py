"""Whether two stacks that grow in step can belong to one leak.

They can, if they share own code, a dependency, or a part of the standard library that runs goroutines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
BUILT_ON: Final = {"github.com/spf13/viper": "github.com/fsnotify/fsnotify"}
"""Module -> the module that it starts goroutines of; their stacks do not show this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """Code that a stack can share with others.

    `inner`: the package of its innermost own code and the dependencies that it waits in, None without own code;
    `parts`: its dependencies, and the parts of the standard library that it waits in; `distance`: to the code to
    change; `package`: of the blamed function; `packages`: of all functions.
    """

    is_companion: bool
    inner: frozenset[str] | None
    parts: frozenset[str]
    distance: int
    package: str
    packages: frozenset[str]


def relations(stack: Stack, is_own: IsOwn) -> Relations:
    """Return the code that `stack` can share with others. It takes 40 us, and a comparison of two 0.3 us."""
    own = innermost_own(stack.frames, is_own)
    inner = None if own is None else frozenset(_inner(stack.frames, own))
    return Relations(
        is_companion=is_companion(stack),
        inner=inner,
        parts=frozenset(_parts(stack.frames, own)),
        distance=distance(stack, is_own),
        package=package_of(stack.blamed.function),
        packages=frozenset(package_of(frame.function) for frame in stack.frames),
    )


def are_kin(one: Relations, other: Relations) -> bool:
    """Return whether two stacks that grow in step can have one cause."""
    if one.is_companion or other.is_companion:
        return True
    if one.inner is not None and other.inner is not None:
        return not one.inner.isdisjoint(other.inner)
    return not one.parts.isdisjoint(other.parts)


def is_built_on(one: Relations, other: Relations) -> bool:
    """Return whether a stack of a dependency waits in the package of `other`, which many libraries are built on.

    A Kubernetes watch reads from net/http or golang.org/x/net/http2, which run goroutines for its connection.
    """
    return one.distance == 1 and other.distance == 2 and other.package in one.packages


def _inner(frames: Sequence[Frame], own: int) -> set[str]:
    """Return the package of the innermost own code, and the dependencies that it waits in."""
    return {package_of(frames[own].function), *_without_basis(_modules(frames[:own]))}


def _parts(frames: Sequence[Frame], own: int | None) -> set[str]:
    """Return the dependencies of a stack, and the parts of the standard library that own code waits in."""
    inner = frames if own is None else frames[:own]
    callers = () if own is None else frames[own + 1 :]
    outer = _modules(frame for frame in callers if not normalise(frame.function).startswith(SERVERS))
    modules = _without_basis(_modules(inner) | outer)
    started = {BUILT_ON[module] for module in modules & BUILT_ON.keys()}
    return {part for frame in inner if (part := std_part(frame.function))} | modules | started


def _modules(frames: Iterable[Frame]) -> set[str]:
    return {module_of(frame.function) for frame in frames if _has_domain(frame.function)}


def _has_domain(function: str) -> bool:
    """Return whether the package has a domain, as all modules that can be downloaded."""
    host, slash, _ = package_of(function).partition("/")
    return bool(slash) and "." in host and not is_std(function)


def _without_basis(modules: set[str]) -> set[str]:
    return modules - BASIS or modules
