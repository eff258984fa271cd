"""The scene of traces: scrape times, uptime, load over the day.

Arrays of a trace have shape (scrapes, rows): a row is one stack. Times are in seconds, rates per second, load is
relative to its mean. Random numbers that the replicas of a service have in common (load, sizes, beginnings of
incidents) come from `shared`, those of one process (arrivals, lifetimes) from `own`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
FIRST: Final = 1.0
"""Seconds from the start of a process to its first scrape, in which its first goroutines are started."""
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

    @cached_property
    def begins(self) -> npt.NDArray[np.intp]:
        """Number of the first scrape of the process that answers at each scrape."""
        begins = np.zeros(len(self.times), np.intp)
        for begin, end in self.lifetimes():
            begins[begin:end] = begin
        return begins

    @cached_property
    def starts(self) -> Floats:
        """When the process that answers at each scrape was started: FIRST seconds earlier than by its age."""
        return self.times - self.age - FIRST

    @cached_property
    def steps(self) -> Floats:
        """Seconds before each scrape in which the goroutines that are new at the scrape were started."""
        return np.minimum(self.interval, self.age + FIRST)

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
