"""Histories for tests of the detector, from counts of goroutines per scrape."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from leakwatch.detect.case import CONFIRM, SUSPECT
from leakwatch.detect.columns import Floats
from leakwatch.detect.history import History
from leakwatch.detect.pool import Pool
from tests.support.simulated import START, samples

BLOCK = 60.0
"""Seconds. The rules for young processes apply to blocks of 300 s and more."""
SCRAPES = 5
"""Scrapes per block."""
HOUR = 12
"""Blocks of an hour."""
DAY = 24 * HOUR

Counts = Sequence[int]
"""Counts of all scrapes of some blocks, and of the scrape that closes the last."""


def line(start: float, gain: float, blocks: int) -> Counts:
    """Return counts that begin at `start` and gain `gain` per block."""
    return [round(start + gain * i / SCRAPES) for i in range(blocks * SCRAPES + 1)]


def stairs(start: int, step: int, width: int, blocks: int) -> Counts:
    """Return counts that gain `step` at once after every `width` blocks."""
    return [start + step * (i // (width * SCRAPES)) for i in range(blocks * SCRAPES + 1)]


def curve(points: Sequence[float]) -> Counts:
    """Return counts that change linearly between `points`, one at the beginning of each block."""
    inside = [round(a + (b - a) * i / SCRAPES) for a, b in pairwise(points) for i in range(SCRAPES)]
    return [*inside, round(points[-1])]


def record(
    history: History, counts: Mapping[str, Counts], churn: int = 0, origin: str | None = None, begin: float = START
) -> float:
    """Record the counts of stacks by name, the first at `begin`; return the time of the last.

    In every second scrape there are `churn` more goroutines of stack "a".
    """
    step = history.block / SCRAPES
    scrapes = max(map(len, counts.values()))
    for i in range(scrapes):
        current = {name: values[i] for name, values in counts.items()}
        history.record(begin + i * step, samples({**current, "a": current["a"] + churn * (i % 2)}, origin))
    return begin + (scrapes - 1) * step


def floats(values: Any) -> Floats:
    """Return nested numbers as an array of the detector."""
    return np.array(values, np.float32)


def strength(score: float) -> str:
    """Return the effect of a score: "confirmed", "suspected" or "none"."""
    if score >= CONFIRM - 1e-6:
        return "confirmed"
    return "suspected" if score >= SUSPECT - 1e-6 else "none"


class Fleet:
    """The histories of some targets, which have one stack "a", and their pool."""

    def __init__(self, targets: int) -> None:
        self.histories = {f"target{i}": History(BLOCK) for i in range(targets)}
        self.pool = Pool(BLOCK, START)
        self.time = START

    def play(self, counts: Sequence[Counts], churn: int = 0) -> None:
        """Record the counts of each target; the pool closes a block after the targets have closed it."""
        step = BLOCK / SCRAPES
        for i in range(len(counts[0]) - 1):
            self.time += step
            for history, values in zip(self.histories.values(), counts, strict=True):
                history.record(self.time, samples({"a": values[i + 1] + churn * (i % 2)}))
            if self.pool.is_due(self.time):
                self.pool.set_members(self.histories)
                self.pool.advance(self.time)


def recorded(
    counts: Counts,
    churn: int = 0,
    *,
    block: float = BLOCK,
    others: Mapping[str, Counts] | None = None,
    origin: str | None = None,
) -> History:
    """Return a history of stack "a" in row 0, and of `others`."""
    history = History(block)
    record(history, {"a": counts, **(others or {})}, churn, origin)
    return history
