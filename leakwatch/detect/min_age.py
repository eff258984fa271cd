"""How old goroutines are at least, as their counts show: those that were there before and never went away."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR
from leakwatch.detect.series import Series
from leakwatch.detect.trend import everything

AGES: Final = (2, 12, 72, 288)  # blocks: ten minutes, an hour, six hours, a day


@dataclass(frozen=True, slots=True)
class Lows:
    """What a row has not gone below: when it was first seen, and since so many seconds ago."""

    first: float
    since: Mapping[float, float]


def lows(series: Series, row: int) -> Lows:
    """Return the lows of a row in this lifetime, which stay the same until the next block closes."""
    times, floors = everything(series, row, FLOOR)
    found: dict[float, float] = {}
    for blocks in AGES if len(times) else ():
        seconds = blocks * series.block
        width = series.block if blocks <= len(series.blocks.scrapes) else BLOCKS_PER_HOUR * series.block
        since = times >= series.block_start - seconds - width / 2
        if since.all() and times[0] - width / 2 > series.block_start - seconds:
            break  # not watched for so long
        found[seconds] = float(floors[since].min(initial=np.inf))
    return Lows(float(floors[0]) if len(times) else 0.0, found)


def older(known: Lows, now: int, before: float) -> Mapping[float, int]:
    """Return seconds -> goroutines that are at least as old, of a row that has so many `now`.

    `before`: so many come and go; nan where that is not known, then those that were there first are left out.
    """
    usual = known.first if math.isnan(before) else before
    return {
        seconds: goroutines
        for seconds, low in known.since.items()
        if (goroutines := int(min(low, now) - usual)) > 0
    }
