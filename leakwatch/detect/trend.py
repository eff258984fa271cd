"""How fast a series grows, and since when.

Rate: Theil-Sen, the median of the slopes between all pairs of points, since the growth began. Its 10-90 % band is
Sen's (1968): the order statistics of the slopes that Kendall's S of pure noise would reach one time in ten.
Onset: the knee of the least-squares line that is flat first and straight after.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS_PER_HOUR, MEAN, Columns
from leakwatch.detect.series import Series
from leakwatch.model import Growth

Points = npt.NDArray[np.float64]

Z_90: Final = 1.2816  # of the normal distribution
FEWEST: Final = 4  # points that a rate is made of
ALL: Final = slice(None)


def recent(series: Series, row: int, what: int = MEAN) -> tuple[Points, Points]:
    """Return times and levels of the known blocks of one series; `what`: MEAN or FLOOR."""
    return _known(series.blocks, what, row, series.block_start, series.block)


def everything(series: Series, row: int, what: int = MEAN) -> tuple[Points, Points]:
    """Return times and levels of one series as far back as is known: the hours, then the blocks after them."""
    times, levels = recent(series, row, what)
    end = series.block_start - series.closed % BLOCKS_PER_HOUR * series.block
    hours, means = _known(series.hours, what, row, end, BLOCKS_PER_HOUR * series.block)
    if series.rebased and len(hours) and len(times):
        # Hours and blocks of a service are added up apart, so only their growth agrees: let them meet in the
        # last hour.
        within = np.abs(times - hours[-1]) <= BLOCKS_PER_HOUR / 2 * series.block
        means = means + (np.median(levels[within]) - means[-1] if within.any() else 0.0)
    older = hours < (times[0] if len(times) else np.inf)
    return np.concatenate([hours[older], times]), np.concatenate([means[older], levels])


def _known(columns: Columns, what: int, row: int, end: float, width: float) -> tuple[Points, Points]:
    known = np.flatnonzero(columns.scrapes)
    times = (end + (known - len(columns.scrapes) + 0.5) * width).astype(np.float64)
    return times, columns.values[what, row, known].astype(np.float64)


def theil_sen(times: Points, levels: Points) -> Growth:
    """Return the median slope between all pairs of points, per second, with its 10-90 % band; needs 2 points."""
    size = len(times)
    earlier, later = np.triu_indices(size, 1)
    slopes = np.sort((levels[later] - levels[earlier]) / (times[later] - times[earlier]))
    pairs = len(slopes)
    reach = Z_90 * np.sqrt(size * (size - 1) * (2 * size + 5) / 18)
    low = max(int((pairs - reach) / 2), 0)
    return Growth(float(np.median(slopes)), float(slopes[low]), float(slopes[pairs - 1 - low]))


def growth_since(times: Points, levels: Points, onset: float) -> Growth:
    """Return the rate of growth after `onset`, or over all points where too few are left.

    The band is at least as wide as goroutines that come at random make it: Sen's takes the points for independent,
    but a leak adds up, and so do its accidents.
    """
    after = times >= onset
    if after.sum() >= FEWEST:
        times, levels = times[after], levels[after]
    if len(times) < 2:
        return Growth(0.0, 0.0, 0.0)
    growth = theil_sen(times, levels)
    if growth.rate <= 0 < levels[-1] - levels[0]:  # a staircase: most pairs stand on one stair
        centred = times - times.mean()
        growth = replace(growth, rate=float(centred @ levels / (centred @ centred)))
    span = float(times[-1] - times[0])
    wobble = Z_90 * math.sqrt(max(abs(growth.rate) * span, 1.0)) / span
    return Growth(growth.rate, min(growth.low, growth.rate - wobble), max(growth.high, growth.rate + wobble))


def find_onset(times: Points, levels: Points) -> float:
    """Return the time of the knee of the best line that is flat first and rises straight after; needs a point."""
    if len(times) < FEWEST:
        return float(times[0])
    knees = times[:-2]
    ramps = np.maximum(times[None, :] - knees[:, None], 0.0)
    ramps -= ramps.mean(axis=1, keepdims=True)
    rises = levels - levels.mean()
    covariance = ramps @ rises
    explained = np.where(covariance > 0, covariance**2 / (ramps**2).sum(axis=1), 0.0)
    return float(knees[int(np.argmax(explained))])


def slopes(series: Series, rows: Sequence[int] | slice = ALL) -> npt.NDArray[np.float64]:
    """Return the least-squares slope of `rows` over the known blocks, per second; 0 where there are too few."""
    known = np.flatnonzero(series.blocks.scrapes)
    means = series.blocks.values[MEAN][rows]
    if len(known) < FEWEST:
        return np.zeros(len(means))
    weights = known - known.mean()
    weights /= (weights @ weights) * series.block
    return np.asarray(means[:, known] @ weights, np.float64)
