"""The shape of each stack's growth in the last lifetimes of a process: a ceiling, or a leak.

A pool that warms up to 200 goroutines after each start grows in a straight line, and looks like a leak until it
stops. The ceiling of the last lifetimes is the best estimate of where that is. A straight leak has no ceiling.
"""

from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.columns import BLOCKS, BLOCKS_PER_HOUR, FLOOR, Columns, Floats, Mask, Rows

LIFETIMES: Final = 3
MIN_HOURS: Final = 3  # shorter lifetimes have no shape
MAX_PLATEAU_TAIL: Final = 0.35  # of the rise that a straight line would have in the last third
MIN_LEAK_TAIL: Final = 0.22  # of the whole rise
MAX_END: Final = 0.75  # of the peak; a floor that ends lower has fallen back
MIN_RISE: Final = 8.0  # goroutines; smaller rises have no shape
MIN_RISE_SHARE: Final = 0.3  # of the peak; the floor of a busy stack moves by less
CEILING_FACTOR: Final = 1.12


class PastLifetimes:
    """For each row, the ceiling of each past lifetime, and whether the latest of them grew like a leak."""

    __slots__ = ("_current", "ceilings", "leaked")
    STATE: ClassVar = {"ceilings": Floats, "leaked": Mask, "_current": Floats}

    def __init__(self) -> None:
        self.ceilings: Floats = np.zeros((LIFETIMES, 0), np.float32)
        """Ceiling of each lifetime, the newest first; 0 if it had none."""
        self.leaked: Mask = np.zeros(0, bool)
        self._current: Floats = np.zeros((2, 0), np.float32)
        """Ceiling and leaked (0 or 1) of the current lifetime."""

    def set_current(self, floors: Floats) -> None:
        """Set the shapes of the current lifetime from its hourly `floors`, shape (rows, hours)."""
        if floors.shape[1] >= MIN_HOURS:
            self._current[:] = shapes(floors)

    def end_lifetime(self) -> None:
        """Make the current lifetime the last one."""
        self.ceilings[1:] = self.ceilings[:-1].copy()
        self.ceilings[0], self.leaked = self._current[0], self._current[1] > 0
        self._current[:] = 0

    def is_below_ceiling(self, rows: Rows, floors: Floats) -> Mask:
        """Return for each of `rows` whether its floor has not exceeded the highest past ceiling."""
        ceiling = self.ceilings[:, rows].max(axis=0)
        return np.asarray((ceiling > 0) & (floors <= CEILING_FACTOR * ceiling + MIN_RISE))

    def resize(self, rows: int) -> None:
        """Extend to `rows` rows."""
        more = rows - len(self.leaked)
        self.ceilings = np.pad(self.ceilings, ((0, 0), (0, more)))
        self.leaked = np.pad(self.leaked, (0, more))
        self._current = np.pad(self._current, ((0, 0), (0, more)))

    def take_over(self, row: int, other: "PastLifetimes", other_row: int) -> None:
        """Add the shapes of `other_row` of `other` to those of `row`."""
        self.ceilings[:, row] = np.maximum(self.ceilings[:, row], other.ceilings[:, other_row])
        self.leaked[row] |= other.leaked[other_row]

    def clear(self, row: int) -> None:
        """Clear all shapes of `row`."""
        self.ceilings[:, row] = self._current[:, row] = 0
        self.leaked[row] = False


def hourly_floors(blocks: Columns, hours: Columns, closed: int) -> Floats:
    """Return the floors of the hours that were scraped in a lifetime of `closed` blocks, shape (rows, hours).

    An incomplete last hour is included if at least half of its blocks have closed.
    """
    floors: Floats = hours.values[FLOOR][:, np.flatnonzero(hours.scrapes)]
    rest = closed % BLOCKS_PER_HOUR
    if rest < BLOCKS_PER_HOUR // 2 or not blocks.scrapes[-rest:].any():
        return floors
    columns = np.flatnonzero(blocks.scrapes[-rest:]) + BLOCKS - rest
    last_floor: Floats = blocks.values[FLOOR][:, columns].min(axis=1, keepdims=True)
    all_floors: Floats = np.concatenate([floors, last_floor], axis=1)
    return all_floors


def shapes(floors: Floats) -> tuple[Floats, Mask]:
    """Return the ceiling of each row, 0 if it has none, and which rows rose like a leak until the end.

    `floors`: hourly, shape (rows, hours). A row has a ceiling if it stopped rising or fell back.
    """
    hours = floors.shape[1]
    peak, end = floors.max(axis=1), floors[:, -1]
    rise = peak - floors[:, 0]
    third = -(-hours // 3)
    tail = end - floors[:, hours - 1 - third] if third < hours else end - floors[:, 0]
    expected = rise * third / (hours - 1)
    plateau = (tail <= MAX_PLATEAU_TAIL * expected) & (expected - tail >= 2 * np.sqrt(np.maximum(expected, 0)))
    fell_back = end <= MAX_END * peak
    rose = rise >= np.maximum(MIN_RISE, MIN_RISE_SHARE * peak)
    ceiling = np.where(rose & (plateau | fell_back), peak, 0)
    return np.asarray(ceiling, np.float32), np.asarray(rose & (tail >= MIN_LEAK_TAIL * rise))
