"""The open block: sums over its scrapes, per row, in constant time per scrape."""

from collections import deque
from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.columns import FALLS, FLOOR, MEAN, TURNOVER, Sums

REGULAR_STEP: Final = 1.5  # usual intervals; a longer step spans a missed scrape
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

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes; 0 if unknown."""
        return sorted(self._steps)[len(self._steps) // 2] if self._steps else 0.0

    def begin(self, start: float) -> None:
        """Begin an empty block at `start`."""
        self._sums[:MINIMUM] = 0
        self._sums[MINIMUM] = np.inf
        self.scrapes = self.regular = 0
        self.start = start

    def clear_steps(self) -> None:
        """Make the usual interval unknown."""
        self._steps.clear()

    def add(self, counts: Sums, last: Sums, step: float) -> None:
        """Add the `counts` of a scrape, `step` seconds after `last`; 0 for the first scrape of a lifetime."""
        is_regular = step > 0 and self._is_regular(step)
        self.regular += is_regular
        self.scrapes += 1
        if not len(counts):  # usual for sites
            return
        sums = self._sums
        if step:
            change = counts - last
            rises = np.maximum(change, 0.0)
            if is_regular:
                sums[CHANGE] += change
                sums[SQUARED_CHANGE] += change * change
            sums[BLOCK_FALLS] += rises - change
            sums[BLOCK_RISES] += rises
            sums[BLOCK_SQUARED_RISES] += rises * rises
        sums[COUNT] += counts
        np.minimum(sums[MINIMUM], counts, out=sums[MINIMUM])

    def column(self) -> Sums | None:
        """Return the column of the block, shape (6, rows), or None without a scrape.

        For independent arrivals and departures, the variance of the changes less their mean is twice the number
        of departures per scrape (Skellam).
        """
        if not self.scrapes:
            return None
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
        self._sums[:MINIMUM, row] = 0
        self._sums[MINIMUM, row] = self._minimum_of_new_row()

    def resize(self, rows: int) -> None:
        """Extend to `rows` rows; the counts of a new row were zero in all scrapes of the block."""
        sums = np.zeros((7, rows))
        old = self._sums.shape[1]
        sums[:, :old] = self._sums
        sums[MINIMUM, old:] = self._minimum_of_new_row()
        self._sums = sums

    def _minimum_of_new_row(self) -> float:
        return 0.0 if self.scrapes else np.inf

    def _is_regular(self, step: float) -> bool:
        usual = self.interval
        self._steps.append(step)
        return not usual or step <= REGULAR_STEP * usual
