"""How old goroutines are at least, as their counts show: those that were there before and never went away."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from leakwatch.columns import BLOCKS_PER_HOUR, FLOOR
from leakwatch.detect.rate import everything
from leakwatch.detect.series import Series

AGES: Final = (2, 12, 72, 288)  # blocks: ten minutes, an hour, six hours, a day


def older(series: Series, row: int, before: float) -> Mapping[float, int]:
    """Return seconds -> goroutines that are at least as old, in this lifetime.

    `before`: so many come and go; nan where that is not known, then those that were there first are left out.
    """
    times, floors = everything(series, row, FLOOR)
    if not len(times):
        return {}
    usual = floors[0] if np.isnan(before) else before
    found = {}
    for blocks in AGES:
        seconds = blocks * series.block
        width = series.block if blocks <= len(series.blocks.scrapes) else BLOCKS_PER_HOUR * series.block
        since = times >= series.block_start - seconds - width / 2
        if since.all() and times[0] - width / 2 > series.block_start - seconds:
            break  # not watched for so long
        goroutines = int(min(floors[since].min(initial=series.last[row]), series.last[row]) - usual)
        if goroutines > 0:
            found[seconds] = goroutines
    return found
