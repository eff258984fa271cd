"""The kinds of stack: healthy ones, healthy ones that are designed to look like a leak, and leaks.

A kind is a function from a scene to the population of its stacks. Sizes are spread evenly on a
logarithmic scale.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from arrivals import filled, hanging, leaked, long, queue, short, stairs
from population import Habit, Population
from scene import DAY, HOUR, Floats, Scene, daily, noise

Kind = Callable[[Scene], Population]
LeakKind = Callable[[Scene, float, Floats], Population]
"""Scene, leaked goroutines per hour, onset per row -> population."""


def const(scene: Scene) -> Population:
    """Count workers that were started once."""
    return _workers(scene, scene.shared.integers(1, 50, scene.rows))


def _workers(scene: Scene, numbers: npt.NDArray[np.int64]) -> Population:
    return stairs(scene, np.broadcast_to(numbers, (len(scene.times), scene.rows)))


def steady_busy(scene: Scene) -> Population:
    """Count short-lived goroutines under the same load all day."""
    return short(scene, scene.spread(20, 500) * noise(scene, 0.01, 0.05))


def diurnal_short(scene: Scene) -> Population:
    """Count short-lived goroutines under a load that swings with the day."""
    return short(scene, scene.spread(50, 1000) * daily(scene))


def diurnal_long(scene: Scene) -> Population:
    """Count connections of 0.25 to 6 h that come with the day."""
    lifetime = scene.spread(0.25 * HOUR, 6 * HOUR)
    return long(scene, scene.spread(50, 1000) / lifetime * daily(scene), lifetime)


def keep_alive(scene: Scene) -> Population:
    """Count idle connections that are closed after 90 s to 10 min."""
    lifetime = scene.spread(90, 600)
    return long(scene, scene.spread(20, 500) / lifetime * daily(scene), lifetime)


def bursts(scene: Scene) -> Population:
    """Count 4 to 12 bursts a day of 50 to 1000 goroutines, which drain within minutes."""
    level = np.tile(scene.spread(5, 50), (len(scene.times), 1))
    per_day = scene.uniform(4, 12)
    for row in range(scene.rows):
        for _ in range(scene.shared.poisson(per_day[row] * scene.times[-1] / DAY)):
            begin, size = (
                scene.shared.uniform(0, scene.times[-1]),
                np.exp(scene.shared.uniform(np.log(50), np.log(1000))),
            )
            since = scene.times - begin
            drain = scene.shared.uniform(60, 1200)
            level[:, row] += np.where(since >= 0, size * np.exp(-np.maximum(since, 0) / drain), 0)
    return short(scene, level)


def slow_dependency(scene: Scene) -> Population:
    """Count requests that wait 3 to 30 times as long for 0.5 to 3 h, once a day."""
    level = scene.spread(20, 200) * daily(scene, 0.1, 0.5)
    for day in range(int(scene.times[-1] // DAY) + 1):
        begin = day * DAY + scene.uniform(HOUR, DAY - 4 * HOUR)
        length, ramp = scene.uniform(0.5 * HOUR, 3 * HOUR), scene.spread(30, 900)
        slow = scene.during(begin, ramp) - scene.during(begin + length, ramp)
        level *= 1 + slow * (scene.spread(3, 30) - 1)
    return short(scene, level)


def step_up(scene: Scene) -> Population:
    """Count a load that goes up 1.3 to 4 times within minutes and stays there."""
    begin = scene.uniform(2 * HOUR, max(scene.times[-1] - 4 * HOUR, 3 * HOUR))
    up = 1 + scene.during(begin, scene.spread(30, 600)) * (scene.uniform(1.3, 4) - 1)
    return short(scene, scene.spread(20, 500) * up * noise(scene, 0.01, 0.05))


def warm_up(scene: Scene) -> Population:
    """Count 10 to 500 long-lived goroutines that are started when first needed, most of them early."""
    scale = scene.spread(0.1 * HOUR, 2 * HOUR)
    return filled(scene, scene.spread(10, 500), lambda u, row: -scale[row] * np.log1p(-u))


def pool(scene: Scene) -> Population:
    """Count a pool of 10 to 200 that takes 1 to 12 h to fill, in a straight line or ever more slowly."""
    length, bend = scene.spread(HOUR, 12 * HOUR), scene.uniform(1, 3)
    return filled(scene, scene.spread(10, 200), lambda u, row: length[row] * (1 - (1 - u) ** (1 / bend[row])))


def running_max(scene: Scene) -> Population:
    """Count a pool that grows to the highest demand so far and does not shrink."""
    counts = scene.own.poisson(scene.spread(5, 200) * daily(scene)).astype(np.int32)
    for begin, end in scene.lifetimes():
        counts[begin:end] = np.maximum.accumulate(counts[begin:end], axis=0)
    return stairs(scene, counts)


def sawtooth(scene: Scene) -> Population:
    """Count a batch of 20 to 500 that accumulates for 5 min to 2 h and is processed at once."""
    period, size = scene.spread(300, 2 * HOUR), scene.spread(20, 500)
    part = (scene.times[:, None] / period + scene.uniform(0, 1)) % 1
    return stairs(scene, np.round(2 + size * part).astype(np.int32))


def organic_growth(scene: Scene) -> Population:
    """Count load that grows by 10 to 60 % a day."""
    growth = 1 + scene.uniform(0.1, 0.6) * scene.times[:, None] / DAY
    return short(scene, scene.spread(20, 500) * growth * daily(scene, 0.0, 0.4))


def staircase(scene: Scene) -> Population:
    """Count workers that follow the load of the day in 2 to 8 steps of 5 to 50, an autoscaler's minutes late."""
    steps, unit = scene.uniform(2, 8), np.round(scene.spread(5, 50))
    needed = np.ceil(steps * daily(scene))
    late = int(300 / scene.interval)  # scales down after five minutes of lower demand
    workers = needed.copy()
    for lag in range(1, late + 1):
        workers[lag:] = np.maximum(workers[lag:], needed[:-lag])
    return stairs(scene, (workers * unit).astype(np.int32))


