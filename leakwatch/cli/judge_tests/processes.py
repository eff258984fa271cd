"""Simulated processes: the goroutines that the series of a judge test describe, one by one.

The same test always has the same goroutines, because chance comes from a seed.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from leakwatch.cli.judge_tests.file import SeriesConfig
from leakwatch.cli.judge_tests.notation import Counts, whole
from leakwatch.detect.dumped import UNKNOWN, DumpedStack, DumpedStacks
from leakwatch.model import Fingerprint, Process, Trace
from leakwatch.profile.fingerprint import fingerprint_of

MINUTE: Final = 60.0  # seconds
WAITER: Final = fingerprint_of(("os/signal.loop",))
"""A stack with one goroutine, which has waited since the start of its process, as each process has."""
GOLDEN_RATIO: Final = (5**0.5 - 1) / 2
"""Its multiples modulo 1 are spread more evenly than random numbers."""
NEGLIGIBLE: Final = 1e-4  # probability
LARGE: Final = 50.0
"""Mean above which a Poisson number is drawn as a normal one."""


class Cohort(NamedTuple):
    """The living goroutines of a series that were started at one time."""

    started: float
    """Seconds since the start of the process."""
    numbers: Sequence[int]
    """Their IDs, ascending."""


class SimulatedSeries:
    """The living goroutines of one series in one process."""

    def __init__(self, series: SeriesConfig, interval: float, chance: random.Random) -> None:
        self._counts = Counts(series.counts, interval)
        self._lifetime = series.lifetime
        self._stuck_share = series.stuck or 0.0
        self._chance = chance
        self._age: float | None = None
        """Age of the process at the latest profile."""
        self._cohorts: list[Cohort] = []
        """The oldest first."""
        self.goroutines = 0

    def advance(self, age: float, first_number: int) -> int:
        """Start and end goroutines until the process is `age` seconds old; return the number of new ones.

        `first_number`: the ID of the first new one; the others follow.
        """
        before, self._age = self._age, age
        if self._lifetime is None:
            new = whole(self._counts.at(age)) - self.goroutines
            self._end(-new)
        else:
            staying = 0.0 if before is None else math.exp((before - age) / self._lifetime)
            self._thin(staying)
            new = self._poisson(max(self._counts.at(age) - staying * self._counts.at(before or 0.0), 0.0))
        if new > 0:
            self._cohorts.append(Cohort(age, range(first_number, first_number + new)))
            self.goroutines += new
        return max(new, 0)

    def is_stuck(self, number: int) -> bool:
        """Return whether a goroutine never wakes up; those that do not are spread evenly over all numbers."""
        return number * GOLDEN_RATIO % 1 < self._stuck_share

    def living(self) -> Iterator[tuple[int, float]]:
        """Yield the ID and the start of each goroutine, the oldest first."""
        for started, numbers in self._cohorts:
            for number in numbers:
                yield number, started

    def _end(self, number: int) -> None:
        """End the oldest goroutines that wake up, and stuck ones only if there are no others."""
        if number <= 0:
            return
        ending = {each for each, _ in sorted(self.living(), key=lambda each: self.is_stuck(each[0]))[:number]}
        self._keep(lambda each: each not in ending)

    def _thin(self, staying: float) -> None:
        """End goroutines at random; `staying`: the probability of each to stay."""
        if staying < NEGLIGIBLE:
            self._cohorts, self.goroutines = [], 0
        else:
            self._keep(lambda _: self._chance.random() < staying)

    def _keep(self, stays: Callable[[int], bool]) -> None:
        cohorts = (Cohort(started, [*filter(stays, numbers)]) for started, numbers in self._cohorts)
        self._cohorts = [cohort for cohort in cohorts if cohort.numbers]
        self.goroutines = sum(len(cohort.numbers) for cohort in self._cohorts)

    def _poisson(self, mean: float) -> int:
        """Return a random number of independent events."""
        if mean > LARGE:
            return max(round(self._chance.gauss(mean, math.sqrt(mean))), 0)
        number, product, limit = 0, self._chance.random(), math.exp(-mean)
        while product > limit:
            number, product = number + 1, product * self._chance.random()
        return number


class SimulatedProcess:
    """One process of a replica, started at `start` in seconds since the start of the test."""

    def __init__(
        self, name: str, start: float, series: Sequence[tuple[Trace, SeriesConfig]], interval: float
    ) -> None:
        self.process = Process(name)
        self._start = start
        self._next_number = 2  # the first one is WAITER
        self._series = [
            (trace, SimulatedSeries(config, interval, random.Random(f"{name} {number}")))  # noqa: S311  a simulation
            for number, (trace, config) in enumerate(series)
        ]

    def groups(self, time: float) -> list[tuple[Trace, int]]:
        """Return the groups of a profile at `time`."""
        for _, series in self._series:
            self._next_number += series.advance(time - self._start, self._next_number)
        return [(trace, series.goroutines) for trace, series in self._series if series.goroutines]

    def dump(self, time: float, fingerprint: Callable[[Trace], Fingerprint]) -> DumpedStacks:
        """Return the goroutines as in a full dump at the time of the latest profile, with WAITER.

        Goroutines that wake up have done so within the last minute, for which a dump has no wait time.
        """
        age = time - self._start
        rows: dict[Fingerprint, list[tuple[int, int, int]]] = {WAITER: [(1, _minutes(age), 0)]}
        for trace, series in self._series:
            members = rows.setdefault(fingerprint(trace), [])
            for number, started in series.living():
                minutes = _minutes(age - started) if series.is_stuck(number) else UNKNOWN
                members.append((number, minutes, 0))
        return {
            key: DumpedStack(*np.array(sorted(members), np.int64).T) for key, members in rows.items() if members
        }


def _minutes(seconds: float) -> int:
    """Return whole minutes as a dump shows them, which omits the first."""
    return int(seconds // MINUTE) or UNKNOWN
