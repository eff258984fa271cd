"""Scores of the growth of a series that turnover cannot explain.

The question is whether goroutines also leave. Busy goroutines start and end: when load doubles, twice as many
leave per minute. Leaked goroutines only start. A window of columns is divided into quarters (medians of the means
m, minima of the floors, trimmed means of the turnover L), and

    growth = m3 - m0
    rho    = (L3 + 0.05) / (L0 + 0.05)                                          how much the turnover grew
    X      = min(growth - max(rho - 1, 0) (m0 + 1), 1.25 (floor3 - floor0))     growth that rho does not explain
    sigma  = max(rho, 1) (m0 + 1) sqrt(r1^2 + r2^2 + 1 / (falls + 1))           standard error of explained growth
    score  = growth / max(x, 1.5 A), limited by the effective number of rises   P: no departures
             X / max(x, phi m0, 3.5 sigma, A)                                   C: rho does not explain the growth

A is the known drop, x and phi are `min_growth` and `count_share` of the window. Both kinds require that count and
floor rose in a straight line, and that all stacks of the same origin together grew by at least half as much: idle
workers move between states and so between stacks. A score of 1 confirms a leak. docs/how-it-judges.md explains
this, with measurements.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.alive import min_growth_of
from leakwatch.detect.columns import BLOCKS_PER_HOUR, Columns, Floats, Mask, Rows, median
from leakwatch.detect.history import History
from leakwatch.detect.quarters import (
    Levels,
    Quarters,
    growing_rows,
    levels_of,
    quarter_columns,
    summarise,
)
from leakwatch.detect.series import Series
from leakwatch.detect.windows import BLOCK_WINDOWS, HOUR_WINDOWS, Window

MIN_SCORE: Final = 0.3  # lower scores have no effect, so series that cannot reach it are skipped
MIN_STEP: Final = 0.1  # of the growth, in each quarter of a C window
SIGMAS: Final = 3.5
YOUNG: Final = 16 * BLOCKS_PER_HOUR  # blocks of a lifetime in which pools fill up: growth must not slow down
MAX_SLOWDOWN: Final = 1.5  # standard errors
USUAL_BLOCK: Final = 300.0  # seconds; rules for young processes do not apply to a demo or a short recording
HALF: Final = np.float32(0.5)  # the share of the usual evidence that a stack needs if it leaked before the restart


@dataclass(frozen=True, slots=True)
class Scores:
    """The highest score of each row that has one of MIN_SCORE or more, and its window."""

    rows: Rows
    scores: Floats
    windows: tuple[Window, ...]


WindowScores = tuple[Window, Rows, Floats]
"""The scores of some rows in one window."""


def score_blocks(history: History) -> Scores:
    """Return the scores of the block windows, after a block has closed."""
    return highest(score_window(history, history.blocks, window) for window in BLOCK_WINDOWS)


def score_hours(history: History) -> Scores:
    """Return the scores of the hourly windows but C24, after an hour has closed."""
    return highest(hour_scores(history))


def hour_scores(history: History) -> Iterator[WindowScores]:
    """Yield the scores of each hourly window but C24."""
    return (score_window(history, history.hours, window) for window in HOUR_WINDOWS)


def highest(window_scores: Iterable[WindowScores]) -> Scores:
    """Return the highest score of each row."""
    best: dict[int, tuple[float, Window]] = {}
    for window, rows, scores in window_scores:
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if score >= MIN_SCORE and (row not in best or score > best[row][0]):
                best[row] = (score, window)
    return Scores(
        np.fromiter(best, np.intp, len(best)),
        np.fromiter((score for score, _ in best.values()), np.float32, len(best)),
        tuple(window for _, window in best.values()),
    )


def score_window(history: History, columns: Columns, window: Window) -> WindowScores:
    """Return the scores of all rows that grew, 0 where a rule rejects the growth."""
    rows = np.zeros(0, np.intp)
    indices = quarter_columns(columns, window) if len(history.last) else None
    if indices is not None:
        rows = growing_rows(columns, indices, float(MIN_SCORE * HALF * window.min_growth))
    if indices is None or not len(rows):
        return window, rows, np.zeros(0, np.float32)
    rows = rows[is_linear(levels_of(columns, rows, indices), window)]
    if not len(rows):
        return window, rows, np.zeros(0, np.float32)
    quarters = summarise(columns, rows, indices)
    known_drop = known_drop_of(history, rows, window)
    evidence = np.where(history.past_lifetimes.leaked[rows], HALF, 1)
    min_growth = evidence * min_growth_of(history, rows, window, columns, indices)
    usual_block = history.block >= USUAL_BLOCK
    factor = window.young_factor(history.closed) if usual_block else 1.0
    no_departures = has_no_departures(quarters)
    if window.needs_turnover:
        scores = score_c(quarters, window, known_drop, min_growth * np.where(no_departures, factor, 1))
    else:
        scores = score_p(
            quarters, known_drop, np.float32(factor) * min_growth, evidence * np.float32(window.min_rises)
        )
    scores[history.past_lifetimes.is_below_ceiling(rows, quarters.floor[:, 3])] = 0
    if usual_block and history.closed < YOUNG:
        scores[no_departures & (slowdown(quarters) > MAX_SLOWDOWN)] = 0
    scores[moved_within_origin(history, columns, rows, indices, quarters)] = 0
    return window, rows, scores


def is_linear(levels: Levels, window: Window) -> Mask:
    """Return which rows rose in a straight line, and by at least half as much in their floors."""
    count, growth = levels.count, levels.growth
    steps = count[:, 1:] - count[:, :-1]  # np.diff takes three times as long
    linear = (growth > 0) & (steps.max(axis=1) <= window.max_step * growth)
    linear &= steps[:, 2] >= window.min_last_step * growth
    if window.min_step is not None:
        linear &= steps.min(axis=1) >= window.min_step * growth
    if window.needs_turnover:
        linear &= steps.min(axis=1) > MIN_STEP * growth
    return np.asarray(linear & (levels.floor[:, 3] - levels.floor[:, 0] >= 0.5 * growth))


def known_drop_of(series: Series, rows: Rows, window: Window) -> Floats:
    """Return the known drops that `window` compares growth with."""
    if window.known_drop is None:
        return np.zeros(len(rows), np.float32)
    return np.asarray(series.known_drop[window.known_drop, rows])


def score_p(quarters: Quarters, known_drop: Floats, min_growth: Floats, min_rises: Floats) -> Floats:
    """Return the scores of growth without departures; 0 for rows with departures."""
    rises = effective_rises(quarters) / min_rises
    scores = np.minimum(quarters.growth / np.maximum(min_growth, 1.5 * known_drop), rises)
    return np.asarray(np.where(has_no_departures(quarters), scores, 0), np.float32)


def score_c(quarters: Quarters, window: Window, known_drop: Floats, min_growth: Floats) -> Floats:
    """Return the scores of growth that turnover does not explain."""
    count = quarters.count[:, 0]
    error = np.sqrt(np.maximum(quarters.turnover_error, quarters.sampling_error) ** 2 + 1 / (quarters.falls + 1))
    sigma = np.maximum(turnover_ratio(quarters), 1) * (count + 1) * error
    required = np.maximum(np.maximum(min_growth, (window.count_share or 0) * count), known_drop)
    return np.asarray(unexplained_growth(quarters) / np.maximum(required, SIGMAS * sigma), np.float32)


def has_no_departures(quarters: Quarters) -> Mask:
    """Return for which rows at most 5 % of the growth left again."""
    return np.asarray(quarters.falls <= 0.05 * quarters.growth)


def slowdown(quarters: Quarters) -> Floats:
    """Return by how many standard errors the first half of the growth is larger than the second."""
    count = quarters.count
    middle = (count[:, 1] + count[:, 2]) / 2
    batch = np.divide(
        quarters.squared_rises, quarters.rises, out=np.ones_like(quarters.rises), where=quarters.rises > 0
    )
    error = np.sqrt(np.maximum(batch, 1) * np.maximum(quarters.growth, 1))
    return np.asarray((2 * middle - count[:, 0] - count[:, 3]) / error, np.float32)


def unexplained_growth(quarters: Quarters) -> Floats:
    """Return X: the growth beyond what the increase of the turnover explains."""
    explained = np.maximum(turnover_ratio(quarters) - 1, 0) * (quarters.count[:, 0] + 1)
    floor_growth = quarters.floor[:, 3] - quarters.floor[:, 0]
    return np.asarray(np.minimum(quarters.growth - explained, 1.25 * floor_growth), np.float32)


def turnover_ratio(quarters: Quarters) -> Floats:
    """Return rho: the turnover of the last quarter over that of the first; 0.05 is added to both against noise."""
    return np.asarray((quarters.turnover[:, 3] + 0.05) / (quarters.turnover[:, 0] + 0.05), np.float32)


def effective_rises(quarters: Quarters) -> Floats:
    """Return the effective number of rises: n for n equal rises, 1 if one rise is nearly all of the growth."""
    rises = quarters.rises
    number: Floats = np.divide(
        rises**2, quarters.squared_rises, out=np.zeros_like(rises), where=quarters.squared_rises > 0
    )
    return number


def moved_within_origin(
    series: Series, columns: Columns, rows: Rows, indices: list[Rows], quarters: Quarters
) -> Mask:
    """Return which rows grew more than twice as much as all stacks of their origin together."""
    growth = np.zeros(len(rows), np.float32)
    for i, row in enumerate(rows.tolist()):
        counts = series.sum_counts(columns, row)
        growth[i] = median(counts[indices[3]]) - median(counts[indices[0]])
    return np.asarray(growth < 0.5 * quarters.growth)