def sticky(scene: Scene) -> Population:
    """Count sessions of 8 to 48 h that begin with the day."""
    lifetime = scene.uniform(8 * HOUR, 48 * HOUR)
    return long(scene, scene.spread(50, 500) / lifetime * daily(scene), lifetime)


def drifting(scene: Scene) -> Population:
    """Count a dependency that becomes 2 to 5 times as slow over 6 to 12 h: arrivals stay, lifetimes grow."""
    lifetime = scene.spread(0.1, 60)
    drift = scene.during(scene.uniform(HOUR, 10 * HOUR), scene.uniform(6 * HOUR, 12 * HOUR))
    arrivals = scene.spread(20, 500) / lifetime * noise(scene, 0.01, 0.05)
    return long(scene, arrivals, lifetime * (1 + drift * (scene.uniform(2, 5) - 1)))


def tenants(scene: Scene) -> Population:
    """Count one goroutine per tenant, never removed: 50 to 500 tenants, each added at its first request."""
    scale = scene.spread(2 * HOUR, 12 * HOUR)
    return filled(
        scene,
        scene.spread(50, 500),
        lambda u, row: -scale[row] * np.log1p(-u) * scene.own.lognormal(0, 1, len(u)),
    )


def mixed_sessions(scene: Scene) -> Population:
    """Count sessions of 4 to 12 h and a constant churn of short requests on one stack."""
    lifetime = scene.uniform(4 * HOUR, 12 * HOUR)
    sessions = long(scene, scene.spread(50, 500) / lifetime * daily(scene), lifetime)
    return sessions + short(scene, scene.spread(20, 200) * noise(scene, 0.01, 0.05))


