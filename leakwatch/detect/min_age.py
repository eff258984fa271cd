"""Lower bounds of the age of goroutines, from counts: some were present before, and the count has not fallen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR
from leakwatch.detect.series import Series
from leakwatch.detect.trend import all_points

AGES: Final = (2, 12, 72, 288)  # blocks: ten minutes, an hour, six hours, a day


@dataclass(frozen=True, slots=True)
class Lows:
    """The first floor of a series, and seconds -> the lowest floor within that time."""

    first: float
    since: Mapping[float, float]


def lows(series: Series, row: int) -> Lows:
    """Return the lows of a series in this lifetime, which do not change until the next block closes."""
    times, floors = all_points(series, row, FLOOR)
    since: dict[float, float] = {}
    for blocks in AGES if len(times) else ():
        seconds = blocks * series.block
        width = series.block if blocks <= len(series.blocks.scrapes) else BLOCKS_PER_HOUR * series.block
        inside = times >= series.block_start - seconds - width / 2
        if inside.all() and times[0] - width / 2 > series.block_start - seconds:
            break  # the history is shorter
        since[seconds] = float(floors[inside].min(initial=np.inf))
    return Lows(float(floors[0]) if len(times) else 0.0, since)


def older(series_lows: Lows, count: int, usual: float) -> Mapping[float, int]:
    """Return seconds -> goroutines that are at least as old, for a series with `count` goroutines.

    `usual`: the usual number of goroutines, which start and end; if nan, the first floor is used.
    """
    usual = series_lows.first if math.isnan(usual) else usual
    return {
        seconds: goroutines
        for seconds, low in series_lows.since.items()
        if (goroutines := int(min(low, count) - usual)) > 0
    }
