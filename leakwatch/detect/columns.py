"""What is kept of each series: a window of closed blocks or hours, one column each.

Columnar: a row is a series, a column is a block or an hour, oldest first. All series of a target share their
scrape times, so a missed scrape is a property of the column (`scrapes`) and never looks like a zero.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]

BLOCKS: Final = 24
HOURS: Final = 34
BLOCKS_PER_HOUR: Final = 12
GIVE_BACK_HALF_LIFE: Final = 72  # hours
BRIEF, LASTING = range(2)
"""What `give_back` keeps: the fall from the highest hourly floor, and from one that lasted for LASTS hours."""
LASTS: Final = 4  # hours; an incident is over by then, a pool or a working day is not
PACE: Final = 2.5
"""What leaves between two scrapes depends on how far apart they are: by up to this factor they may differ."""
SCRAPES_PER_BLOCK: Final = 5
"""With fewer scrapes in a block, its turnover means nothing."""

MEAN, FLOOR, TURNOVER, FALLS, RISES, UP_SQUARED = range(6)
"""What a column keeps: mean (an hour: median of means) and minimum of the count; goroutines that leave per scrape,
from the moments of the differences (Skellam); sums of the falls, of the rises and of the squared rises."""


class Columns:
    """A window of closed columns: `values[what][row, column]`, and how many scrapes each block of a column saw."""

    __slots__ = ("blocks", "regular", "scrapes", "values")

    def __init__(self, length: int, blocks: int = 1) -> None:
        self.blocks = blocks
        """Blocks in a column."""
        self.values: Floats = np.zeros((6, 0, length), np.float32)
        self.scrapes: npt.NDArray[np.int32] = np.zeros(length, np.int32)
        self.regular: npt.NDArray[np.int32] = np.zeros(length, np.int32)
        """Steps that count for LEFT: those without a missed scrape."""

    def push(self, column: Sums | None, scrapes: int, regular: int) -> None:
        """Forget the oldest column and append `column`, shape (6, rows), or a gap."""
        values = self.values
        values[:, :, :-1] = values[:, :, 1:]
        values[:, :, -1] = 0 if column is None else column
        self.scrapes[:-1], self.scrapes[-1] = self.scrapes[1:].copy(), scrapes
        self.regular[:-1], self.regular[-1] = self.regular[1:].copy(), regular

    def merge_pairs(self, *, skip: int) -> None:
        """Make one column of each two, counted from the newest without its last `skip`, which are lost."""
        length = len(self.scrapes)
        pairs = (length - skip) // 2
        first = np.arange(length - skip - 2 * pairs, length - skip, 2)
        old, weights = self.values, self.scrapes[[first, first + 1]].astype(np.float64)
        a, b = old[:, :, first], old[:, :, first + 1]
        share = weights[0] / np.maximum(weights.sum(axis=0), 1)
        merged = a + b
        for what in (MEAN, TURNOVER):
            merged[what] = share * a[what] + (1 - share) * b[what]
        low = np.minimum(a[FLOOR], b[FLOOR])
        merged[FLOOR] = np.where(weights.min(axis=0) > 0, low, a[FLOOR] + b[FLOOR])  # a gap is 0
        scrapes, regular = (
            self.scrapes[first] + self.scrapes[first + 1],
            self.regular[first] + self.regular[first + 1],
        )
        self.forget()
        self.values[:, :, length - pairs :] = merged
        self.scrapes[length - pairs :] = scrapes
        self.regular[length - pairs :] = regular

    def forget_turnover(self) -> None:
        """Make LEFT mean nothing in all columns: scrapes come at another pace from now on."""
        self.regular[:] = 0

    def forget(self) -> None:
        """Make all columns gaps."""
        self.values[:] = 0
        self.scrapes[:] = 0
        self.regular[:] = 0

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows; new ones were zero all the time."""
        old = self.values
        self.values = np.zeros((6, rows, old.shape[2]), np.float32)
        self.values[:, : old.shape[1]] = old


def is_other_pace(one: float, two: float) -> bool:
    """Tell whether turnover measured `one` and `two` seconds apart cannot be compared; 0 is unknown."""
    return one > 0 and two > 0 and not 1 / PACE < one / two < PACE


def trimmed_mean(values: Floats) -> Floats:
    """Return the mean of each row of `values` without its lowest and highest sixth."""
    drop = values.shape[1] // 6
    kept = np.sort(values, axis=1)[:, drop:-drop] if drop else values
    return np.asarray(kept.mean(axis=1), np.float32)


def an_hour(blocks: Columns) -> tuple[Sums, int, int] | None:
    """Return the column of the last hour of `blocks`, its scrapes and its regular steps per block.

    Shape (6, rows); None where half of its blocks are missing.
    """
    columns = np.flatnonzero(blocks.scrapes[-BLOCKS_PER_HOUR:]) + BLOCKS - BLOCKS_PER_HOUR
    if len(columns) < BLOCKS_PER_HOUR // 2:
        return None
    values = blocks.values[:, :, columns]
    column = np.empty(values.shape[:2])
    column[MEAN] = np.median(values[MEAN], axis=1)
    column[FLOOR] = values[FLOOR].min(axis=1)
    column[TURNOVER] = trimmed_mean(values[TURNOVER])
    column[FALLS:] = values[FALLS:].sum(axis=2)
    return column, int(blocks.scrapes[columns].min()), int(blocks.regular[columns].min())


def with_latest_fall(known_drop: Floats, hours: Columns) -> Floats:
    """Return the largest falls of the hourly floors, shape (2, rows), slowly forgotten.

    The newest hour must be known.
    """
    floors = hours.values[FLOOR]
    known = floors[:, hours.scrapes > 0]
    fall = np.zeros((2, len(floors)), np.float32)
    fall[BRIEF] = known.max(axis=1)
    if known.shape[1] >= LASTS:
        fall[LASTING] = np.partition(known, -LASTS, axis=1)[:, -LASTS]
    faded = known_drop * np.float32(0.5 ** (1 / GIVE_BACK_HALF_LIFE))
    return np.asarray(np.maximum(faded, fall - floors[:, -1]), np.float32)
