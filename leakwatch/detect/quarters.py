"""Quarters of a window: the columns of each, and the levels, turnover and rises of rows in them.

The count of a quarter is the median of the means of its columns, the floor the minimum of their floors, and the
turnover their trimmed mean. Rules and scores of growth compare the quarters.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from leakwatch.detect.columns import (
    FALLS,
    FLOOR,
    MEAN,
    RISES,
    SQUARED_RISES,
    TURNOVER,
    Columns,
    Floats,
    Rows,
    median,
)
from leakwatch.detect.windows import Window

MIN_COVERAGE: Final = 0.4  # of the turnover in a quarter of a C window; its error grows with what is missing
SAMPLING_VARIANCE: Final = 3.0  # relative variance of a measured turnover, times the number of steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Count and floor of rows in the quarters of a window, with shape (rows, 4)."""

    count: Floats
    floor: Floats

    @property
    def growth(self) -> Floats:
        """Growth of the count from the first to the last quarter."""
        return np.asarray(self.count[:, 3] - self.count[:, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarters(Levels):
    """Rows in the quarters of a window: count, floor and turnover have shape (rows, 4), the others (rows,)."""

    turnover: Floats
    turnover_error: Floats
    """Relative standard errors of the turnover in both halves, added in quadrature."""
    sampling_error: np.float32
    """The least turnover error that so few scrapes allow."""
    falls: Floats
    rises: Floats
    squared_rises: Floats


def quarter_columns(columns: Columns, window: Window) -> list[Rows] | None:
    """Return the columns of each quarter, or None if too much of one was missed, or the newest column is a gap.

    Half of a quarter may be a gap that later scrapes have bridged. A C window needs the turnover of MIN_COVERAGE.
    """
    return _quarter_columns(columns.scrapes.tobytes(), columns.regular.tobytes(), window)


@lru_cache(maxsize=1000)  # the same for all targets that missed no scrape; it was a tenth of the time of judging
def _quarter_columns(scrapes: bytes, regular: bytes, window: Window) -> list[Rows] | None:
    columns = Columns(0)
    columns.scrapes, columns.regular = np.frombuffer(scrapes, np.int32), np.frombuffer(regular, np.int32)
    length, width = len(columns.scrapes), window.columns // 4
    has_level, scraped, coverage = columns.has_level, columns.scrapes > 0, columns.coverage
    quarters = [
        np.flatnonzero(has_level[start : start + width]) + start
        for start in range(length - window.columns, length, width)
    ]
    if not scraped[-1] or 2 * len(quarters[0]) <= width:  # most of the first quarter must be in this lifetime
        return None
    for quarter in quarters:
        if 2 * scraped[quarter].sum() < width:
            return None
        if window.needs_turnover and coverage[quarter].sum() < MIN_COVERAGE * width:
            return None
    return quarters


def growing_rows(columns: Columns, indices: list[Rows], min_growth: float) -> Rows:
    """Return the rows that may have grown by `min_growth`: from the lowest first to the highest last column."""
    mean = columns.values[MEAN]
    return np.flatnonzero(mean[:, indices[3]].max(axis=1) - mean[:, indices[0]].min(axis=1) >= min_growth)


def levels_of(columns: Columns, rows: Rows, indices: list[Rows]) -> Levels:
    """Return the levels of `rows`; `indices`: the columns of each quarter."""
    mean, floor = columns.values[MEAN][rows], columns.values[FLOOR][rows]
    return Levels(
        count=np.stack([median(mean[:, quarter]) for quarter in indices], axis=1),
        floor=np.stack([floor[:, quarter].min(axis=1) for quarter in indices], axis=1),
    )


def summarise(columns: Columns, rows: Rows, indices: list[Rows]) -> Quarters:
    """Return the quarters of `rows`; `indices`: the columns of each quarter."""
    values, levels = columns.values[:, rows], levels_of(columns, rows, indices)
    regular = columns.blocks * min(int(columns.regular[quarter].sum()) for quarter in (indices[0], indices[3]))
    halves = [_union(*indices[:2]), _union(*indices[2:])]
    all_columns = _union(*halves)
    halves = [half[columns.has_turnover[half]] for half in halves]
    return Quarters(
        count=levels.count,
        floor=levels.floor,
        turnover=np.stack([columns.turnover(rows, quarter) for quarter in indices], axis=1),
        turnover_error=np.hypot(*(relative_error(values[TURNOVER][:, half]) for half in halves)),
        sampling_error=np.float32(np.sqrt(2 * SAMPLING_VARIANCE / max(regular, 1))),
        falls=values[FALLS][:, all_columns].sum(axis=1),
        rises=values[RISES][:, all_columns].sum(axis=1),
        squared_rises=values[SQUARED_RISES][:, all_columns].sum(axis=1),
    )


def _union(columns: Rows, others: Rows) -> Rows:
    """Return the columns that are in either, in order; equal to np.union1d, but much faster for a few columns."""
    return np.array(sorted({*columns.tolist(), *others.tolist()}), np.intp)


def relative_error(values: Floats) -> Floats:
    """Return the relative standard error of each row's mean, estimated from the median absolute deviation."""
    if not values.shape[1]:
        return np.zeros(len(values), np.float32)  # the number of steps limits the error from below
    deviation = median(np.abs(values - median(values)[:, None]))
    mean = values.mean(axis=1)
    error = np.divide(deviation, mean, out=np.zeros_like(mean), where=mean > 0)
    return np.asarray(1.25 * 1.4826 * error / np.sqrt(values.shape[1]), np.float32)
