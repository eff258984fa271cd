"""Counts as they were at given times, out of blocks and hours of many targets. Pure.

Targets begin at different moments, so their columns do not lie beneath each other: a sum takes of each target the
column that a time falls into. Through a gap the last known count goes on, for a target that was not seen has not
lost its goroutines; before a lifetime there are none.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.columns import BLOCKS_PER_HOUR, HOURS, MEAN, Columns, Sums
from leakwatch.history import History
from leakwatch.model import Fingerprint
from leakwatch.watch import Watch

POINTS: Final = 48  # of a sparkline
Rows = npt.NDArray[np.intp]


def history_of(watch: Watch, fingerprint: Fingerprint) -> tuple[History, int] | None:
    """Return the series of a stack or site on one target and its row, None if it is not followed there."""
    for series in (watch.history, watch.sites):
        row = series.rows.get(fingerprint)
        if row is not None:
            return series, row
    return None


def hour_end(history: History) -> float:
    """Return when the newest closed hour ended."""
    return history.block_start - history.closed % BLOCKS_PER_HOUR * history.block


def sampled(history: History, rows: Rows, grid: Sums, what: int = MEAN) -> Sums:
    """Return the goroutines of `rows` at the times of `grid`, shape (rows, times)."""
    found = np.zeros((len(rows), len(grid)))
    if history.since is None:
        return found
    hour = BLOCKS_PER_HOUR * history.block
    for columns, end, width in ((history.hours, hour_end(history), hour), _blocks(history)):
        inside, taken = _columns_at(columns, end, width, grid)
        found[:, inside] = columns.values[what][np.ix_(rows, taken)]
    found[:, grid >= history.block_start] = history.last[rows, None]
    found[:, grid < history.since] = 0
    return found


def seen(history: History, grid: Sums, *, hourly: bool = False) -> npt.NDArray[np.bool_]:
    """Tell for which times of `grid` the target was scraped within the block, or hour, that they fall into."""
    hour = BLOCKS_PER_HOUR * history.block
    columns, end, width = (history.hours, hour_end(history), hour) if hourly else _blocks(history)
    at = _at(columns, end, width, grid)
    inside = (at >= 0) & (at < len(columns.scrapes))
    found = at >= len(columns.scrapes)
    found[inside] = columns.scrapes[at[inside]] > 0
    return np.asarray(found & (history.since is not None), np.bool_)


def summed(watches: Iterable[Watch], stacks: Sequence[Fingerprint], grid: Sums, what: int = MEAN) -> Sums:
    """Return the goroutines of each of `stacks` over all `watches` at the times of `grid`."""
    total = np.zeros((len(stacks), len(grid)))
    for watch in watches:
        for series, but in ((watch.history, {}), (watch.sites, watch.history.rows)):
            pairs = [
                (i, series.rows[key]) for i, key in enumerate(stacks) if key in series.rows and key not in but
            ]
            if pairs:
                at, rows = np.array(pairs, np.intp).T
                total[at] += sampled(series, rows, grid, what)
    return total


def totals(watches: Iterable[Watch], grid: Sums) -> Sums:
    """Return all goroutines that are followed over all `watches` at the times of `grid`."""
    total = np.zeros(len(grid))
    for watch in watches:
        rows = np.fromiter(watch.history.rows.values(), np.intp, len(watch.history.rows))
        total += sampled(watch.history, rows, grid).sum(axis=0)
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


def _blocks(history: History) -> tuple[Columns, float, float]:
    return history.blocks, history.block_start, history.block


def _at(columns: Columns, end: float, width: float, grid: Sums) -> Rows:
    return np.asarray(np.floor((grid - end) / width), np.intp) + len(columns.scrapes)


def _columns_at(columns: Columns, end: float, width: float, grid: Sums) -> tuple[Rows, Rows]:
    """Return which times of `grid` are known, and for each the column: in a gap the last one before it."""
    length = len(columns.scrapes)
    at = _at(columns, end, width, grid)
    latest = np.maximum.accumulate(np.where(columns.scrapes > 0, np.arange(length), -1))
    inside = np.flatnonzero((at >= 0) & (at < length))
    taken = latest[at[inside]]
    return inside[taken >= 0], taken[taken >= 0]
