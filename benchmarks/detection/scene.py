"""What traces are made of: scrape times, uptime, load over the day, and how goroutines come and go.

Arrays of a trace have shape (scrapes, rows): a row is one stack. Times in seconds, rates per second, load relative
to its mean. What replicas of one service have in common (load, sizes, when an incident begins) is drawn from
`shared`; what each process does by itself (arrivals, lifetimes) from `own`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
PHASES: Final = 12
"""Row i has its busiest hour 24 i / PHASES hours later than row 0, so that stacks of one service can be found."""


@dataclass(frozen=True)
class Scene:
    """When `rows` stacks of one process are scraped (`times`), and how long it has run then (`age`).

    Both have shape (scrapes,); `age` is nan while the process is away.
    """

    times: Floats
    age: Floats
    rows: int
    shared: np.random.Generator
    own: np.random.Generator
    first: int = 0
    """Number of the first row."""

    @property
    def interval(self) -> float:
        """Return the seconds between two scrapes."""
        return float(self.times[1] - self.times[0])

    def lifetimes(self) -> list[tuple[int, int]]:
        """Return first scrape and end of each process."""
        there = ~np.isnan(self.age)
        begins = there & np.concatenate([[True], ~there[:-1] | (np.diff(self.age) < 0)])
        ends = there & np.concatenate([~there[1:] | begins[1:], [True]])
        return list(zip(np.flatnonzero(begins).tolist(), (np.flatnonzero(ends) + 1).tolist(), strict=True))

    def uniform(self, low: float, high: float) -> Floats:
        """Return a number per row."""
        return self.shared.uniform(low, high, self.rows)

    def spread(self, low: float, high: float) -> Floats:
        """Return a number per row, as often below as above the geometric mean of the bounds."""
        return np.exp(self.shared.uniform(np.log(low), np.log(high), self.rows))

    def during(self, begin: Floats, length: Floats) -> Floats:
        """Return how much of a stretch of time has passed at each scrape, 0 to 1; bounds per row."""
        return np.clip((self.times[:, None] - begin) / length, 0.0, 1.0)


def noise(scene: Scene, low: float, high: float, memory: float = 600.0) -> Floats:
    """Return factors around 1 that wander by `low` to `high` (relative) and forget within `memory` seconds."""
    minutes = int(scene.times[-1] // 60) + 1
    keep = np.exp(-60 / memory)
    steps = scene.shared.normal(size=(minutes, scene.rows))
    steps[1:] *= np.sqrt(1 - keep * keep)
    for i in range(1, minutes):
        steps[i] += keep * steps[i - 1]
    steps *= scene.uniform(low, high)
    return np.exp(steps)[(scene.times // 60).astype(np.intp)]


def daily(scene: Scene, low: float = 0.3, high: float = 0.8) -> Floats:
    """Return a load that swings by `low` to `high` over a day, with noise of some per cent."""
    peak = (scene.first + np.arange(scene.rows)) % PHASES * (DAY / PHASES) + scene.uniform(-HOUR, HOUR)
    swing = scene.uniform(low, high)
    shape = np.cos(2 * np.pi * (scene.times[:, None] - peak) / DAY)
    return (1 + swing * shape) * noise(scene, 0.01, 0.05)


def short(scene: Scene, level: Floats) -> Counts:
    """Return counts of goroutines that live for less than a scrape, `level` of them at a time."""
    counts = scene.own.poisson(level).astype(np.int32)
    counts[np.isnan(scene.age)] = 0
    return counts


def long(scene: Scene, arrivals: Floats, lifetime: Floats) -> Counts:
    """Return counts of goroutines that come at random, `arrivals` per second, and live for `lifetime` on average.

    `lifetime` has shape (rows,) or (scrapes, rows). Birth and death; who was there before the first scrape is
    drawn from what the same hours of the day would have brought.
    """
    stay = np.broadcast_to(np.exp(-scene.interval / lifetime), arrivals.shape)
    come = arrivals * lifetime * (1 - stay)
    counts = np.zeros(arrivals.shape, np.int32)
    starts = {begin for begin, _ in scene.lifetimes()}
    there = scene.own.poisson(_before(scene, come, stay))
    for i in range(len(counts)):
        if i and i in starts:
            there = np.zeros_like(there)
        there = scene.own.binomial(there, stay[i]) + scene.own.poisson(come[i])
        counts[i] = there
    counts[np.isnan(scene.age)] = 0
    return counts


def _before(scene: Scene, come: Floats, stay: Floats) -> Floats:
    """Return how many are expected at the first scrape, the process being as old as it is."""
    day = min(round(DAY / scene.interval), len(come))
    known = round(float(np.nan_to_num(scene.age[0])) / scene.interval)
    there = np.zeros(scene.rows) if known < day else come[:day].mean(axis=0) / (1 - stay[0])
    for i in range(day - min(known, day), day):
        there = there * stay[0] + come[i]
    return there


def filled(scene: Scene, slots: Floats, fills: Callable[[Floats, int], Floats]) -> Counts:
    """Return counts of goroutines that come once and stay.

    `slots` per row; `fills(u, row)` gives the ages of the process at which they come, for u uniform in 0 to 1.
    """
    counts = np.zeros((len(scene.times), scene.rows), np.int32)
    for begin, end in scene.lifetimes():
        for row, size in enumerate(slots):
            ages = np.sort(fills(scene.own.random(round(size)), row))
            counts[begin:end, row] = np.searchsorted(ages, scene.age[begin:end], side="right")
    return counts


def leaked(scene: Scene, rate: float, onset: Floats, weight: Floats | float = 1.0, batch: int = 1) -> Counts:
    """Return goroutines leaked in this process: `rate` per hour from `onset` on, `batch` at a time, none leaves.

    `weight`, shape (scrapes, rows), is what the rate goes with.
    """
    expected = (scene.times[:, None] >= onset) * (rate / HOUR * scene.interval / batch * weight)
    expected[np.isnan(scene.age)] = 0
    sums = np.cumsum(scene.own.poisson(expected) * batch, axis=0)
    counts = np.zeros(sums.shape, np.int32)
    for begin, end in scene.lifetimes():
        counts[begin:end] = sums[begin:end] - (sums[begin - 1] if begin else 0)
    return counts
