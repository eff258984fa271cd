"""Sums of counts over targets at given times, from the blocks and hours of their histories. Pure.

Blocks of different targets begin at different times. A sum takes the nearest column of each target. In a gap, the
last count before the gap continues, because a target that was not scraped has not lost its goroutines. Before a
lifetime, the count is 0.
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
Resolution = Literal["blocks", "hours"]
RESOLUTIONS: Final[tuple[Resolution, ...]] = ("blocks", "hours")


def columns_of(history: History, resolution: Resolution) -> tuple[Columns, float, float]:
    """Return the blocks or hours, the end of the newest column, and the seconds of a column."""
    if resolution == "blocks":
        return history.blocks, history.block_start, history.block
    end = history.block_start - history.closed % BLOCKS_PER_HOUR * history.block
    return history.hours, end, BLOCKS_PER_HOUR * history.block


def middles(end: float, width: float, number: int) -> Sums:
    """Return the middles of `number` columns of `width` seconds; the last column ends at `end`."""
    return np.asarray(end + (np.arange(number) - number + 0.5) * width, np.float64)


def interpolate(times: Sums, levels: Sums, grid: Sums) -> Sums:
    """Interpolate the rows of `levels`, which were measured at `times`, linearly at the times of `grid`."""
    if len(times) == 1:
        return np.repeat(levels, len(grid), axis=1)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    share = np.clip((grid - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    return np.asarray(levels[:, after - 1] * (1 - share) + levels[:, after] * share, np.float64)


@dataclass(slots=True, kw_only=True)
class SeriesSum:
    """Columns of stacks, summed over targets: shape (stacks, columns); the newest column ends at `end`."""

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

    def add(self, history: History, resolution: Resolution, stacks: Rows, rows: Rows | None) -> None:
        """Add `rows` of one target to the rows `stacks` of the sum; None: add the sum of all rows.

        Each column takes the nearest column of the target. A column without a scrape takes the last count before.
        The widths differ if the target is scraped so rarely that its blocks have grown.
        """
        columns, end, width = columns_of(history, resolution)
        length = len(self.seen)
        source = np.arange(length)
        scraped = columns.scrapes > 0
        if np.count_nonzero(scraped) < length:
            source = np.maximum.accumulate(np.where(scraped, source, 0))
        late = round((self.end - end) / self.width)
        if late or width != self.width:
            nearest = np.round((self.times - end) / width - 0.5).astype(np.intp) + length
            late = int(np.count_nonzero(nearest >= length))
            inside = (nearest >= 0) & (nearest < length)
            source = np.where(inside, source[np.clip(nearest, 0, length - 1)], 0)
            scraped = scraped[source] & inside
        self.seen |= scraped
        for total, kind in ((self.mean, MEAN), (self.floor, FLOOR)):
            values = _select(columns.values[kind], rows)
            total[stacks, : length - late] += values[:, source[: length - late]]
            if late:
                total[stacks, length - late :] += _select(history.last[:, None], rows)


def _select(values: npt.NDArray[np.floating], rows: Rows | None) -> npt.NDArray[np.floating]:
    return values.sum(axis=0, keepdims=True) if rows is None else values[rows]


def summed(states: Iterable[TargetState], stacks: Sequence[Fingerprint]) -> list[SeriesSum]:
    """Return the blocks and the hours of `stacks` or sites, summed over targets; [] if none was scraped."""
    scraped = [state for state in states if state.history.since is not None]
    sums = _empty(scraped, len(stacks))
    for state in scraped if sums else ():
        for history in (state.history, state.sites):
            pairs = [(i, row) for i, key in enumerate(stacks) if (row := history.rows.get(key)) is not None]
            if pairs:
                numbers, rows = np.array(pairs, np.intp).T
                for total, resolution in zip(sums, RESOLUTIONS, strict=True):
                    total.add(history, resolution, numbers, rows)
    return sums


def totals(states: Iterable[TargetState]) -> list[SeriesSum]:
    """Return the blocks and the hours of all stacks together, summed over targets; [] if none was scraped."""
    scraped = [state for state in states if state.history.since is not None]
    sums = _empty(scraped, 1)
    for state in scraped:
        for total, resolution in zip(sums, RESOLUTIONS, strict=True):
            total.add(state.history, resolution, np.zeros(1, np.intp), None)
    return sums


def _empty(states: Sequence[TargetState], stacks: int) -> list[SeriesSum]:
    sums = []
    for resolution in RESOLUTIONS if states else ():
        columns = [columns_of(state.history, resolution) for state in states]
        end, width = max(end for _, end, _ in columns), max(width for _, _, width in columns)
        shape = stacks, len(columns[0][0].scrapes)
        mean, floor, seen = np.zeros(shape), np.zeros(shape), np.zeros(shape[1], np.bool_)
        sums.append(SeriesSum(end=end, width=width, mean=mean, floor=floor, seen=seen))
    return sums


def curve(sums: Sequence[SeriesSum], counts: Sequence[float], now: float) -> tuple[Sums, Sums]:
    """Return times and levels of stacks over their whole history: hours, then blocks, then `counts` now."""
    blocks, hours = sums
    times, levels = np.array([now]), [np.array(counts, np.float64)[:, None]]
    for part in (blocks, hours):
        earlier = np.flatnonzero(part.seen & (part.times < times[0]))
        times = np.concatenate([part.times[earlier], times])
        levels.insert(0, part.mean[:, earlier])
    return times, np.concatenate(levels, axis=1)


def sparkline(
    states: Iterable[TargetState], sums: Sequence[SeriesSum], counts: Sequence[float]
) -> tuple[list[list[float]], float | None]:
    """Return the levels of each stack at even times, and the first of these times.

    The first time is the middle of the first column: nothing is known about the level before.
    """
    histories = [state.history for state in states if state.history.since is not None]
    if not histories:
        return [[] for _ in counts], None
    now = max(history.time or 0.0 for history in histories)
    times, levels = curve(sums, counts, now)
    start = float(times[0])
    grid = np.linspace(start, now, POINTS) if now > start else np.array([now])
    return interpolate(times, levels, grid).round(1).tolist(), start
