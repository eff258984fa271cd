"""The rules that people use instead, over counts of shape (scrapes, rows).

A rule returns the times of its evaluations, in seconds since the first scrape, and whether each row fires then.
It gets every scrape in time, and ignores restarts.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scene import HOUR, Floats

Fired = tuple[Floats, npt.NDArray[np.bool_]]
Counts = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Rule = Callable[[Floats, Counts], Fired]

MINUTE: Final = 60.0
BLOCK: Final = 300.0
HOLMES_LEAST: Final = 3000
HOLMES_MOST: Final = 200_000
HOLMES_RISE: Final = 1.2
RANDOM_PAUSE: Final = 72 * HOUR
EVER_GREW: Final = 8


def deriv(times: Floats, counts: Counts, window: float = HOUR) -> tuple[Floats, Floats]:
    """Return Prometheus' deriv, the least-squares slope over `window`, per hour, evaluated every minute."""
    step = float(times[1] - times[0])
    size = int(window / step)
    every = max(int(MINUTE / step), 1)
    levels = counts - counts[0].astype(np.float64)
    zero = np.zeros((1, levels.shape[1]))
    sums = np.concatenate([zero, np.cumsum(levels, axis=0)])
    index = np.arange(len(times), dtype=np.float64)[:, None]
    weighted = np.concatenate([zero, np.cumsum(levels * index, axis=0)])
    ends = np.arange(size, len(times) + 1, every)
    inside = sums[ends] - sums[ends - size]
    centre = (ends - (size + 1) / 2)[:, None]
    slope = (weighted[ends] - weighted[ends - size] - centre * inside) / (size * (size * size - 1) / 12)
    return times[ends - 1], slope * HOUR / step


def held(firing: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.bool_]:
    """Return where `firing` has held for `size` evaluations running, like `for` in an alerting rule."""
    sums = np.concatenate([np.zeros((1, firing.shape[1]), np.int64), np.cumsum(firing, axis=0)])
    result = np.zeros_like(firing)
    result[size - 1 :] = sums[size:] - sums[:-size] == size
    return result


def deriv_of_total(times: Floats, counts: Counts) -> Fired:
    """Fire while the hour's slope is above 60 per hour."""
    evaluations, slope = deriv(times, counts)
    return evaluations, slope > 60


def deriv_of_stack(times: Floats, counts: Counts) -> Fired:
    """Fire when the hour's slope has been above 10 per hour for an hour."""
    evaluations, slope = deriv(times, counts)
    return evaluations, held(slope > 10, int(HOUR / (evaluations[1] - evaluations[0])) + 1)


