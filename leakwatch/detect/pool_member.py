"""One target in the pool of its service."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR, HOURS, MEAN, Floats, Mask, Rows, Sums
from leakwatch.detect.history import History


class PoolMember:
    """The latest hours of one target, over all its lifetimes: means and floors per row of the pool, and uptime."""

    STATE: ClassVar = {
        "pooled_until": tuple[int, float, int],
        "means": Floats,
        "floors": Floats,
        "uptimes": Floats,
        "lifetimes": npt.NDArray[np.int32],
    }

    def __init__(self, history: History, pool_size: int) -> None:
        self.history = history
        self.pooled_until = (history.lifetime, history.block, history.closed)
        """Lifetime, block and closed blocks of the history when a block of the pool last closed."""
        self.means: Floats = np.zeros((pool_size, HOURS), np.float32)
        self.floors: Floats = np.zeros((pool_size, HOURS), np.float32)
        self.uptimes: Floats = np.zeros(HOURS, np.float32)
        """Uptime at the end of each hour, in hours; 0 if the target was not scraped."""
        self.lifetimes: npt.NDArray[np.int32] = np.zeros(HOURS, np.int32)
        """Number of the lifetime in each hour."""
        self.history_rows: Rows = np.zeros(0, np.intp)
        """The rows of the history that have a stack."""
        self.pool_rows: Rows = np.zeros(0, np.intp)
        """The row of each of these stacks in the pool."""
        self.version = -1
        """The version of the history that the rows are from."""

    def resize(self, rows: int) -> None:
        """Extend to `rows` rows."""
        more = ((0, rows - len(self.means)), (0, 0))
        self.means, self.floors = np.pad(self.means, more), np.pad(self.floors, more)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only `rows`, in this order."""
        self.means, self.floors = self.means[rows], self.floors[rows]
        self.version = -1

    def push(self, column: Sums | None, block: float) -> None:
        """Append an hour, shape (6, history rows), or a gap; `block`: seconds of a block of the pool."""
        for hours in (self.means, self.floors, self.uptimes, self.lifetimes):
            hours[..., :-1] = hours[..., 1:]
            hours[..., -1] = 0
        if column is not None:
            self.means[self.pool_rows, -1] = column[MEAN]
            self.floors[self.pool_rows, -1] = column[FLOOR]
            self.uptimes[-1] = self.history.closed * self.history.block / (BLOCKS_PER_HOUR * block)
            self.lifetimes[-1] = self.history.lifetime
            self._bridge()

    def valid_steps(self, hours: int = HOURS) -> Mask:
        """Return for each hour whether the step from the hour before counts, for the last `hours` only.

        A step counts within a lifetime, after its first hour.
        """
        uptimes, lifetimes = self.uptimes, self.lifetimes
        valid = np.zeros(HOURS, bool)
        valid[1:] = (uptimes[1:] > 0) & (uptimes[:-1] > 1) & (lifetimes[1:] == lifetimes[:-1])
        valid[: HOURS - hours] = False
        return valid

    def _bridge(self) -> None:
        """Fill a gap before the newest hour with straight lines, if it is within a lifetime."""
        scraped = np.flatnonzero(self.uptimes)
        if len(scraped) < 2 or self.lifetimes[scraped[-2]] != self.lifetimes[-1]:
            return
        before, gap = int(scraped[-2]), HOURS - 2 - int(scraped[-2])
        share = np.arange(1, gap + 1, dtype=np.float32) / np.float32(gap + 1)
        for hours in (self.means, self.floors, self.uptimes):
            start, end = hours[..., before, None], hours[..., -1, None]
            hours[..., before + 1 : -1] = start + share * (end - start)
        self.lifetimes[before + 1 : -1] = self.lifetimes[-1]
