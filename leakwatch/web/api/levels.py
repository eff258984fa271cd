"""Counts as they were at given times, out of blocks and hours of many targets. Pure.

Targets begin at different moments, so their columns do not lie beneath each other: a sum takes of each target what
lies on the line between its columns. So it does through a gap, for a target that was not seen has not lost its
goroutines; before a lifetime there are none.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from leakwatch.columns import BLOCKS_PER_HOUR, HOURS, MEAN, Columns, Sums
from leakwatch.history import History
from leakwatch.model import Fingerprint
from leakwatch.watch import Watch

POINTS: Final = 48  # of a sparkline
Rows = npt.NDArray[np.intp]
Reach = Literal["blocks", "hours"]
BOTH: Final[tuple[Reach, ...]] = ("blocks", "hours")
"""The hours, and then the blocks after them."""


def history_of(watch: Watch, fingerprint: Fingerprint) -> tuple[History, int] | None:
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


def sampled(history: History, rows: Rows, grid: Sums, reach: Sequence[Reach], what: int = MEAN) -> Sums:
    """Return the goroutines of `rows` at the times of `grid`, shape (rows, times)."""
    if history.since is None or history.time is None:
        return np.zeros((len(rows), len(grid)))
    times, parts = np.array([history.time]), [history.last[rows, None]]
    for kind in reach:
        columns, end, width = columns_of(history, kind)
        middle = middles(end, width, len(columns.scrapes))
        known = np.flatnonzero((columns.scrapes > 0) & (middle < times[0]))
        times = np.concatenate([middle[known], times])
        parts.insert(0, columns.values[what][np.ix_(rows, known)])
    found = _between(times, np.concatenate(parts, axis=1), grid)
    found[:, grid < history.since] = 0
    return found


def _between(times: Sums, levels: Sums, grid: Sums) -> Sums:
    """Return the `levels` of all rows, known at `times`, on the lines between them."""
    if len(times) == 1:
        return np.repeat(levels, len(grid), axis=1)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    share = np.clip((grid - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    return np.asarray(levels[:, after - 1] * (1 - share) + levels[:, after] * share, np.float64)


def seen(history: History, grid: Sums, reach: Reach) -> npt.NDArray[np.bool_]:
    """Tell for which times of `grid` the target was scraped within the block, or hour, that they fall into."""
    columns, end, width = columns_of(history, reach)
    length = len(columns.scrapes)
    at = np.asarray(np.floor((grid - end) / width), np.intp) + length
    found = columns.scrapes[np.clip(at, 0, length - 1)] > 0
    return np.asarray(found & (at >= 0) & (at < length), np.bool_)


def summed(
    watches: Iterable[Watch],
    stacks: Sequence[Fingerprint],
    grid: Sums,
    reach: Sequence[Reach] = BOTH,
    what: int = MEAN,
) -> Sums:
    """Return the goroutines of each of `stacks` over all `watches` at the times of `grid`."""
    total = np.zeros((len(stacks), len(grid)))
    for watch in watches:
        for series, but in ((watch.history, {}), (watch.sites, watch.history.rows)):
            pairs = [
                (i, series.rows[key]) for i, key in enumerate(stacks) if key in series.rows and key not in but
            ]
            if pairs:
                at, rows = np.array(pairs, np.intp).T
                total[at] += sampled(series, rows, grid, reach, what)
    return total


def totals(watches: Iterable[Watch], grid: Sums) -> Sums:
    """Return all goroutines that are followed over all `watches` at the times of `grid`."""
    total = np.zeros(len(grid))
    for watch in watches:
        rows = np.fromiter(watch.history.rows.values(), np.intp, len(watch.history.rows))
        total += sampled(watch.history, rows, grid, BOTH).sum(axis=0)
    return total


def span(watches: Iterable[Watch], points: int = POINTS) -> Sums:
    """Return `points` even times from when the first of `watches` is known of, until its newest scrape."""
    known = [watch.history for watch in watches if watch.history.since is not None]
    if not known:
        return np.zeros(0)
    end = max(history.time or 0.0 for history in known)
    longest = max(history.block for history in known) * HOURS * BLOCKS_PER_HOUR
    start = max(min(history.since or end for history in known), end - longest)
    return np.linspace(start, end, points) if end > start else np.array([end])
