"""The goroutines of stacks one by one: when each of those that are alive at a scrape was started.

A stack consists of parts. A part has a count per scrape and returns births that fit it, so that full dumps can be
drawn at any scrape (dumps.py) from the same counts that a scrape returns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from scene import FIRST, Counts, Floats, Scene

Births = Callable[[int], Floats]
"""Number of a scrape -> when the goroutines that are alive then were started, in seconds since the first scrape.

Must be called with ascending numbers."""
GOLDEN: Final = (5**0.5 - 1) / 2


class Habit(Enum):
    """How the goroutines of a part wait."""

    BRIEF = "ends before the next scrape"
    QUEUED = "waits until it ends"
    LASTING = "waits for work, which may never come; depends on the row"
    WATCHING = "waits until it ends; its creator lives as long and wakes up"
    LEAKED = "waits for ever"
    TICKING = "leaked; wakes up each minute"
    RETRYING = "leaked; wakes up after 1 s, 2 s, 4 s and so on, at last every 10 min"


class Part(Protocol):
    """Goroutines of one stack with one habit."""

    @property
    def habit(self) -> Habit:
        """How the goroutines wait."""
        ...

    def births(self, rng: np.random.Generator) -> Births:
        """Return the births of the goroutines, with own state and random numbers."""
        ...


@dataclass(frozen=True, slots=True)
class Brief:
    """Goroutines that end before the next scrape."""

    scene: Scene
    counts: Counts
    habit: Habit = Habit.BRIEF

    def births(self, rng: np.random.Generator) -> Births:
        """Return different births within the interval before the scrape."""

        def births(i: int) -> Floats:
            count = int(self.counts[i])
            parts = (np.arange(count) + rng.random(count)) / max(count, 1)
            return np.asarray(self.scene.times[i] - self.scene.steps[i] * parts[::-1])

        return births


@dataclass(frozen=True, slots=True)
class Stairs:
    """Goroutines that stay until the count falls, which ends the latest."""

    scene: Scene
    counts: Counts
    habit: Habit

    def births(self, rng: np.random.Generator) -> Births:
        """Return the times at which the count last rose to each level."""
        del rng
        return self._births

    def _births(self, i: int) -> Floats:
        begin = self.scene.begins[i]
        levels = np.arange(1, self.counts[i] + 1)
        lows = np.minimum.accumulate(self.counts[begin : i + 1][::-1])[::-1]
        return _within(self.scene, begin + np.searchsorted(lows, levels), levels)


@dataclass(frozen=True, slots=True)
class Queue:
    """Goroutines that end in the order in which they were started; `arrivals`: number started per scrape."""

    scene: Scene
    counts: Counts
    arrivals: Counts
    habit: Habit = Habit.QUEUED

    def births(self, rng: np.random.Generator) -> Births:
        """Return the births of the latest goroutines."""
        del rng
        started = np.cumsum(self.arrivals)

        def latest(i: int) -> Floats:
            numbers = np.arange(started[i] - self.counts[i], started[i]) + 1
            return _within(self.scene, np.searchsorted(started, numbers), numbers)

        return latest


@dataclass(frozen=True, slots=True)
class Sessions:
    """Goroutines that end after random times; `arrivals`: number started per scrape of those that are alive.

    `lifetime`: seconds on average, of the goroutines that were started before the first scrape.
    """

    scene: Scene
    counts: Counts
    arrivals: Counts
    lifetime: float
    habit: Habit

    def births(self, rng: np.random.Generator) -> Births:
        """Return births that are drawn backwards.

        All goroutines end alike, so those that are alive at a scrape are a random sample of all at any scrape
        before, and the number of new goroutines in the sample is hypergeometric.
        """
        scene, last, alive = self.scene, -1, self._before(rng)

        def births(i: int) -> Floats:
            nonlocal last, alive
            begin, count, new = int(scene.begins[i]), int(self.counts[i]), []
            for j in range(i, max(last + 1, begin) - 1, -1):
                arrived = int(self.arrivals[j])
                number = int(rng.hypergeometric(arrived, int(self.counts[j]) - arrived, count))
                new.append(scene.times[j] - scene.steps[j] * rng.random(number))
                count -= number
                if not count:
                    break
            last, alive = i, np.concatenate([rng.choice(alive, count, replace=False), *new[::-1]])
            return np.sort(alive)

        return births

    def _before(self, rng: np.random.Generator) -> Floats:
        """Return the births of the goroutines that were started before the first scrape."""
        first = self.scene.times[0] - self.scene.interval
        ages = rng.exponential(self.lifetime, max(int(self.counts[0] - self.arrivals[0]), 0))
        oldest = max(first - float(self.scene.starts[0]), 0.0) if len(ages) else 0.0
        ages = np.where(ages < oldest, ages, oldest * rng.random(len(ages)))
        return np.asarray(first - ages)


def _within(scene: Scene, scrapes: npt.NDArray[np.intp], numbers: npt.NDArray[np.int64]) -> Floats:
    """Return births in the intervals before `scrapes`, which differ by the numbers of the goroutines.

    Goroutines that were there at the first scrape of an older process were started with it.
    """
    parts = numbers * GOLDEN % 1
    times = scene.times[scrapes] - scene.steps[scrapes] * parts
    if scene.age[0] > scene.interval:
        times = np.where(scrapes == 0, scene.starts[0] + FIRST * parts, times)
    return np.sort(times)


@dataclass(frozen=True, slots=True)
class Population:
    """The stacks of one process: `counts` of shape (scrapes, rows), and the parts of each row."""

    counts: Counts
    parts: Sequence[Sequence[Part]]

    def __add__(self, other: "Population") -> "Population":
        """Return stacks with the goroutines of both."""
        parts = [[*ours, *others] for ours, others in zip(self.parts, other.parts, strict=True)]
        return Population(self.counts + other.counts, parts)

    def take(self, rows: Sequence[int]) -> "Population":
        """Return the stacks of some rows."""
        return Population(self.counts[:, list(rows)], [self.parts[row] for row in rows])

    def without_parts(self) -> "Population":
        """Return the counts alone, which need less memory."""
        return Population(self.counts, [()] * self.counts.shape[1])


def beside(populations: Sequence[Population]) -> Population:
    """Return the stacks of all populations, in one process."""
    counts = np.concatenate([population.counts for population in populations], axis=1)
    return Population(counts, [parts for population in populations for parts in population.parts])


def of_parts(counts: Counts, part: Callable[[int, Counts], Part]) -> Population:
    """Return stacks of one part each; `part(row, counts)` returns the part of a row."""
    return Population(counts, [[part(row, column)] for row, column in enumerate(counts.T)])
