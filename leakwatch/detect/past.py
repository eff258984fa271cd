"""The past of a stack, as an earlier process of leakwatch exported it. A new history continues with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.case import CONFIRM, Case
from leakwatch.detect.columns import FLOOR, Floats
from leakwatch.detect.history import History
from leakwatch.detect.trend import all_points, growth_since
from leakwatch.detect.windows import P24
from leakwatch.model import Fingerprint, Growth, Verdict

MIN_KNOWN_DROP: Final = (10.0, 4.0)
"""Smaller known drops, BRIEF and LASTING, have no effect: P2 and P8 require 30 and 12 goroutines, half of them of
a stack that leaked before a restart, and compare them with 1.5 times the known drop."""


@dataclass(frozen=True, slots=True)
class StackPast:
    """The known drops of a stack, BRIEF and LASTING, and the ceilings of its past lifetimes, the newest first.

    A value that is unknown, or too small to have an effect, is 0.
    """

    known_drop: tuple[float, ...]
    ceilings: tuple[float, ...]

    def maximum(self, other: "StackPast") -> "StackPast":
        """Return the larger of both values of each kind."""
        drops = zip(self.known_drop, other.known_drop, strict=True)
        ceilings = zip(self.ceilings, other.ceilings, strict=True)
        return StackPast(tuple(map(max, drops)), tuple(map(max, ceilings)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLeak:
    """A leak as an earlier process last reported it.

    `rate`: goroutines per second; `first_seen`, `detected_at`: unix seconds, None if unknown.
    """

    verdict: Verdict
    rate: float
    first_seen: float | None
    detected_at: float | None


def past_of(history: History) -> dict[Fingerprint, StackPast]:
    """Return the past of each stack or site that has one."""
    drops, ceilings = history.known_drop, history.past_lifetimes.ceilings
    # Each request for /metrics calls this for all targets. Most have no past: 5 us instead of 25 us.
    if drops.max(initial=0.0) < min(MIN_KNOWN_DROP) and not ceilings.any():
        return {}
    known: Floats = np.where(drops >= np.array(MIN_KNOWN_DROP, np.float32)[:, None], drops, np.float32(0))
    pasts = {}
    for row in np.flatnonzero(known.any(axis=0) | ceilings.any(axis=0)).tolist():
        stack = history.stacks[row]
        if stack is not None:
            pasts[stack.fingerprint] = StackPast(tuple(known[:, row].tolist()), tuple(ceilings[:, row].tolist()))
    return pasts


def take_over(history: History, pasts: Mapping[Fingerprint, StackPast]) -> None:
    """Raise the known drops and ceilings of the stacks and sites with a row to those of `pasts`."""
    ceilings = history.past_lifetimes.ceilings
    for key, past in pasts.items():
        row = history.rows.get(key)
        if row is not None:
            history.known_drop[:, row] = np.maximum(history.known_drop[:, row], past.known_drop)
            ceilings[:, row] = np.maximum(ceilings[:, row], past.ceilings)


def reopened(history: History, row: int, leak: PastLeak) -> Case:
    """Return the case of a leak that began before `history`, or that its counts no longer prove.

    The level before the growth is unknown if the growth is older than the history; it counts as 0.
    """
    times, floors = all_points(history, row, FLOOR)
    first_seen = times[0] if leak.first_seen is None else leak.first_seen
    before = floors[times <= first_seen]
    growth = growth_since(*all_points(history, row), first_seen)
    peak = int(np.argmax(floors))
    return Case(
        window=P24,
        verdict=leak.verdict,
        verdict_block=history.closed,
        best_score=CONFIRM,
        first_onset=float(first_seen),
        onset=float(first_seen),
        onset_floor=float(before[-1]) if len(before) else 0.0,
        growth=growth,
        last_growth=Growth(leak.rate, leak.rate, leak.rate) if leak.rate > 0 else growth,
        floor=float(floors[-1]),
        peak=float(floors[peak]),
        peak_block=history.closed - int((history.block_start - times[peak]) / history.block),
    )
