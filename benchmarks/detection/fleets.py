"""Traces of services: replicas under one load, and successive processes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import kinds
import numpy as np
from arrivals import leaked, short
from kinds import Kind, LeakKind
from population import Population, beside
from scenarios import HEALTHY, Length, Traces, ages, seeded
from scene import HOUR, Floats, Scene, noise

ROWS: Final = 10
"""Stacks of each kind in one service."""
POOLED: Final = tuple(name for name in HEALTHY if name not in {"restarts", "sawtooth", "staircase"})
LIFETIMES: Final[Mapping[str, Kind]] = {
    "warm-up": kinds.warm_up,
    "pool": kinds.pool,
    "running-max pool": kinds.running_max,
    "staircase": kinds.staircase,
    "sticky": kinds.sticky,
}


def in_quiet_busy(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak in a stack of 20 to 100 short-lived goroutines."""
    return leaked(scene, rate, onset) + short(scene, scene.spread(20, 100) * noise(scene, 0.01, 0.05))


EACH: Final[Mapping[str, tuple[LeakKind, float]]] = {
    "1/h each": (kinds.pure, 1.0),
    "0.2/h each": (kinds.pure, 0.2),
    "2 a day each": (kinds.pure, 2 / 24),
    "busy (20-100), 3/h each": (in_quiet_busy, 3.0),
}
ONE_PER_HOUR: Final[Mapping[str, tuple[LeakKind, float]]] = {
    "1/h each": (kinds.pure, 1.0),
    "1/h each, beside rare jobs": (kinds.with_blips, 1.0),
}
SESSIONS: Final = ("sticky", "diurnal long", "pool")
"""Healthy kinds of services that are asked for full dumps."""
ON_ONE: Final = "as much as 1/h each, on one"


def replicas(
    number: int,
    variant: str,
    length: Length,
    part: int,
    names: Sequence[str] = (*POOLED, *EACH, ON_ONE),
    *,
    keeps_parts: bool = False,
) -> list[Traces]:
    """Return the traces of `number` replicas that have ROWS stacks of every kind in `names`, in this order.

    `variant`: staggered (each restarts every 10-14 h), rolling (every 12 h all restart within an hour), joining
    (each is removed after 10-14 h and another is added 1-4 h later). `part` is the number of the service.
    `keeps_parts`: whether dumps can be drawn; this needs twice the memory.
    """
    onset = seeded(length.seed, "onset", part).uniform(2 * HOUR, 14 * HOUR, ROWS)
    onsets = np.concatenate([np.full(ROWS, np.inf) if name in HEALTHY else onset for name in names])
    all_traces = []
    for replica in range(number):
        age = _ages(variant, length, part, replica)
        columns = []
        for name in names:
            seeds = (length.seed, "fleet", number, part, name)
            scene = Scene(length.times, age, ROWS, seeded(*seeds), seeded(*seeds, replica), part * ROWS)
            if name in HEALTHY:
                population = HEALTHY[name].make(scene)
            else:
                rate = 0.0 if replica else float(number)
                leak, rate = {**EACH, **ONE_PER_HOUR}.get(name, (kinds.pure, rate))
                population = leak(scene, rate, onset)
            columns.append(population if keeps_parts else population.without_parts())
        all_traces.append(Traces(length.times, age, beside(columns), onsets))
    return all_traces


def names() -> tuple[str, ...]:
    """Return the kinds of a service's stacks: healthy ones, then leaks."""
    return (*POOLED, *EACH, ON_ONE)


def _ages(variant: str, length: Length, part: int, replica: int) -> Floats:
    rng = seeded(length.seed, "age", part, replica)
    if variant == "rolling":
        begins = np.arange(-12.0, length.hours, 12.0) + 6 + rng.uniform(0, 1)
        return np.asarray(
            length.times - begins[np.searchsorted(begins, length.times / HOUR, side="right") - 1] * HOUR
        )
    age = ages(length.times, rng, (10, 14))
    if variant == "joining":
        for begin in np.flatnonzero(np.diff(age) < 0) + 1:
            away = rng.uniform(1, 4) * HOUR
            age[begin : begin + int(away / length.interval)] = np.nan
    return age


def lifetimes(name: str, length: Length) -> list[Traces]:
    """Return traces of processes that are restarted every 14-18 h; "pure 10/h" leaks all the time."""
    length = replace(length, hours=120.0)
    processes = []
    for first in range(0, length.traces, ROWS):
        seeds = (length.seed, "lifetimes", name, first)
        age = ages(length.times, seeded(*seeds, "age"), (14, 18), fresh=True)
        scene = Scene(
            length.times, age, min(ROWS, length.traces - first), seeded(*seeds), seeded(*seeds, "own"), first
        )
        leaks = name not in LIFETIMES
        onset = np.full(scene.rows, 0.0 if leaks else np.inf)
        population = kinds.pure(scene, 10.0, onset) if leaks else LIFETIMES[name](scene)
        processes.append(Traces(scene.times, age, population, onset))
    return processes
