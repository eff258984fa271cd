"""Traces of every kind of stack, made from a seed; by default 48 hours at 15 s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

import kinds
import numpy as np
from kinds import Kind, LeakKind
from population import Population
from scene import DAY, HOUR, Counts, Floats, Scene

RATES: Final = (1.0, 10.0, 60.0, 1000.0)
OLD: Final = 30 * DAY
"""Age of a process that started long before the first scrape."""
TOGETHER: Final = 10
"""Stacks of one process that restarts, so that not all traces restart at the same times."""
SERVICE: Final[Mapping[str, float]] = {
    "const": 42,
    "steady busy": 4,
    "diurnal short": 4,
    "diurnal long": 1,
    "keep-alive": 2,
    "bursts": 1.5,
    "slow dependency": 0.5,
    "warm-up": 1,
    "pool": 1,
    "sawtooth": 0.5,
    "step up": 0.5,
    "organic growth": 1,
    "staircase": 0.5,
    "sticky": 0.5,
}
"""Stacks of each kind in a service of 60."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """A kind that does not leak.

    `fresh`: its process starts at the first scrape; `restarts`: bounds of the hours until each restart.
    """

    make: Kind
    fresh: bool = False
    restarts: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Leaking:
    """A kind that leaks, from an onset after 2 to 24 h or, if `fresh`, from the start of its process."""

    make: LeakKind
    fresh: bool = False
    restarts: tuple[float, float] | None = None


HEALTHY: Final[Mapping[str, Healthy]] = {
    "const": Healthy(kinds.const),
    "steady busy": Healthy(kinds.steady_busy),
    "diurnal short": Healthy(kinds.diurnal_short),
    "diurnal long": Healthy(kinds.diurnal_long),
    "keep-alive": Healthy(kinds.keep_alive),
    "bursts": Healthy(kinds.bursts),
    "slow dependency": Healthy(kinds.slow_dependency),
    "step up": Healthy(kinds.step_up),
    "warm-up": Healthy(kinds.warm_up, fresh=True),
    "pool": Healthy(kinds.pool, fresh=True),
    "sawtooth": Healthy(kinds.sawtooth),
    "restarts": Healthy(kinds.diurnal_short, restarts=(4, 14)),
    "organic growth": Healthy(kinds.organic_growth),
    "staircase": Healthy(kinds.staircase),
    "sticky": Healthy(kinds.sticky),
}
MADE_TO_FAIL: Final[Mapping[str, Healthy]] = {
    "drifting dependency": Healthy(kinds.drifting),
    "one per tenant": Healthy(kinds.tenants, fresh=True),
    "mixed sessions": Healthy(kinds.mixed_sessions),
    "saturated semaphore": Healthy(kinds.semaphore),
    "an hour of hanging requests": Healthy(kinds.outage),
    "rare blips": Healthy(kinds.blips),
    "session watchers": Healthy(kinds.watchers),
}
LEAKS: Final[Mapping[str, Leaking]] = {
    "pure": Leaking(kinds.pure),
    "fresh, pure": Leaking(kinds.pure, fresh=True),
    "pure, in batches of 20": Leaking(kinds.in_batches),
    "in a busy stack": Leaking(kinds.in_busy),
    "fresh, busy": Leaking(kinds.in_busy, fresh=True),
    "in a diurnal stack": Leaking(kinds.in_diurnal),
    "proportional to load": Leaking(kinds.with_load),
    "in long connections": Leaking(kinds.in_connections),
    "in a large noisy stack": Leaking(kinds.in_noise),
    "busy, with restarts": Leaking(kinds.in_busy, restarts=(10, 14)),
    "ticker loop": Leaking(kinds.ticking),
    "retry with backoff": Leaking(kinds.retrying),
}


def seeded(*parts: str | int) -> np.random.Generator:
    """Return a generator with a seed made of `parts`."""
    return np.random.default_rng([part if isinstance(part, int) else crc32(part.encode()) for part in parts])


@dataclass(frozen=True, slots=True)
class Traces:
    """The stacks of one process.

    `times` and `age` have shape (scrapes,), `onset` (rows,), inf for healthy rows. Times are seconds since the
    first scrape; `rate` is per hour.
    """

    times: Floats
    age: Floats
    population: Population
    onset: Floats
    rate: float = 0.0

    @property
    def counts(self) -> Counts:
        """Counts of shape (scrapes, rows)."""
        return self.population.counts

    def take(self, rows: Sequence[int]) -> "Traces":
        """Return some rows, as the stacks of a process of their own."""
        return replace(self, population=self.population.take(rows), onset=self.onset[list(rows)])


@dataclass(frozen=True, slots=True)
class Length:
    """Size of a run: `traces` of each kind, `hours` of each trace, seconds between scrapes, and the seed."""

    seed: int = 1
    traces: int = 100
    hours: float = 48.0
    interval: float = 15.0

    @property
    def times(self) -> Floats:
        """Return the scrape times, seconds since the first."""
        return np.arange(0.0, self.hours * HOUR, self.interval)


def make(name: str, length: Length, rate: float = 0.0) -> list[Traces]:
    """Return the traces of one kind, by process; `rate`: of a leak, per hour."""
    kind = LEAKS.get(name) or MADE_TO_FAIL.get(name) or HEALTHY[name]
    rows = TOGETHER if kind.restarts else length.traces
    processes = []
    for first in range(0, length.traces, rows):
        shared, own = (
            seeded(length.seed, name, int(rate), first, 0),
            seeded(length.seed, name, int(rate), first, 1),
        )
        age = ages(length.times, shared, kind.restarts, fresh=kind.fresh)
        scene = Scene(length.times, age, min(rows, length.traces - first), shared, own, first)
        onset = scene.uniform(2 * HOUR, DAY) if isinstance(kind, Leaking) else np.full(scene.rows, np.inf)
        if isinstance(kind, Healthy):
            population = kind.make(scene)
        else:
            onset = 0 * onset if kind.fresh else onset
            population = kind.make(scene, rate, onset)
        processes.append(Traces(scene.times, age, population, onset, rate))
    return processes


def ages(
    times: Floats, rng: np.random.Generator, restarts: tuple[float, float] | None = None, *, fresh: bool = False
) -> Floats:
    """Return the age of a process at each scrape; `restarts`: bounds of the hours between restarts."""
    if not restarts:
        return times if fresh else times + OLD
    lengths = rng.uniform(*restarts, int(times[-1] / HOUR / restarts[0]) + 3) * HOUR
    begins = np.concatenate([[0.0], np.cumsum(lengths)]) - (0 if fresh else rng.uniform(0, lengths[0]))
    starts = begins[np.searchsorted(begins, times, side="right") - 1]
    return np.asarray(times - starts)
