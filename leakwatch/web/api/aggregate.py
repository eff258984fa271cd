"""Counts as they were at given times, out of blocks and hours of many targets. Pure.

Targets begin at different moments, so their columns do not lie beneath each other: a sum takes of each target the
nearest one. Through a gap the count before goes on, for a target that was not seen has not lost its goroutines;
before a lifetime there are none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR, MEAN, Columns, Sums
from leakwatch.detect.history import History
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint

POINTS: Final = 48  # of a sparkline
Rows = npt.NDArray[np.intp]
Reach = Literal["blocks", "hours"]
BOTH: Final[tuple[Reach, ...]] = ("blocks", "hours")
"""The hours, and then the blocks after them."""


def history_of(watch: TargetState, fingerprint: Fingerprint) -> tuple[History, int] | None:
    """Return the series of a stack or site on one target and its row, None if it is not followed there."""
    for series in (watch.history, watch.sites):
        row = series.rows.get(fingerprint)
        if row is not None:
            return series, row
    return None


def columns_of(history: History, reach: Reach) -> tuple[Columns, float, float]:
    """Return the blocks or hours, when the newest of them ended, and the seconds of one."""
    if reach == "blocks":
        return history.blocks, history.block_start, history.block
    end = history.block_start - history.closed % BLOCKS_PER_HOUR * history.block
    return history.hours, end, BLOCKS_PER_HOUR * history.block


def middles(end: float, width: float, number: int) -> Sums:
    """Return the middles of `number` columns of `width` seconds, of which the last one ends at `end`."""
    return np.asarray(end + (np.arange(number) - number + 0.5) * width, np.float64)


def between(times: Sums, levels: Sums, grid: Sums) -> Sums:
    """Return the `levels` of all rows, known at `times`, on the lines between them: at the times of `grid`."""
    if len(times) == 1:
        return np.repeat(levels, len(grid), axis=1)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    share = np.clip((grid - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    return np.asarray(levels[:, after - 1] * (1 - share) + levels[:, after] * share, np.float64)


@dataclass(slots=True)
class Sum:
    """The columns of some stacks, added up over targets: shape (stacks, columns), the newest ends at `end`."""

    end: float
    width: float
    mean: Sums
    floor: Sums
    seen: npt.NDArray[np.bool_]
    """Whether any target was scraped in a column."""

    @property
    def times(self) -> Sums:
        """The middles of the columns."""
        return middles(self.end, self.width, len(self.seen))

    def add(self, history: History, reach: Reach, at: Rows, rows: Rows | None) -> None:
        """Add the `rows` of one target to the stacks `at`; None: the sum of all rows.

        Its columns count as the nearest ones of ours. In one that it was not scraped in it has the last count
        before; it has been scraped so seldom that its blocks have grown, if they have another width.
        """
        columns, end, width = columns_of(history, reach)
        length = len(self.seen)
        source = np.arange(length)
        known = columns.scrapes > 0
        if np.count_nonzero(known) < length:
            source = np.maximum.accumulate(np.where(known, source, 0))
        late = round((self.end - end) / self.width)
        if late or width != self.width:
            nearest = np.round((self.times - end) / width - 0.5).astype(np.intp) + length
            late = int(np.count_nonzero(nearest >= length))
            inside = (nearest >= 0) & (nearest < length)
            source = np.where(inside, source[np.clip(nearest, 0, length - 1)], 0)
            known = known[source] & inside
        self.seen |= known
        for total, what in ((self.mean, MEAN), (self.floor, FLOOR)):
            values = _of(columns.values[what], rows)
            total[at, : length - late] += values[:, source[: length - late]]
            if late:
                total[at, length - late :] += _of(history.last[:, None], rows)


def _of(values: npt.NDArray[np.floating], rows: Rows | None) -> npt.NDArray[np.floating]:
    return values.sum(axis=0, keepdims=True) if rows is None else values[rows]


def summed(watches: Iterable[TargetState], stacks: Sequence[Fingerprint]) -> list[Sum]:
    """Return the blocks and the hours of `stacks`, added up over all `watches`; nothing if none was scraped."""
    known = [watch for watch in watches if watch.history.since is not None]
    sums = _empty(known, len(stacks))
    for watch in known if sums else ():
        for series in (watch.history, watch.sites):
            pairs = [(i, row) for i, key in enumerate(stacks) if (row := series.rows.get(key)) is not None]
            if pairs:
                at, rows = np.array(pairs, np.intp).T
                for total, reach in zip(sums, BOTH, strict=True):
                    total.add(series, reach, at, rows)
    return sums


def totals(watches: Iterable[TargetState]) -> list[Sum]:
    """Return the same of all that is followed, as if it were one stack."""
    known = [watch for watch in watches if watch.history.since is not None]
    sums = _empty(known, 1)
    for watch in known:
        for total, reach in zip(sums, BOTH, strict=True):
            total.add(watch.history, reach, np.zeros(1, np.intp), None)
    return sums


def _empty(watches: Sequence[TargetState], stacks: int) -> list[Sum]:
    sums = []
    for reach in BOTH if watches else ():
        parts = [columns_of(watch.history, reach) for watch in watches]
        end, width = max(end for _, end, _ in parts), max(width for _, _, width in parts)
        shape = stacks, len(parts[0][0].scrapes)
        sums.append(Sum(end, width, np.zeros(shape), np.zeros(shape), np.zeros(shape[1], np.bool_)))
    return sums


def curve(sums: Sequence[Sum], counts: Sequence[float], now: float) -> tuple[Sums, Sums]:
    """Return times and levels of all that is known of some stacks: hours, then blocks, then `counts` now."""
    blocks, hours = sums
    times, levels = np.array([now]), [np.array(counts, np.float64)[:, None]]
    for part in (blocks, hours):
        known = np.flatnonzero(part.seen & (part.times < times[0]))
        times = np.concatenate([part.times[known], times])
        levels.insert(0, part.mean[:, known])
    return times, np.concatenate(levels, axis=1)


def sparkline(
    watches: Iterable[TargetState], sums: Sequence[Sum], counts: Sequence[float]
) -> tuple[list[list[float]], float | None]:
    """Return the levels of each stack at even times since the first that is known of, and that time.

    Of what was before the middle of the first column nothing is known, not even that it was level.
    """
    known = [watch.history for watch in watches if watch.history.since is not None]
    if not known:
        return [[] for _ in counts], None
    now = max(history.time or 0.0 for history in known)
    times, levels = curve(sums, counts, now)
    start = float(times[0])
    grid = np.linspace(start, now, POINTS) if now > start else np.array([now])
    return between(times, levels, grid).round(1).tolist(), start
