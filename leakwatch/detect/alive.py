"""Whether the goroutines that a stack gained are alive: a full dump shows how long each of them has waited. Pure.

A pool that fills and a leak have the same counts. In a dump at time t, of the goroutines that came between t - T
and t - T/4, those of a leak have waited since they came. Those of a pool have worked since then. So with K(w), the
number that has waited for w or longer, and the level of the count,

    waiting  = K(T/4) - K(T)
    expected = level(t - T/4) - level(t - T)
    alive:  waiting <= 0.3 expected, or (waiting - expected) / level(t - T) >= 0.5: older goroutines woke up too
    stuck:  waiting >= 0.7 expected, and that share <= 0.2
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from leakwatch.detect.columns import Columns, Floats, Rows
from leakwatch.detect.dumped import DumpedStack
from leakwatch.detect.liveness import StackLiveness
from leakwatch.detect.series import Series
from leakwatch.detect.trend import Points, all_points
from leakwatch.detect.windows import SPANS, Window

SHORTEST: Final = 1200.0  # seconds; a quarter of a shorter span is less than the error of wait times, 2.5 minutes
OLD: Final = 57600.0  # seconds; W judges all wait reasons from then on too
KNOWN: Final = 0.75  # of a span; a window of 8 h is judged as soon as it is full, and the dump is older
MIN_GROWTH: Final = 4.0  # goroutines
MAX_ALIVE: Final = 0.3
MIN_STUCK: Final = 0.7
MIN_WOKE: Final = 0.5
MAX_WOKE: Final = 0.2
MIN_BASE: Final = 5.0  # goroutines; of fewer, the share that woke up is too uncertain
ALIVE_FACTOR: Final = 10  # of the minimum growth, for goroutines that are alive
ALIVE_FACTOR_DAY: Final = 3  # in windows of a day: with 10, a ticker loop that leaks 10 per hour is never found
ALIVE_SHARE: Final = 0.5  # of all goroutines of the process, which growth that is alive must reach too


def liveness_of(series: Series, row: int, stack: DumpedStack, time: float) -> StackLiveness:
    """Return the liveness of a stack in a full dump at `time`."""
    times, levels = all_points(series, row)
    liveness: dict[int, bool] = {}
    for blocks in SPANS:
        span = blocks * series.block
        if span >= SHORTEST and len(times) and times[0] <= time - KNOWN * span:
            is_alive = _is_alive(stack, span, times - time, levels)
            if is_alive is not None:
                liveness[blocks] = is_alive
    return liveness


def _is_alive(stack: DumpedStack, span: float, ages: Points, levels: Points) -> bool | None:
    """Return whether what came within `span` seconds is alive, None if unknown; `ages`: negative seconds."""
    before, quarter, now = np.interp([-span, -span / 4, 0.0], ages, levels).tolist()
    growth, expected = now - before, quarter - before
    if growth < MIN_GROWTH or expected < max(MIN_GROWTH, growth / 4):
        return None  # growth younger than a quarter of the span has waited for less, whatever it is
    seconds = 60 * stack.minutes
    waiting = int(((seconds >= span / 4) & (seconds < span)).sum())
    woke = (waiting - expected) / before if before >= max(MIN_BASE, growth / 4) else 0.0
    if waiting <= MAX_ALIVE * expected or woke >= MIN_WOKE:
        return True
    return False if waiting >= MIN_STUCK * expected and woke <= MAX_WOKE else None


def uptime(series: Series) -> float:
    """Return for how many seconds the process has run, at least: watched by leakwatch, or by its longest wait."""
    watched = series.closed * series.block
    return watched if series.dumps is None else max(watched, series.dumps.uptime_at(series.block_start))


def _is_old(series: Series) -> bool:
    """Return whether the process is so old that its pools have filled: growth without departures is then a leak.

    Without dumps, all false alarms of pools in windows P came in the first 8 hours of a process. Leaked goroutines
    that wake up, as in a ticker loop, are found as soon as by counts.
    """
    return series.dumps is not None and uptime(series) >= OLD


def min_growth_of(series: Series, rows: Rows, window: Window, columns: Columns, indices: Sequence[Rows]) -> Floats:
    """Return the minimum growth of each of `rows` in a window; `indices`: the columns of each quarter.

    Goroutines that are alive must be many in each process, compared with the window and with all goroutines: with
    those before the growth, or in windows C with those after it: before the sessions of a young process there were
    few, which gave 0.17 false alarms per stack in five days with a restart every 16 h.
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
