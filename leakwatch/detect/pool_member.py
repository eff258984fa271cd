"""What the pool of a service keeps of one of its targets."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR, HOURS, MEAN, Floats, Sums
from leakwatch.detect.history import History


class PoolMember:
    """One target of the service: hourly means, floors and uptimes, over all its lifetimes."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.taken = (history.lifetime, history.block, history.closed)
        """Lifetime, seconds of a block and closed blocks when a block was last taken from it."""
        self.means: Floats = np.zeros((0, HOURS), np.float32)
        self.floors: Floats = np.zeros((0, HOURS), np.float32)
        self.uptimes: npt.NDArray[np.float32] = np.zeros(HOURS, np.float32)
        """Hours at the end of each hour; 0 where the target was not seen."""
        self.lifetimes: npt.NDArray[np.int32] = np.zeros(HOURS, np.int32)
        self.rows: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        """The rows of the history that are in use, and in `places` where each is in the pool."""
        self.places: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self.version = -1

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows."""
        more = ((0, rows - len(self.means)), (0, 0))
        self.means, self.floors = np.pad(self.means, more), np.pad(self.floors, more)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but `rows`, which are numbered anew."""
        self.means, self.floors = self.means[rows], self.floors[rows]
        self.version = -1

    def push(self, column: Sums | None, block: float) -> None:
        """Remember the hour that has ended, shape (6, rows), or that the target was not seen.

        `block`: seconds of a twelfth of an hour.
        """
        for ring in (self.means, self.floors, self.uptimes, self.lifetimes):
            ring[..., :-1] = ring[..., 1:]
            ring[..., -1] = 0
        if column is not None:
            self.means[self.places, -1] = column[MEAN]
            self.floors[self.places, -1] = column[FLOOR]
            self.uptimes[-1] = self.history.closed * self.history.block / (BLOCKS_PER_HOUR * block)
            self.lifetimes[-1] = self.history.lifetime

    def steps(self) -> npt.NDArray[np.bool_]:
        """Tell for which hours the step from the hour before counts."""
        up, lifetimes = self.uptimes, self.lifetimes
        valid = np.zeros(HOURS, bool)
        valid[1:] = (up[1:] > 0) & (up[:-1] > 1) & (lifetimes[1:] == lifetimes[:-1])
        return valid
