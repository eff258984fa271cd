"""Columns of closed blocks or hours: the numbers that a history holds of its series.

A row is a series, a column is a block or an hour, the oldest first. All series of a target share their scrape
times, so a missed scrape is a property of the column (`scrapes`) and never looks like a count of zero. A gap that
has ended has the mean and floor of a straight line between the columns beside it.
"""

from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
"""Numbers of rows or columns."""

BLOCKS: Final = 24
HOURS: Final = 34
BLOCKS_PER_HOUR: Final = 12
KNOWN_DROP_HALF_LIFE: Final = 72  # hours
BRIEF, LASTING = range(2)
"""Rows of a known drop: the fall from the highest hourly floor, and from a floor held for LASTING_HOURS."""
LASTING_HOURS: Final = 4  # an incident is over by then, a pool or a working day is not
INTERVAL_RATIO: Final = 2.5  # turnover is not compared between scrape intervals that differ by this factor
SCRAPES_PER_BLOCK: Final = 5  # that a block is planned for; its turnover is then known in full
MIN_STEPS: Final = 3  # in a block; the turnover is the variance of its steps, and that of fewer is unknown

MEAN, FLOOR, TURNOVER, FALLS, RISES, SQUARED_RISES = range(6)
"""The quantities of a column: mean of the count (of an hour: median of the means of its blocks), floor, turnover,
and the sums of falls, rises and squared rises."""


class Columns:
    """The latest columns of all series. `values[quantity, row, column]`: the six quantities of each column."""

    __slots__ = ("blocks", "regular", "scrapes", "values")
    STATE: ClassVar = {"values": Floats, "scrapes": npt.NDArray[np.int32], "regular": npt.NDArray[np.int32]}

    def __init__(self, length: int, blocks: int = 1) -> None:
        self.blocks = blocks
        """Blocks per column."""
        self.values: Floats = np.zeros((6, 0, length), np.float32)
        self.scrapes: npt.NDArray[np.int32] = np.zeros(length, np.int32)
        """Column -> scrapes per block; 0 is a gap."""
        self.regular: npt.NDArray[np.int32] = np.zeros(length, np.int32)
        """Column -> steps per block that the turnover is measured from: those without a missed scrape."""

    @property
    def has_level(self) -> Mask:
        """Whether mean and floor of each column are known: it was scraped, or is a gap between such columns."""
        has_level = np.zeros(len(self.scrapes), bool)
        scraped = np.flatnonzero(self.scrapes)
        if len(scraped):
            has_level[scraped[0] : scraped[-1] + 1] = True
        return has_level

    @property
    def has_turnover(self) -> Mask:
        """Whether the turnover of each column is known."""
        return self.regular >= MIN_STEPS

    @property
    def coverage(self) -> Floats:
        """The share of the planned steps that the turnover of each column is measured from, at most 1."""
        share = np.minimum(self.regular / np.float32(SCRAPES_PER_BLOCK), 1)
        return np.asarray(np.where(self.has_turnover, share, 0), np.float32)

    def push(self, column: Sums | None, scrapes: int, regular: int) -> None:
        """Drop the oldest column and append `column`, shape (6, rows), or a gap."""
        values = self.values
        values[:, :, :-1] = values[:, :, 1:]
        values[:, :, -1] = 0 if column is None else column
        self.scrapes[:-1], self.scrapes[-1] = self.scrapes[1:].copy(), scrapes
        self.regular[:-1], self.regular[-1] = self.regular[1:].copy(), regular
        if scrapes and not self.scrapes[-2]:
            self.bridge()

    def turnover(self, rows: Rows, columns: Rows) -> Floats:
        """Return the turnover of `rows` in all `columns` together, 0 if it is unknown.

        A column counts by its steps, as in a pooled variance: each step but one is a degree of freedom.
        """
        columns = columns[self.has_turnover[columns]]
        if not len(columns):
            return np.zeros(len(rows), np.float32)
        weights = self.regular[columns].astype(np.float32) - 1
        return trimmed_mean(self.values[TURNOVER][np.ix_(rows, columns)], weights)

    def bridge(self) -> None:
        """Fill the gaps between scraped columns with straight lines of mean and floor."""
        scraped = np.flatnonzero(self.scrapes)
        for i in np.flatnonzero(np.diff(scraped) > 1):
            first, last = scraped[i : i + 2]
            share = np.arange(1, last - first, dtype=np.float32) / np.float32(last - first)
            levels = self.values[[MEAN, FLOOR]]
            start, rise = levels[:, :, first, None], (levels[:, :, last] - levels[:, :, first])[:, :, None]
            self.values[[MEAN, FLOOR], :, first + 1 : last] = start + share * rise

    def merge_pairs(self, *, skip: int) -> None:
        """Merge columns in pairs, without the newest `skip`, which are dropped."""
        length = len(self.scrapes)
        pairs = (length - skip) // 2
        first = np.arange(length - skip - 2 * pairs, length - skip, 2)
        old, weights = self.values, self.scrapes[[first, first + 1]].astype(np.float64)
        a, b = old[:, :, first], old[:, :, first + 1]
        share = weights[0] / np.maximum(weights.sum(axis=0), 1)
        merged = a + b
        for quantity in (MEAN, TURNOVER):
            merged[quantity] = share * a[quantity] + (1 - share) * b[quantity]
        merged[FLOOR] = np.where(weights[1] > 0, b[FLOOR], a[FLOOR])  # a gap has no floor of its own
        merged[FLOOR] = np.where(weights.min(axis=0) > 0, np.minimum(a[FLOOR], b[FLOOR]), merged[FLOOR])
        scrapes, regular = (
            self.scrapes[first] + self.scrapes[first + 1],
            self.regular[first] + self.regular[first + 1],
        )
        self.clear()
        self.values[:, :, length - pairs :] = merged
        self.scrapes[length - pairs :] = scrapes
        self.regular[length - pairs :] = regular

    def clear_turnover(self) -> None:
        """Mark the turnover of all columns as unknown."""
        self.regular[:] = 0

    def clear(self) -> None:
        """Make all columns gaps."""
        self.values[:] = 0
        self.scrapes[:] = 0
        self.regular[:] = 0

    def resize(self, rows: int) -> None:
        """Extend to `rows` rows; all counts of a new row are zero."""
        old = self.values
        self.values = np.zeros((6, rows, old.shape[2]), np.float32)
        self.values[:, : old.shape[1]] = old