def semaphore(scene: Scene) -> Population:
    """Count a queue in front of a semaphore that the busiest hours saturate; waiters give up after 2 to 30 min."""
    capacity = scene.spread(0.5, 5)  # per second
    arrivals = capacity * scene.uniform(0.75, 0.85) * daily(scene, 0.25, 0.35)
    arrived = scene.own.poisson(arrivals * scene.interval)
    served = scene.own.poisson(capacity * scene.interval, arrivals.shape)
    stay = np.exp(-scene.interval / scene.spread(120, 1800))
    counts = np.zeros(arrivals.shape, np.int32)
    waiting = np.zeros(scene.rows, np.int64)
    for i in range(len(counts)):
        waiting = np.maximum(scene.own.binomial(waiting, stay) + arrived[i] - served[i], 0)
        counts[i] = waiting
    return queue(scene, arrived.astype(np.int32), counts) + short(scene, arrivals)


def outage(scene: Scene) -> Population:
    """Count 10 to 600 requests an hour, all of which hang for one hour and then continue."""
    begin = scene.uniform(2 * HOUR, max(scene.times[-1] - 4 * HOUR, 3 * HOUR))
    return hanging(scene, scene.spread(10, 600), begin, HOUR) + short(scene, scene.spread(1, 20) * daily(scene))


def blips(scene: Scene) -> Population:
    """Count workers that were started once, and 2 to 24 jobs a day of 1 to 30 min beside them."""
    per_second, lifetime = scene.spread(2, 24) / DAY, scene.spread(60, 1800)
    jobs = long(scene, np.tile(per_second, (len(scene.times), 1)), lifetime, Habit.QUEUED)
    return _workers(scene, scene.shared.integers(0, 4, scene.rows)) + jobs


def watchers(scene: Scene) -> Population:
    """Count goroutines that wait for the end of sessions of 0.25 to 6 h, which come with the day."""
    lifetime = scene.spread(0.25 * HOUR, 6 * HOUR)
    return long(scene, scene.spread(50, 500) / lifetime * daily(scene), lifetime, Habit.WATCHING)


def pure(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count 0 to 3 healthy goroutines, and the leak."""
    return leaked(scene, rate, onset) + _workers(scene, scene.shared.integers(0, 4, scene.rows))


def ticking(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak of loops that wake up each minute."""
    return leaked(scene, rate, onset, habit=Habit.TICKING) + _workers(
        scene, scene.shared.integers(0, 4, scene.rows)
    )


def retrying(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak of loops that retry after a pause that doubles, up to ten minutes."""
    return leaked(scene, rate, onset, habit=Habit.RETRYING) + _workers(
        scene, scene.shared.integers(0, 4, scene.rows)
    )


def with_blips(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak beside rare jobs."""
    return leaked(scene, rate, onset) + blips(scene)


def in_batches(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak of 20 at a time."""
    return leaked(scene, rate, onset, batch=20) + _workers(scene, scene.shared.integers(1, 50, scene.rows) // 16)


def in_busy(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak in a busy stack."""
    return leaked(scene, rate, onset) + steady_busy(scene)


def in_diurnal(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak in a stack that swings with the day."""
    return leaked(scene, rate, onset) + diurnal_short(scene)


def with_load(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak of a share of the requests, which swing with the day."""
    load = daily(scene)
    return leaked(scene, rate, onset, load) + short(scene, scene.spread(5, 200) * load)


def in_connections(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak among connections of 1 to 4 h that come with the day."""
    lifetime = scene.spread(HOUR, 4 * HOUR)
    return leaked(scene, rate, onset) + long(scene, scene.spread(50, 500) / lifetime * daily(scene), lifetime)


def in_noise(scene: Scene, rate: float, onset: Floats) -> Population:
    """Count a leak in a large stack under a load that varies by 5 to 10 %."""
    return leaked(scene, rate, onset) + short(scene, scene.spread(1000, 5000) * noise(scene, 0.05, 0.1))