def blocks_of(times: Floats, counts: Counts, width: float = BLOCK) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Return the times at which blocks of `width` seconds end, and the counts in each: (blocks, scrapes, rows)."""
    size = int(width / (times[1] - times[0]))
    number = len(times) // size
    cut = counts[: number * size].reshape(number, size, -1).astype(np.float64)
    return times[: number * size].reshape(number, size)[:, -1], cut


def mann_kendall(times: Floats, counts: Counts) -> Fired:
    """Fire while, over the block means of 2 h, Kendall's z is above 3.3 and Sen's slope above 5 per hour."""
    ends, cut = blocks_of(times, counts)
    means = cut.mean(axis=1)
    size = int(2 * HOUR / BLOCK)
    earlier, later = np.triu_indices(size, 1)
    spans = ((later - earlier) * BLOCK / HOUR)[:, None]
    deviation = np.sqrt(size * (size - 1) * (2 * size + 5) / 18)
    firing = np.zeros(means.shape, np.bool_)
    for end in range(size, len(means) + 1):
        window = means[end - size : end]
        differences = window[later] - window[earlier]
        s = np.sign(differences).sum(axis=0)
        rows = np.flatnonzero((s - np.sign(s)) / deviation > 3.3)
        if len(rows):
            firing[end - 1, rows] = np.median(differences[:, rows] / spans, axis=0) > 5
    return ends, firing


def page_hinkley(times: Floats, counts: Counts) -> Fired:
    """Fire when the summed excess of each minute over the mean so far exceeds 50 deviations, of 1 or more.

    Half a deviation is subtracted from the excess. Mean and deviation are those since the last alarm. The rule
    does not fire in the half hour after an alarm.
    """
    ends, cut = blocks_of(times, counts, MINUTE)
    values = cut.mean(axis=1)
    firing = np.zeros(values.shape, np.bool_)
    minutes, mean, squares, rise = np.zeros((4, values.shape[1]))
    for i, value in enumerate(values):
        minutes += 1
        change = value - mean
        mean += change / minutes
        squares += change * (value - mean)
        deviation = np.maximum(np.sqrt(squares / minutes), 1)
        rise = np.maximum(rise + value - mean - 0.5 * deviation, 0)
        rise[minutes < 30] = 0
        alarm = rise > 50 * deviation
        firing[i] = alarm
        for state in (minutes, mean, squares, rise):
            state[alarm] = 0
    return ends, firing


def five_rises(times: Floats, counts: Counts) -> Fired:
    """Fire when the mean of 5 min has risen five times running."""
    ends, cut = blocks_of(times, counts)
    rose = np.diff(cut.mean(axis=1), axis=0) > 0
    return ends[1:], held(rose, 5)


def rising_minimum(times: Floats, counts: Counts) -> Fired:
    """Fire while the minimum of each of the last three hours is above that of the hour before; every 5 min."""
    ends, cut = blocks_of(times, counts)
    floors = cut.min(axis=1)
    size = int(HOUR / BLOCK)
    hourly = np.lib.stride_tricks.sliding_window_view(floors, size, axis=0).min(axis=-1)
    rose = hourly[size:] > hourly[:-size]
    firing = rose[2 * size :] & rose[size:-size] & rose[: -2 * size]
    return ends[len(ends) - len(firing) :], firing


def leakprof(times: Floats, counts: Counts) -> Fired:
    """Fire while more than 10,000 goroutines are at one stack."""
    return times, np.asarray(counts > 10_000)


def holmes(times: Floats, counts: Counts) -> Fired:
    """Fire while at least 3000 and 20 % above the mean of the ten scrapes before, or above 200,000."""
    sums = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
    usual = (sums[10:-1] - sums[:-11]) / 10
    now = counts[10:]
    firing = ((now >= HOLMES_LEAST) & (now >= HOLMES_RISE * usual)) | (now > HOLMES_MOST)
    return times[10:], np.asarray(firing)


def at_random(times: Floats, counts: Counts) -> Fired:
    """Fire for an hour at random times, on average every three days; evaluated every 5 min."""
    every = int(BLOCK / (times[1] - times[0]))
    evaluations = times[::every]
    rng = np.random.default_rng(int(counts.sum()))
    begins = rng.random((len(evaluations), counts.shape[1])) < BLOCK / RANDOM_PAUSE
    lasting = int(HOUR / BLOCK)
    sums = np.cumsum(begins, axis=0, dtype=np.int64)
    sums[lasting:] -= sums[:-lasting].copy()
    return evaluations, np.asarray(sums > 0)


def ever_grew(times: Floats, counts: Counts) -> Fired:
    """Fire for ever as soon as the count has once been 8 above its lowest value so far."""
    grown = counts - np.minimum.accumulate(counts, axis=0)
    return times, np.asarray(np.maximum.accumulate(grown, axis=0) >= EVER_GREW)


TOTAL_RULES: Final[Mapping[str, Rule]] = {
    "`deriv(total[1h]) > 60/h`": deriv_of_total,
    "holmes defaults (total)": holmes,
}
"""Rules over all goroutines of a process."""
STACK_RULES: Final[Mapping[str, Rule]] = {
    "`deriv(stack[1h]) > 10/h` for 1 h": deriv_of_stack,
    "Mann-Kendall z > 3.3 and Sen > 5/h, 2 h": mann_kendall,
    "Page-Hinkley": page_hinkley,
    "5 rises in a row": five_rises,
    "rolling minimum rises, 4 x 1 h": rising_minimum,
    "LeakProf: > 10,000 at one stack": leakprof,
    "at random, an hour in three days": at_random,
    "has ever grown by 8": ever_grew,
}
"""Rules over each stack."""
