"""Finds what the goroutines of a leak wait for: the holder of a lock, a stalled receiver, one call for all. Pure.

These are one to three goroutines that do not move. They do not grow, so no verdict names them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from leakwatch.causes.matching import canonical
from leakwatch.detect.columns import FLOOR, MEAN
from leakwatch.detect.history import History
from leakwatch.leaks.model import Holder
from leakwatch.model import Fingerprint, Stack
from leakwatch.profile.blame import IsOwn, package_of
from leakwatch.profile.fingerprint import normalise

LOCKS: Final = frozenset(("sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.RWMutex.RLock"))
WAITS: Final = LOCKS | {"chan send", "sync.Cond.Wait"}
SHARED_CALL: Final = "golang.org/x/sync/singleflight.(*Group).Do"
RUNNING_CALL: Final = "golang.org/x/sync/singleflight.(*Group).doCall"
MOST: Final = 3  # goroutines, and stacks that are reported
STILL: Final = 2  # blocks in which the number of goroutines does not change


def holders(waiting: Sequence[Stack], histories: Iterable[History], is_own: IsOwn) -> tuple[Holder, ...]:
    """Return the stacks that the goroutines of a leak probably wait for, the most likely first.

    `waiting`: all stacks of the leak, its head first; `histories`: of its targets.
    """
    head = waiting[0]
    is_shared = any(canonical(frame.function) == SHARED_CALL for frame in head.frames)
    if head.wait not in WAITS and not is_shared:
        return ()
    members = {stack.fingerprint for stack in waiting}
    found: dict[Fingerprint, tuple[int, Holder]] = {}
    for history in histories:
        for stack, goroutines in _still(history):
            rank = _shared_rank(stack) if is_shared else _rank(head, stack, is_own)
            if rank is None or stack.fingerprint in members or stack.wait in LOCKS:
                continue
            before = found.get(stack.fingerprint)
            total = goroutines + (before[1].goroutines if before else 0)
            found[stack.fingerprint] = rank, Holder(stack, total)
    ordered = sorted(found.values(), key=lambda pair: (pair[0], pair[1].goroutines, pair[1].stack.fingerprint))
    return tuple(holder for rank, holder in ordered[:MOST] if rank == ordered[0][0])


def _still(history: History) -> Iterator[tuple[Stack, int]]:
    """Yield the stacks of a target with one to three goroutines, always the same number."""
    if history.closed < STILL:
        return
    values = history.blocks.values[:, :, -STILL:]
    steady = (values[FLOOR] >= 1).all(axis=1) & (values[FLOOR] == values[MEAN]).all(axis=1)
    for row in map(int, np.flatnonzero(steady[: len(history.stacks)])):
        stack, goroutines = history.stacks[row], int(history.last[row])
        if stack is not None and 1 <= goroutines <= MOST:
            yield stack, goroutines


def _shared_rank(stack: Stack) -> int | None:
    return 0 if any(canonical(frame.function) == RUNNING_CALL for frame in stack.frames) else None


def _rank(head: Stack, stack: Stack, is_own: IsOwn) -> int | None:
    """Return 0 for a method of the same receiver as the head, 1 for the same package, None for anything else."""
    own = [normalise(frame.function) for frame in stack.frames if is_own(frame)]
    waiter = normalise(head.blamed.function)
    receiver = _receiver(waiter)
    if receiver and any(_receiver(function) == receiver for function in own):
        return 0
    package = package_of(waiter)
    return 1 if package != "main" and any(package_of(function) == package for function in own) else None


def _receiver(function: str) -> str:
    """Return package and type of a method, "" for a function: "example.com/shop/cart.(*Store)"."""
    head, dot, _ = function.partition(").")
    return head if dot and "(" in head else ""
