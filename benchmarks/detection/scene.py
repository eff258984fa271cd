"""The parts of traces: scrape times, uptime, load over the day, arrivals and departures of goroutines.

Arrays of a trace have shape (scrapes, rows): a row is one stack. Times are in seconds, rates per second, load is
relative to its mean. Random numbers that the replicas of a service have in common (load, sizes, beginnings of
incidents) come from `shared`, those of one process (arrivals, lifetimes) from `own`.
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
"""Row i has its busiest hour 24 i / PHASES hours later than row 0. Stacks of one service have the same phase."""


@dataclass(frozen=True)
class Scene:
    """Scrape times of `rows` stacks of one process, and the age of the process at each scrape.

    Both have shape (scrapes,); `age` is nan while there is no process.
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
        """Return a random number per row, evenly distributed."""
        return self.shared.uniform(low, high, self.rows)

    def spread(self, low: float, high: float) -> Floats:
        """Return a random number per row, evenly distributed on a logarithmic scale."""
        return np.exp(self.shared.uniform(np.log(low), np.log(high), self.rows))

    def during(self, begin: Floats, length: Floats) -> Floats:
        """Return which part of a period has passed at each scrape, 0 to 1; `begin` and `length` per row."""
        return np.clip((self.times[:, None] - begin) / length, 0.0, 1.0)


def noise(scene: Scene, low: float, high: float, memory: float = 600.0) -> Floats:
    """Return factors around 1 with a relative deviation of `low` to `high`, correlated for `memory` seconds."""
    minutes = int(scene.times[-1] // 60) + 1
    correlation = np.exp(-60 / memory)
    steps = scene.shared.normal(size=(minutes, scene.rows))
    steps[1:] *= np.sqrt(1 - correlation * correlation)
    for i in range(1, minutes):
        steps[i] += correlation * steps[i - 1]
    steps *= scene.uniform(low, high)
    return np.exp(steps)[(scene.times // 60).astype(np.intp)]


def daily(scene: Scene, low: float = 0.3, high: float = 0.8) -> Floats:
    """Return a load that swings by `low` to `high` over a day, with a noise of some per cent."""
    peak = (scene.first + np.arange(scene.rows)) % PHASES * (DAY / PHASES) + scene.uniform(-HOUR, HOUR)
    swing = scene.uniform(low, high)
    shape = np.cos(2 * np.pi * (scene.times[:, None] - peak) / DAY)
    return (1 + swing * shape) * noise(scene, 0.01, 0.05)


def short(scene: Scene, level: Floats) -> Counts:
    """Return counts of goroutines that live for less than a scrape interval, `level` at a time."""
    counts = scene.own.poisson(level).astype(np.int32)
    counts[np.isnan(scene.age)] = 0
    return counts


def long(scene: Scene, arrivals: Floats, lifetime: Floats) -> Counts:
    """Return counts of goroutines with random arrivals, `arrivals` per second, and an average `lifetime`.

    `lifetime` has shape (rows,) or (scrapes, rows). The count before the first scrape is drawn as if the load of
    the same hours had been there the day before.
    """
    stay = np.broadcast_to(np.exp(-scene.interval / lifetime), arrivals.shape)
    arriving = arrivals * lifetime * (1 - stay)
    counts = np.zeros(arrivals.shape, np.int32)
    starts = {begin for begin, _ in scene.lifetimes()}
    count = scene.own.poisson(_before(scene, arriving, stay))
    for i in range(len(counts)):
        if i and i in starts:
            count = np.zeros_like(count)
        count = scene.own.binomial(count, stay[i]) + scene.own.poisson(arriving[i])
        counts[i] = count
    counts[np.isnan(scene.age)] = 0
    return counts


def _before(scene: Scene, arriving: Floats, stay: Floats) -> Floats:
    """Return the expected count before the first scrape, from the age of the process."""
    day = min(round(DAY / scene.interval), len(arriving))
    age = round(float(np.nan_to_num(scene.age[0])) / scene.interval)
    count = np.zeros(scene.rows) if age < day else arriving[:day].mean(axis=0) / (1 - stay[0])
    for i in range(day - min(age, day), day):
        count = count * stay[0] + arriving[i]
    return count


def filled(scene: Scene, slots: Floats, fills: Callable[[Floats, int], Floats]) -> Counts:
    """Return counts of goroutines that arrive once and stay, `slots` per row.

    `fills(u, row)` returns the ages of the process at which they arrive, for u uniform in 0 to 1.
    """
    counts = np.zeros((len(scene.times), scene.rows), np.int32)
    for begin, end in scene.lifetimes():
        for row, size in enumerate(slots):
            ages = np.sort(fills(scene.own.random(round(size)), row))
            counts[begin:end, row] = np.searchsorted(ages, scene.age[begin:end], side="right")
    return counts


def leaked(scene: Scene, rate: float, onset: Floats, weight: Floats | float = 1.0, batch: int = 1) -> Counts:
    """Return the counts of leaked goroutines: `rate` per hour since `onset`, `batch` at a time, until a restart.

    The rate is multiplied by `weight`, shape (scrapes, rows).
    """
    expected = (scene.times[:, None] >= onset) * (rate / HOUR * scene.interval / batch * weight)
    expected[np.isnan(scene.age)] = 0
    sums = np.cumsum(scene.own.poisson(expected) * batch, axis=0)
    counts = np.zeros(sums.shape, np.int32)
    for begin, end in scene.lifetimes():
        counts[begin:end] = sums[begin:end] - (sums[begin - 1] if begin else 0)
    return counts