def is_other_interval(old: float, new: float) -> bool:
    """Return whether turnover cannot be compared between two scrape intervals, in seconds; 0 is unknown."""
    return old > 0 and new > 0 and not 1 / INTERVAL_RATIO < old / new < INTERVAL_RATIO


def median(values: Floats) -> Floats:
    """Return the median along the last axis; equal to np.median, but five times as fast for a few numbers."""
    ordered, length = np.sort(values), values.shape[-1]
    return np.asarray((ordered[..., (length - 1) // 2] + ordered[..., length // 2]) / 2)


def trimmed_mean(values: Floats, weights: Floats) -> Floats:
    """Return the mean of each row of `values` without its lowest and highest sixth; `weights`: of the columns."""
    columns = values.shape[1]
    cut = columns // 6
    if (weights == weights[0]).all():  # no scrape was missed; this takes a quarter of the time
        middle = np.sort(values, axis=1)[:, cut : columns - cut]
        return np.asarray(middle.mean(axis=1), np.float32)
    cut /= columns
    order = np.argsort(values, axis=1)
    ends = np.cumsum(weights[order], axis=1, dtype=np.float64) / weights.sum()
    middle = np.diff(np.clip(ends, cut, 1 - cut), axis=1, prepend=cut)
    return np.asarray((np.take_along_axis(values, order, 1) * middle).sum(axis=1) / (1 - 2 * cut), np.float32)


def hour_column(blocks: Columns) -> tuple[Sums, int, int] | None:
    """Return the column of the last hour, shape (6, rows), and its scrapes and regular steps per block.

    Blocks with missed scrapes count less. Return None if more than half of the blocks are gaps.
    """
    columns = np.flatnonzero(blocks.scrapes[-BLOCKS_PER_HOUR:]) + BLOCKS - BLOCKS_PER_HOUR
    if len(columns) < BLOCKS_PER_HOUR // 2:
        return None
    values = blocks.values[:, :, columns]
    column = np.empty(values.shape[:2])
    column[MEAN] = median(values[MEAN])
    column[FLOOR] = values[FLOOR].min(axis=1)
    column[TURNOVER] = blocks.turnover(np.arange(len(column[MEAN])), columns)
    column[FALLS:] = values[FALLS:].sum(axis=2)
    regular = int(blocks.regular[columns].sum()) // BLOCKS_PER_HOUR
    return column, int(blocks.scrapes[columns].mean()), regular


def update_known_drop(known_drop: Floats, hours: Columns) -> Floats:
    """Return the known drops, shape (2, rows), after a new hour: decayed, or the fall to its floor if larger.

    The newest of `hours` must not be a gap.
    """
    floors = hours.values[FLOOR]
    scraped = floors[:, hours.scrapes > 0]
    peak = np.zeros((2, len(floors)), np.float32)
    peak[BRIEF] = scraped.max(axis=1)
    if scraped.shape[1] >= LASTING_HOURS:
        peak[LASTING] = np.partition(scraped, -LASTING_HOURS, axis=1)[:, -LASTING_HOURS]
    decayed = known_drop * np.float32(0.5 ** (1 / KNOWN_DROP_HALF_LIFE))
    return np.asarray(np.maximum(decayed, peak - floors[:, -1]), np.float32)
