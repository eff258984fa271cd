"""How the goroutines of stacks are started and end; each function returns a population for a scene."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from population import Brief, Habit, Population, Queue, Sessions, Stairs, of_parts
from scene import DAY, HOUR, Counts, Floats, Scene


def stairs(scene: Scene, counts: npt.NDArray[np.integer], habit: Habit = Habit.LASTING) -> Population:
    """Return goroutines that stay until the count falls; none while there is no process."""
    there = np.where(np.isnan(scene.age)[:, None], 0, counts).astype(np.int32)
    return of_parts(there, lambda _, column: Stairs(scene, column, habit))


def short(scene: Scene, level: Floats) -> Population:
    """Return goroutines that live for less than a scrape interval, `level` at a time."""
    counts = scene.own.poisson(level).astype(np.int32)
    counts[np.isnan(scene.age)] = 0
    return of_parts(counts, lambda _, column: Brief(scene, column))


def long(scene: Scene, arrivals: Floats, lifetime: Floats, habit: Habit = Habit.LASTING) -> Population:
    """Return goroutines with random arrivals, `arrivals` per second, and an average `lifetime`.

    `lifetime` has shape (rows,) or (scrapes, rows). The count before the first scrape is drawn as if the load of
    the same hours had been there the day before.
    """
    stay = np.broadcast_to(np.exp(-scene.interval / lifetime), arrivals.shape)
    arriving = arrivals * lifetime * (1 - stay)
    counts, arrived = np.zeros((2, *arrivals.shape), np.int32)
    starts = {begin for begin, _ in scene.lifetimes()}
    count = scene.own.poisson(_before(scene, arriving, stay))
    for i in range(len(counts)):
        if i and i in starts:
            count = np.zeros_like(count)
        count = scene.own.binomial(count, stay[i])
        arrived[i] = scene.own.poisson(arriving[i])
        count = counts[i] = count + arrived[i]
    counts[np.isnan(scene.age)] = 0
    first = np.broadcast_to(lifetime, arrivals.shape)[0]
    return of_parts(counts, lambda row, column: Sessions(scene, column, arrived[:, row], float(first[row]), habit))


def _before(scene: Scene, arriving: Floats, stay: Floats) -> Floats:
    """Return the expected count before the first scrape, from the age of the process."""
    day = min(round(DAY / scene.interval), len(arriving))
    age = round(float(np.nan_to_num(scene.age[0])) / scene.interval)
    count = np.zeros(scene.rows) if age < day else arriving[:day].mean(axis=0) / (1 - stay[0])
    for i in range(day - min(age, day), day):
        count = count * stay[0] + arriving[i]
    return count


def filled(scene: Scene, slots: Floats, fills: Callable[[Floats, int], Floats]) -> Population:
    """Return goroutines that arrive once and stay, `slots` per row.

    `fills(u, row)` returns the ages of the process at which they arrive, for u uniform in 0 to 1.
    """
    counts = np.zeros((len(scene.times), scene.rows), np.int32)
    for begin, end in scene.lifetimes():
        for row, size in enumerate(slots):
            ages = np.sort(fills(scene.own.random(round(size)), row))
            counts[begin:end, row] = np.searchsorted(ages, scene.age[begin:end], side="right")
    return stairs(scene, counts)


def queue(scene: Scene, arrived: Counts, counts: Counts) -> Population:
    """Return goroutines that wait in a queue; `arrived` per scrape."""
    return of_parts(counts.astype(np.int32), lambda row, column: Queue(scene, column, arrived[:, row]))


def hanging(scene: Scene, rate: Floats, begin: Floats, length: float) -> Population:
    """Return requests, `rate` per hour, that hang from `begin` on until `length` seconds later."""
    since = scene.times[:, None] - begin
    hang = (since >= 0) & (since < length)
    arriving = scene.own.poisson(hang * (rate / HOUR * scene.interval))
    return stairs(scene, np.cumsum(arriving, axis=0) * hang, Habit.QUEUED)


def leaked(
    scene: Scene,
    rate: float,
    onset: Floats,
    weight: Floats | float = 1.0,
    *,
    batch: int = 1,
    habit: Habit = Habit.LEAKED,
) -> Population:
    """Return leaked goroutines: `rate` per hour since `onset`, `batch` at a time, until a restart.

    The rate is multiplied by `weight`, shape (scrapes, rows).
    """
    expected = (scene.times[:, None] >= onset) * (rate / HOUR * scene.interval / batch * weight)
    expected[np.isnan(scene.age)] = 0
    sums = np.cumsum(scene.own.poisson(expected) * batch, axis=0)
    counts = np.zeros(sums.shape, np.int32)
    for begin, end in scene.lifetimes():
        counts[begin:end] = sums[begin:end] - (sums[begin - 1] if begin else 0)
    return stairs(scene, counts, habit)
