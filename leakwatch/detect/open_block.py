"""The open block: sums over its scrapes, per row, in constant time per scrape.

Scrapes are added to the sums in batches: a scrape of 100 stacks costs 8 NumPy calls of about 1 us each, as does a
batch. Counts are integers, so the sums do not depend on the size of a batch.
"""

from collections import deque
from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.columns import FALLS, FLOOR, MEAN, TURNOVER, Sums
from leakwatch.detect.plain import Plain, PlainWriter

REGULAR_STEP: Final = 1.5  # usual intervals; a longer step spans a missed scrape
BATCH: Final = 8  # scrapes; their counts take 64 bytes per series
STEPS: Final = 15  # latest steps; their median is the usual interval
COUNT, CHANGE, SQUARED_CHANGE, BLOCK_FALLS, BLOCK_RISES, BLOCK_SQUARED_RISES, MINIMUM = range(7)
"""Rows of the sums. The two of changes are over regular steps only, and MINIMUM is not a sum."""


class OpenBlock:
    """The block that scrapes are added to until it is closed."""

    STATE: ClassVar = {"start": float, "scrapes": int, "regular": int, "_sums": Sums, "_steps": deque[float]}

    def __init__(self) -> None:
        self.start = 0.0
        self.scrapes = 0
        self.regular = 0
        """Steps that the turnover is measured from: those without a missed scrape."""
        self._sums: Sums = np.zeros((7, 0))
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._usual: float | None = None
        """The usual interval, None if it has to be computed."""
        self._before: Sums = np.zeros(0)
        """The counts before those of the batch."""
        self._batch: list[Sums] = []
        """The counts of scrapes that are not in the sums yet."""
        self._batch_changes: list[bool] = []
        self._batch_regular: list[bool] = []

    def to_plain(self, writer: PlainWriter) -> Plain:
        """Return the state."""
        self._add_batch()
        return writer.state(self)

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes; 0 if unknown."""
        if self._usual is None:
            self._usual = sorted(self._steps)[len(self._steps) // 2] if self._steps else 0.0
        return self._usual

    def begin(self, start: float) -> None:
        """Begin an empty block at `start`."""
        self._clear_batch()
        self._sums[:MINIMUM] = 0
        self._sums[MINIMUM] = np.inf
        self.scrapes = self.regular = 0
        self.start = start

    def restart(self) -> None:
        """Begin an empty block with a start to be set, and make the usual interval unknown."""
        self.begin(0.0)
        self._steps.clear()
        self._usual = None

    def add(self, counts: Sums, last: Sums, step: float) -> None:
        """Add the `counts` of a scrape, `step` seconds after `last`; 0 for the first scrape of a lifetime."""
        is_regular = step > 0 and self._is_regular(step)
        self.regular += is_regular
        self.scrapes += 1
        if not len(counts):  # usual for sites
            return
        if not self._batch:
            self._before = last
        self._batch.append(counts)
        self._batch_changes.append(bool(step))
        self._batch_regular.append(is_regular)
        if len(self._batch) == BATCH:
            self._add_batch()

    def _add_batch(self) -> None:
        """Add the scrapes of the batch to the sums."""
        if not self._batch:
            return
        sums, counts = self._sums, np.array([self._before, *self._batch])
        changes = np.diff(counts, axis=0)
        changes[~np.array(self._batch_changes)] = 0
        rises = np.maximum(changes, 0.0)
        sums[BLOCK_FALLS] += (rises - changes).sum(axis=0)
        sums[BLOCK_RISES] += rises.sum(axis=0)
        sums[BLOCK_SQUARED_RISES] += (rises * rises).sum(axis=0)
        regular = changes[np.array(self._batch_regular)]
        sums[CHANGE] += regular.sum(axis=0)
        sums[SQUARED_CHANGE] += (regular * regular).sum(axis=0)
        sums[COUNT] += counts[1:].sum(axis=0)
        np.minimum(sums[MINIMUM], counts[1:].min(axis=0), out=sums[MINIMUM])
        self._clear_batch()

    def _clear_batch(self) -> None:
        self._batch.clear()
        self._batch_changes.clear()
        self._batch_regular.clear()

    def column(self) -> Sums | None:
        """Return the column of the block, shape (6, rows), or None without a scrape.

        For independent arrivals and departures, the variance of the changes less their mean is twice the number
        of departures per scrape (Skellam).
        """
        if not self.scrapes:
            return None
        self._add_batch()
        sums = self._sums
        column = np.zeros((6, sums.shape[1]))
        column[MEAN] = sums[COUNT] / self.scrapes
        column[FLOOR] = sums[MINIMUM]
        if self.regular:
            mean = sums[CHANGE] / self.regular
            column[TURNOVER] = np.maximum((sums[SQUARED_CHANGE] / self.regular - mean * mean - mean) / 2, 0.0)
        column[FALLS:] = sums[BLOCK_FALLS:MINIMUM]
        return column

    def clear(self, row: int) -> None:
        """Set the counts of `row` to zero in all scrapes of the block."""
        self._add_batch()
        self._sums[:MINIMUM, row] = 0
        self._sums[MINIMUM, row] = self._minimum_of_new_row()

    def resize(self, rows: int) -> None:
        """Extend to `rows` rows; the counts of a new row were zero in all scrapes of the block."""
        self._add_batch()
        sums = np.zeros((7, rows))
        old = self._sums.shape[1]
        sums[:, :old] = self._sums
        sums[MINIMUM, old:] = self._minimum_of_new_row()
        self._sums = sums

    def _minimum_of_new_row(self) -> float:
        return 0.0 if self.scrapes else np.inf

    def _is_regular(self, step: float) -> bool:
        usual, steps = self.interval, self._steps
        if len(steps) < STEPS or step != steps[0]:  # an equal step replaces the dropped one: the same median
            self._usual = None
        steps.append(step)
        return not usual or step <= REGULAR_STEP * usual
