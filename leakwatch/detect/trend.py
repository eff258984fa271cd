"""How fast a series grows, and since when.

Rate: Theil-Sen, the median of the slopes between all pairs of points since the growth began. Its 10-90 % band is
Sen's (1968): the order statistics of the slopes that Kendall's S of pure noise would reach one time in ten.
Onset: the knee of the least-squares line that is flat first and straight after.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS_PER_HOUR, MEAN, Columns, Rows
from leakwatch.detect.series import Series
from leakwatch.model import NO_GROWTH, Growth

Points = npt.NDArray[np.float64]

Z_90: Final = 1.2816  # the 90 % quantile of the normal distribution
MIN_POINTS: Final = 4  # for a rate or an onset
ALL: Final = slice(None)


def block_points(series: Series, row: int, quantity: int = MEAN) -> tuple[Points, Points]:
    """Return the middles of the latest blocks of a series and their levels, gaps left out.

    `quantity`: MEAN or FLOOR.
    """
    return _points(series.blocks, quantity, row, series.block_start, series.block)


def all_points(series: Series, row: int, quantity: int = MEAN) -> tuple[Points, Points]:
    """Return the middles and levels of the hours of a series, then of the blocks after them; as `block_points`."""
    times, levels = block_points(series, row, quantity)
    end = series.block_start - series.closed % BLOCKS_PER_HOUR * series.block
    hour_times, hour_levels = _points(series.hours, quantity, row, end, BLOCKS_PER_HOUR * series.block)
    if series.rebased and len(hour_times) and len(times):
        # The hours and blocks of a service are summed up separately, so that only their growth agrees. Shift the
        # hours so that both agree in the last hour.
        within = np.abs(times - hour_times[-1]) <= BLOCKS_PER_HOUR / 2 * series.block
        hour_levels = hour_levels + (np.median(levels[within]) - hour_levels[-1] if within.any() else 0.0)
    older = hour_times < (times[0] if len(times) else np.inf)
    return np.concatenate([hour_times[older], times]), np.concatenate([hour_levels[older], levels])


def _points(columns: Columns, quantity: int, row: int, end: float, width: float) -> tuple[Points, Points]:
    scraped = np.flatnonzero(columns.scrapes)
    times = (end + (scraped - len(columns.scrapes) + 0.5) * width).astype(np.float64)
    return times, columns.values[quantity, row, scraped].astype(np.float64)


@lru_cache(maxsize=8)
def _pairs(size: int) -> tuple[Rows, Rows]:
    """Return the numbers of the earlier and the later point of each pair."""
    return np.triu_indices(size, 1)


def theil_sen(times: Points, levels: Points, quantile: float = Z_90) -> Growth:
    """Return the median slope between all pairs of points, per second, with its 10-90 % band; needs two points.

    `quantile`: of the normal distribution, for another band.
    """
    size = len(times)
    earlier, later = _pairs(size)
    sorted_slopes = np.sort((levels[later] - levels[earlier]) / (times[later] - times[earlier]))
    pairs = len(sorted_slopes)
    reach = quantile * np.sqrt(size * (size - 1) * (2 * size + 5) / 18)
    low = max(int((pairs - reach) / 2), 0)
    median = (sorted_slopes[(pairs - 1) // 2] + sorted_slopes[pairs // 2]) / 2
    return Growth(float(median), float(sorted_slopes[low]), float(sorted_slopes[pairs - 1 - low]))


def growth_since(times: Points, levels: Points, onset: float) -> Growth:
    """Return the rate of growth since `onset`, or over all points if there are fewer than MIN_POINTS since then.

    Sen's band takes the points for independent, but the randomness of a leak accumulates. So the band is at least
    as wide as random arrivals make it.
    """
    after = times >= onset
    if after.sum() >= MIN_POINTS:
        times, levels = times[after], levels[after]
    if len(times) < 2:
        return NO_GROWTH
    growth = theil_sen(times, levels)
    if growth.rate <= 0 < levels[-1] - levels[0]:  # a staircase: most pairs are on the same stair
        centred = times - times.mean()
        growth = replace(growth, rate=float(centred @ levels / (centred @ centred)))
    span = float(times[-1] - times[0])
    margin = Z_90 * math.sqrt(max(abs(growth.rate) * span, 1.0)) / span
    return Growth(growth.rate, min(growth.low, growth.rate - margin), max(growth.high, growth.rate + margin))


def find_onset(times: Points, levels: Points) -> float:
    """Return the time of the knee of the best line that is flat first and straight after; needs one point."""
    if len(times) < MIN_POINTS:
        return float(times[0])
    knees = times[:-2]
    ramps = np.maximum(times[None, :] - knees[:, None], 0.0)
    ramps -= ramps.mean(axis=1, keepdims=True)
    centred = levels - levels.mean()
    covariance = ramps @ centred
    explained = np.where(covariance > 0, covariance**2 / (ramps**2).sum(axis=1), 0.0)
    return float(knees[int(np.argmax(explained))])


def slopes(series: Series, rows: Sequence[int] | slice = ALL) -> npt.NDArray[np.float64]:
    """Return the least-squares slope of `rows` over the latest blocks, per second; 0 with too few blocks."""
    scraped = np.flatnonzero(series.blocks.scrapes)
    means = series.blocks.values[MEAN][rows]
    if len(scraped) < MIN_POINTS:
        return np.zeros(len(means))
    weights = scraped - scraped.mean()
    weights /= (weights @ weights) * series.block
    return np.asarray(means[:, scraped] @ weights, np.float64)
