"""The liveness of stacks in full dumps, and the growth that windows require of goroutines that are alive. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from leakwatch.detect.columns import Columns, Floats, Rows
from leakwatch.detect.dumped import DumpedStack
from leakwatch.detect.liveness import Gained, StackLiveness
from leakwatch.detect.series import Series
from leakwatch.detect.trend import Points, all_points
from leakwatch.detect.windows import SPANS, Window

SHORTEST: Final = 1200.0  # seconds; a quarter of a shorter span is less than the error of wait times, 2.5 minutes
OLD: Final = 57600.0  # seconds; W judges all wait reasons from then on too
KNOWN: Final = 0.75  # share of a span that the levels must cover: a dump may come before the window is full
ALIVE_FACTOR: Final = 10  # of the minimum growth, for goroutines that are alive
ALIVE_FACTOR_DAY: Final = 3  # in windows of a day: with 10, a ticker loop that leaks 10 per hour is never found
ALIVE_SHARE: Final = 0.5  # of all goroutines of the process, which growth that is alive must reach too


def liveness_of(series: Series, row: int, stack: DumpedStack, time: float) -> StackLiveness:
    """Return the liveness of a stack in a full dump at `time`."""
    times, levels = all_points(series, row)
    spans = {blocks: blocks * series.block for blocks in SPANS}
    return {
        blocks: gained
        for blocks, span in spans.items()
        if span >= SHORTEST
        and len(times)
        and times[0] <= time - KNOWN * span
        and (gained := _gained(stack, span, times - time, levels)).growth >= 1
    }


def _gained(stack: DumpedStack, span: float, ages: Points, levels: Points) -> Gained:
    """Return the goroutines that a stack gained in the last `span` seconds; `ages`: of `levels`, negative."""
    before, quarter, now = np.interp([-span, -span / 4, 0.0], ages, levels).tolist()
    seconds = 60 * stack.minutes
    waiting = int(((seconds >= span / 4) & (seconds < span)).sum())
    return Gained(before=before, growth=now - before, expected=quarter - before, waiting=waiting)


def uptime(series: Series) -> float:
    """Return a lower bound of the uptime in seconds: the time of the closed blocks, or the longest wait."""
    watched = series.closed * series.block
    return watched if series.dumps is None else max(watched, series.dumps.uptime_at(series.block_start))


def _is_old(series: Series) -> bool:
    """Return whether the process is so old that its pools have filled: growth without departures is then a leak.

    Without dumps, all false alarms of pools in P windows were in the first 8 hours of a process. So leaked
    goroutines that wake up, as in a ticker loop, are found as early as by counts alone.
    """
    return series.dumps is not None and uptime(series) >= OLD


def min_growth_of(series: Series, rows: Rows, window: Window, columns: Columns, indices: Sequence[Rows]) -> Floats:
    """Return the minimum growth of each of `rows` in a window; `indices`: the columns of each quarter.

    If the goroutines are alive, it is ALIVE_FACTOR times that of the window, and at least ALIVE_SHARE of all
    goroutines of the process: in P windows of those before the growth, in C windows of those after it. With those
    before it, C windows had 0.17 false alarms per stack in five days with a restart every 16 h, because a young
    process has few goroutines before its sessions begin. In windows of a day, it is ALIVE_FACTOR_DAY times that of
    the window.
    """
    min_growth = np.full(len(rows), window.min_growth, np.float32)
    liveness = series.liveness
    if not liveness.by_stack or (not window.needs_turnover and _is_old(series)):
        return min_growth
    alive = [
        i
        for i, row in enumerate(rows.tolist())
        if (stack := series.stacks[row]) and liveness.is_alive(stack.fingerprint, window)
    ]
    if not alive:
        return min_growth
    if window.span == SPANS[-1]:
        min_growth[alive] *= ALIVE_FACTOR_DAY
    else:
        quarter = indices[3 if window.needs_turnover else 0]
        total = float(np.median(series.sum_counts(columns)[quarter[columns.scrapes[quarter] > 0]]))
        min_growth[alive] = max(ALIVE_FACTOR * window.min_growth * series.processes, ALIVE_SHARE * total)
    return min_growth
