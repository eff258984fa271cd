"""Matches the stacks of a leak against the catalogue. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from leakwatch.causes.model import Cause, CountedStack, StackPattern
from leakwatch.model import Stack
from leakwatch.profile.blame import IsOwn, is_companion
from leakwatch.profile.fingerprint import normalise
from leakwatch.profile.packages import is_std

VENDORED: Final = re.compile(r"^.*/vendor/")
MAJOR_VERSION: Final = re.compile(r"(?:/v[0-9]{1,4}|(?:%2e|\.)v[0-9]{1,4})(?=[./])")
"""A major version in an import path: example.com/cache/v9.New and gopkg.in/cache%2ev9.New."""
NIL: Final = " (nil chan)"
"""The end of the wait reason of a nil channel in a dump; a profile does not have it."""
LOCKS: Final = ("sync.", "runtime.")
STARTERS: Final = ("runtime.goexit", "sync.(*WaitGroup).Go.func")
"""Functions that only start the function of a goroutine."""


@lru_cache(maxsize=10_000)
def canonical(function: str) -> str:
    """Return `function` without generic arguments, vendor directory and major version."""
    name = VENDORED.sub("", normalise(function))
    return MAJOR_VERSION.sub("", name).replace("%2e", ".")


class Shape:
    """A stack as patterns see it: canonical names, and which frames are own code."""

    __slots__ = ("goroutines", "names", "own", "wait")

    def __init__(self, stack: Stack, goroutines: int, is_own: IsOwn) -> None:
        self.names = [canonical(frame.function) for frame in stack.frames]
        self.own = [is_own(frame) for frame in stack.frames]
        self.wait = stack.wait.removesuffix(NIL)
        self.goroutines = goroutines

    def matches(self, pattern: StackPattern, *, needs_wait: bool) -> bool:
        """Return whether the stack matches; `needs_wait`: whether an unknown wait reason does not match."""
        if pattern.waits and self.wait not in pattern.waits and (self.wait or needs_wait):
            return False
        if pattern.direct and not self._reaches_own_code():
            return False
        if pattern.without and any(map(pattern.without.fullmatch, self.names)):
            return False
        return self._has_frames(pattern)

    def _has_frames(self, pattern: StackPattern) -> bool:
        index = self._leaf() if pattern.leaf else 0
        if pattern.leaf and not self._is(index, pattern.functions[0]):
            return False
        if pattern.root:
            root = self._root()
            is_leaf_too = pattern.leaf and len(pattern.functions) == 1
            if not self._is(root, pattern.functions[-1]) or (is_leaf_too and root != index):
                return False
        for function in pattern.functions:
            while index < len(self.names) and not self._is(index, function):
                index += 1
            if index == len(self.names):
                return False
            index += 1
        return True

    def _leaf(self) -> int:
        """Return the index of the function that waits, for a lock the one that locks."""
        index = 0
        while index < len(self.names) - 1 and self.names[index].startswith(LOCKS):
            index += 1
        return index

    def _root(self) -> int:
        """Return the index of the function that was started with `go`."""
        index = len(self.names) - 1
        while index > 0 and self.names[index] in STARTERS:
            index -= 1
        return index

    def _is(self, index: int, function: re.Pattern[str] | None) -> bool:
        return self.own[index] if function is None else bool(function.fullmatch(self.names[index]))

    def _reaches_own_code(self) -> bool:
        """Return whether own code calls only the standard library where it waits."""
        innermost = self.own.index(True) if True in self.own else None
        return innermost is not None and all(map(is_std, self.names[:innermost]))


def matches(
    causes: Iterable[Cause], stacks: Sequence[CountedStack], is_own: IsOwn, of: CountedStack | None = None
) -> Iterator[Cause]:
    """Yield the causes that match a leak, in the order of `causes`; `stacks`: all stacks of the leak.

    `of`: the stack that a cause must be recognised by, None for any. Goroutines that may exist only because others
    wait do not indicate a cause beside others.
    """
    counted = [each for each in stacks if not each.stack.site]
    shapes = [Shape(each.stack, each.goroutines, is_own) for each in counted]
    has_own_code = any(True in shape.own for shape in shapes)
    pairs = list(zip(counted, shapes, strict=True))
    signs = [shape for each, shape in pairs if not is_companion(each.stack)] or shapes
    if of is not None:
        signs = [shape for each, shape in pairs if each is of]
    for cause in causes:
        if cause.unless_own_code and has_own_code:
            continue
        if any(_explains(cause, shape, shapes) for shape in signs):
            yield cause


def _explains(cause: Cause, shape: Shape, shapes: Sequence[Shape]) -> bool:
    """Return whether `shape` matches the cause, and the other stacks of the leak do not contradict it."""
    needs_wait = cause.kind == "wait"
    if not any(shape.matches(pattern, needs_wait=needs_wait) for pattern in cause.match):
        return False
    others = [other for other in shapes if other is not shape]
    return all(
        any(_is_partner(pattern, shape, other) for other in others) for pattern in cause.partners
    ) and not any(other.matches(pattern, needs_wait=False) for pattern in cause.absent for other in shapes)


def _is_partner(pattern: StackPattern, shape: Shape, other: Shape) -> bool:
    low, high = (bound * shape.goroutines for bound in pattern.ratio)
    return low <= other.goroutines <= high and other.matches(pattern, needs_wait=False)
