"""What earlier lifetimes of a process tell of its stacks: each filled up to a ceiling, gave back, or leaked.

A pool that warms up to 200 goroutines after each start grows in a straight line, and looks like a leak until it
stops. What it did in the lifetime before is the best guess at where that is. A straight leak never qualifies.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS, BLOCKS_PER_HOUR, FLOOR, Columns, Floats

LIFETIMES: Final = 3  # remembered
SHORTEST: Final = 3  # hours; what lived shorter says nothing
PLATEAU: Final = 0.35  # of the rise that a straight line would have in the last third
STRAIGHT: Final = 0.22  # of the whole rise
GAVE_BACK: Final = 0.75  # of the peak
LEAST: Final = 8.0  # goroutines; smaller rises have no shape
RISES: Final = 0.3  # of the peak; what rises by less has no shape either
MARGIN: Final = 1.12


class PastLifetimes:
    """Row -> the ceilings of the last lifetimes, and whether the last one looked like a leak."""

    __slots__ = ("_learned", "ceilings", "leaked")

    def __init__(self) -> None:
        self.ceilings: Floats = np.zeros((LIFETIMES, 0), np.float32)
        self.leaked: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._learned: Floats = np.zeros(
            (2, 0), np.float32
        )  # ceiling and leaked, of the lifetime that still goes on

    def learn(self, floors: Floats) -> None:
        """Take in the hourly `floors` of this lifetime, shape (rows, hours), from its start on."""
        if floors.shape[1] >= SHORTEST:
            self._learned[:] = shapes(floors)

    def begin(self) -> None:
        """Begin a new lifetime: what was learned in the last one counts from now on."""
        self.ceilings[1:] = self.ceilings[:-1].copy()
        self.ceilings[0], self.leaked = self._learned[0], self._learned[1] > 0
        self._learned[:] = 0

    def known(self, rows: npt.NDArray[np.intp], floors: Floats) -> npt.NDArray[np.bool_]:
        """Tell which of `rows` stand, with these `floors`, where they are known to stop."""
        ceiling = self.ceilings[:, rows].max(axis=0)
        return np.asarray((ceiling > 0) & (floors <= MARGIN * ceiling + LEAST))

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows."""
        more = rows - len(self.leaked)
        self.ceilings = np.pad(self.ceilings, ((0, 0), (0, more)))
        self.leaked = np.pad(self.leaked, (0, more))
        self._learned = np.pad(self._learned, ((0, 0), (0, more)))

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but `rows`, which are numbered anew."""
        self.ceilings, self.leaked = self.ceilings[:, rows], self.leaked[rows]
        self._learned = self._learned[:, rows]

    def take(self, row: int, other: "PastLifetimes", its: int) -> None:
        """Know of `row` what `other` knows of `its` row."""
        self.ceilings[:, row] = np.maximum(self.ceilings[:, row], other.ceilings[:, its])
        self.leaked[row] |= other.leaked[its]

    def clear(self, row: int) -> None:
        """Forget what is known of `row`."""
        self.ceilings[:, row] = self._learned[:, row] = 0
        self.leaked[row] = False


def hourly_floors(blocks: Columns, hours: Columns, closed: int) -> Floats:
    """Return the hourly floors of a lifetime of `closed` blocks, shape (rows, hours), as far as they are kept."""
    known = np.flatnonzero(hours.scrapes)
    floors: Floats = hours.values[FLOOR][:, known]
    rest = closed % BLOCKS_PER_HOUR
    if rest < BLOCKS_PER_HOUR // 2 or not blocks.scrapes[-rest:].any():
        return floors
    recent = np.flatnonzero(blocks.scrapes[-rest:]) + BLOCKS - rest
    rest_floor: Floats = blocks.values[FLOOR][:, recent].min(axis=1, keepdims=True)
    together: Floats = np.concatenate([floors, rest_floor], axis=1)
    return together


def shapes(floors: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the ceiling of each row, 0 where it has none, and which rows rose like a leak until the end."""
    hours = floors.shape[1]
    peak, end = floors.max(axis=1), floors[:, -1]
    rise = peak - floors[:, 0]
    third = -(-hours // 3)
    tail = end - floors[:, hours - 1 - third] if third < hours else end - floors[:, 0]
    expected = rise * third / (hours - 1)
    filled = (tail <= PLATEAU * expected) & (expected - tail >= 2 * np.sqrt(np.maximum(expected, 0)))
    gave_back = end <= GAVE_BACK * peak
    rose = rise >= np.maximum(LEAST, RISES * peak)  # the floor of a busy stack moves, too
    ceiling = np.where(rose & (filled | gave_back), peak, 0)
    return np.asarray(ceiling, np.float32), np.asarray(rose & (tail >= STRAIGHT * rise))
