"""Full dumps of simulated processes: IDs, wait times and creators of the goroutines at any scrape."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from population import Habit, Part
from scenarios import Traces
from scene import FIRST, HOUR, Floats

from leakwatch.detect.dumped import UNKNOWN, DumpedStack

Ints = npt.NDArray[np.int64]

MINUTE: Final = 60.0
FORCED: Final = 2 * MINUTE
"""Seconds after which Go collects garbage although nothing was allocated."""
TICK: Final = 1e-8
"""Seconds of a process in which at most one goroutine is started."""
OFFSETS: Final = 16
"""IDs per tick: one for each part of a stack, and one for a creator."""
CREATOR: Final = OFFSETS - 1
MAIN: Final = 1
LOOP: Final = 2
"""ID of the goroutine that started all goroutines of a stack in a loop."""
RETRY_DOUBLINGS: Final = 10
RETRY_MOST: Final = 10 * MINUTE


@dataclass(frozen=True, slots=True)
class Waits:
    """How the lasting goroutines of each row wait: arrays of shape (rows,).

    `silent`: share of the goroutines that wait for ever. The others wake up at random, every `mean` seconds.
    """

    silent: Floats
    mean: Floats

    def take(self, rows: Sequence[int]) -> "Waits":
        """Return some rows."""
        return Waits(self.silent[list(rows)], self.mean[list(rows)])


def wakes(rows: int, rng: np.random.Generator, low: float = 10.0, high: float = 20 * MINUTE) -> Floats:
    """Return means of `low` to `high` seconds for so many rows."""
    return np.exp(rng.uniform(np.log(low), np.log(high), rows))


@dataclass(frozen=True, slots=True)
class Collector:
    """A process collects garbage every `interval` seconds; never if it is inf."""

    interval: float
    phase: float = 0.0

    def minutes(self, since: Floats, time: float) -> Ints:
        """Return the minutes that Go prints for goroutines that wait since `since`, UNKNOWN for none.

        The wait begins when the garbage collector first finds that the goroutine waits. Go prints no zeros.
        """
        if np.isinf(self.interval):
            return np.full(len(since), UNKNOWN, np.int64)
        noticed = np.ceil((since - self.phase) / self.interval) * self.interval + self.phase
        minutes = np.floor((time - noticed) / MINUTE).astype(np.int64)
        return np.where(minutes < 1, UNKNOWN, minutes)


class Goroutines:
    """The goroutines of one part of a stack; keeps since when each has waited."""

    def __init__(self, part: Part, offset: int, silent: float, mean: float, rng: np.random.Generator) -> None:
        self._habit = part.habit
        self._births = part.births(rng)
        self._offset = offset
        self._silent = silent
        self._mean = mean
        self._rng = rng
        self._time = -np.inf
        self._ids = np.zeros(0, np.int64)
        self._since = np.zeros(0)

    def at(self, i: int, time: float, start: float) -> tuple[Ints, Floats]:
        """Return ID and begin of the wait of each goroutine at scrape `i`; `start`: of the process."""
        births = self._births(i)
        ids = ((births - start) / TICK).astype(np.int64) * OFFSETS + self._offset
        since = self._waiting(births, ids, time)
        self._time, self._ids, self._since = time, ids, since
        return ids, since

    def _waiting(self, births: Floats, ids: Ints, time: float) -> Floats:
        age = time - births
        if self._habit is Habit.TICKING:
            return time - age % MINUTE
        if self._habit is Habit.RETRYING:
            return time - retry_wait(age)
        if self._habit is Habit.LASTING:
            busy = ids // OFFSETS % 1000 >= 1000 * self._silent
            return np.where(busy, self._last_wakes(births, ids, time), births)
        return births

    def _last_wakes(self, births: Floats, ids: Ints, time: float) -> Floats:
        """Return when each goroutine was last started or woken, as in the dump before if that was earlier."""
        woken = time - self._rng.exponential(self._mean, len(births))
        if not len(self._ids):
            return np.maximum(births, woken)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        known = self._ids[at] == ids
        return np.where(known & (woken < self._time), self._since[at], np.maximum(births, woken))


def retry_wait(age: Floats) -> Floats:
    """Return for how long a goroutine of some age has waited if its pauses double, up to a limit."""
    doubling = 2.0**RETRY_DOUBLINGS - 1
    early = age + 1 - 2.0 ** np.floor(np.log2(np.minimum(np.maximum(age, 0), doubling) + 1))
    return np.where(age < doubling, early, (age - doubling) % RETRY_MOST)


class StackDumps:
    """The dumps of one stack, in time order."""

    def __init__(self, parts: Sequence[Part], silent: float, mean: float, rng: np.random.Generator) -> None:
        self._goroutines = [Goroutines(part, i, silent, mean, rng) for i, part in enumerate(parts)]
        self._watches = [part.habit is Habit.WATCHING for part in parts]
        self._in_loop = bool(rng.random() < 0.5)

    def at(self, i: int, time: float, start: float, collector: Collector) -> DumpedStack:
        """Return the goroutines at scrape `i`."""
        drawn = [goroutines.at(i, time, start) for goroutines in self._goroutines]
        parents = [
            ids // OFFSETS * OFFSETS + CREATOR if watches or not self._in_loop else np.full_like(ids, LOOP)
            for watches, (ids, _) in zip(self._watches, drawn, strict=True)
        ]
        ids = np.concatenate([ids for ids, _ in drawn])
        minutes = collector.minutes(np.concatenate([since for _, since in drawn]), time)
        order = np.argsort(ids, kind="stable")
        return DumpedStack(ids[order], minutes[order], np.concatenate(parents)[order])

    def creators(self, dumped: DumpedStack) -> DumpedStack | None:
        """Return the goroutines that created those that watch, all awake; None without any.

        Other creators have ended, or are one loop.
        """
        if not any(self._watches):
            return None
        ids = np.unique(dumped.parents)
        return DumpedStack(ids, np.full_like(ids, UNKNOWN), np.zeros_like(ids))


class Dumps:
    """The dumps of one process, in time order."""

    def __init__(self, traces: Traces, waits: Waits, collector: Collector, rng: np.random.Generator) -> None:
        self._traces = traces
        self._collector = collector
        self._stacks = [
            StackDumps(parts, silent, mean, rng)
            for parts, silent, mean in zip(
                traces.population.parts, waits.silent.tolist(), waits.mean.tolist(), strict=True
            )
        ]

    def at(self, i: int) -> Iterator[tuple[int, DumpedStack, DumpedStack | None]]:
        """Return row, goroutines, and their creators if these are alive, of each stack at scrape `i`."""
        time, start = float(self._traces.times[i]), self._start(i)
        for row in np.flatnonzero(self._traces.counts[i]).tolist():
            stack = self._stacks[row]
            dumped = stack.at(i, time, start, self._collector)
            yield row, dumped, stack.creators(dumped)

    def others(self, i: int) -> Sequence[DumpedStack]:
        """Return the goroutine that waits for a signal since the start, and the one that returns the dump."""
        time, start = float(self._traces.times[i]), self._start(i)
        minutes = self._collector.minutes(np.array([start]), time)
        newest = np.array([int((time - start) / TICK) * OFFSETS + CREATOR])
        return [
            DumpedStack(np.array([MAIN]), minutes, np.zeros(1, np.int64)),
            DumpedStack(newest, np.array([UNKNOWN]), np.array([MAIN])),
        ]

    def _start(self, i: int) -> float:
        return float(self._traces.times[i] - self._traces.age[i]) - FIRST


def collector(rng: np.random.Generator) -> Collector:
    """Return a collector that runs every second to every two minutes."""
    interval = float(np.exp(rng.uniform(0, np.log(FORCED))))
    return Collector(interval, float(rng.uniform(0, interval)))


SLOW: Final = (10 * MINUTE, 4 * HOUR)
"""Bounds of the mean interval of goroutines that seldom wake up, in seconds."""
