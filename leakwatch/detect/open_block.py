"""The block that is being filled: sums over its scrapes, per row, in constant time per scrape."""

from collections import deque
from typing import Final

import numpy as np

from leakwatch.detect.columns import FALLS, FLOOR, MEAN, TURNOVER, Sums

REGULAR: Final = 1.5  # a step longer than this many usual ones spans a missed scrape
LOWEST: Final = 6  # the row of sums that is a minimum


class OpenBlock:
    """Takes in scrapes until it is closed."""

    def __init__(self) -> None:
        self.start = 0.0
        self.scrapes = 0
        self.regular = 0
        """Steps that count for LEFT: those without a missed scrape."""
        self._sums: Sums = np.zeros((7, 0))  # c, d, d^2 (regular steps), falls, rises, rises^2; min c
        self._steps: deque[float] = deque(maxlen=15)

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes, 0 while unknown."""
        return sorted(self._steps)[len(self._steps) // 2] if self._steps else 0.0

    def begin(self, start: float) -> None:
        """Be empty, from `start` on."""
        self._sums[:LOWEST] = 0
        self._sums[LOWEST] = np.inf
        self.scrapes = self.regular = 0
        self.start = start

    def forget_steps(self) -> None:
        """Forget how far apart scrapes usually are."""
        self._steps.clear()

    def add(self, counts: Sums, last: Sums, step: float) -> None:
        """Take in the `counts` of a scrape, `step` seconds after `last`; 0 for the first of a lifetime."""
        sums = self._sums
        if step:
            change = counts - last
            up = np.maximum(change, 0.0)
            if self._is_regular(step):
                self.regular += 1
                sums[1] += change
                sums[2] += change * change
            sums[3] += up - change
            sums[4] += up
            sums[5] += up * up
        sums[0] += counts
        np.minimum(sums[LOWEST], counts, out=sums[LOWEST])
        self.scrapes += 1

    def column(self) -> Sums | None:
        """Return what to keep of the block, shape (6, rows), or None if it saw no scrape."""
        if not self.scrapes:
            return None
        sums = self._sums
        column = np.zeros((6, sums.shape[1]))
        column[MEAN] = sums[0] / self.scrapes
        column[FLOOR] = sums[LOWEST]
        if self.regular:
            mean = sums[1] / self.regular
            column[TURNOVER] = np.maximum((sums[2] / self.regular - mean * mean - mean) / 2, 0.0)
        column[FALLS:] = sums[3:LOWEST]
        return column

    def clear(self, row: int) -> None:
        """Make `row` one that was never seen."""
        self._sums[:LOWEST, row] = 0
        self._sums[LOWEST, row] = self._floor_of_a_new_row()

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows."""
        sums = np.zeros((7, rows))
        old = self._sums.shape[1]
        sums[:, :old] = self._sums
        sums[LOWEST, old:] = self._floor_of_a_new_row()
        self._sums = sums

    def _floor_of_a_new_row(self) -> float:
        return 0.0 if self.scrapes else np.inf

    def _is_regular(self, step: float) -> bool:
        usual = self.interval
        self._steps.append(step)
        return not usual or step <= REGULAR * usual
