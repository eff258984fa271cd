"""Scores how much of a series' growth turnover cannot explain.

Do goroutines also leave? Busy ones come and go: when load doubles, twice as many leave per minute. Leaked ones
only come. A window of columns is cut in four quarters (medians of the means m, minima of the floors, trimmed means
of the turnover L), and

    net    = m3 - m0
    rho    = (L3 + 0.05) / (L0 + 0.05)                                       how much the turnover grew
    X      = min(net - max(rho - 1, 0) (m0 + 1), 1.25 (floor3 - floor0))     growth that turnover does not explain
    sigma  = max(rho, 1) (m0 + 1) sqrt(r1^2 + r2^2 + 1 / (D + 1))            how well rho is known
    score  = net / max(x, 1.5 A), and at least e effective rises             P: nobody leaves
             X / max(x, phi m0, 3.5 sigma, A)                                C: turnover does not explain it

A is what the stack is known to give back. Both need a straight rise, also of the floor, and that the sum over all
stacks of the same origin rises by half as much (root veto): idle workers change between states and so between
stacks. 1 is the score at which we say leaking. docs/how-it-judges.md explains, with the measurements.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import (
    BLOCKS_PER_HOUR,
    BRIEF,
    FALLS,
    FLOOR,
    LASTING,
    MEAN,
    RISES,
    SCRAPES_PER_BLOCK,
    TURNOVER,
    UP_SQUARED,
    Columns,
    Floats,
    trimmed_mean,
)
from leakwatch.detect.series import Series
from leakwatch.detect.windows import BLOCK_WINDOWS, FILLING, HOUR_WINDOWS, Window

Rows = npt.NDArray[np.intp]

YOUNG: Final = 16 * BLOCKS_PER_HOUR  # blocks of a lifetime in which much fills up: growth must not slow down
BENDS: Final = 1.5  # standard errors
USUAL: Final = 300.0
"""Seconds of a block; shorter ones are for who wants an answer soon: a demo, a test, a short recording."""

SIGMAS: Final = 3.5
SAMPLING: Final = 3.0  # variance of a measured turnover, relative, times the number of steps

HALF: Final = np.float32(0.5)
"""The share of the usual evidence that a stack needs when it leaked in the lifetime before."""

WORTH_A_LOOK: Final = 0.3
"""Scores below this are nothing to anybody, so series that cannot reach it are not looked at."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The best score of each row that has one worth a look, and the window that gave it."""

    rows: Rows
    scores: Floats
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quarters:
    """Medians, floors, turnover per quarter, shape (rows, 4); falls, rises and squared rises of the window."""

    level: Floats
    floor: Floats
    left: Floats
    spread: Floats  # sqrt(r1^2 + r2^2)
    noise: np.float32  # what it is at least, from the number of steps
    down: Floats
    up: Floats
    up_squared: Floats

    def of(self, chosen: npt.NDArray[np.bool_]) -> "Quarters":
        """Return those of the rows that are chosen."""
        arrays = {name: getattr(self, name)[chosen] for name in self.__slots__ if name != "noise"}
        return replace(self, **arrays)


def score_blocks(series: Series) -> Scores:
    """Return the scores that the block windows give, to be asked when a block has closed."""
    return best(_score(series, series.blocks, window) for window in BLOCK_WINDOWS)


def score_hours(series: Series) -> Scores:
    """Return the scores that the hourly windows give, to be asked when an hour has closed."""
    return best(_score(series, series.hours, window) for window in HOUR_WINDOWS)


def best(found: Iterator[tuple[str, Rows, Floats]]) -> Scores:
    """Return the highest of each row's scores; `found`: window, rows, scores."""
    highest: dict[int, tuple[float, str]] = {}
    for name, rows, scores in found:
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if score >= WORTH_A_LOOK and score > highest.get(row, (0.0, ""))[0]:
                highest[row] = (score, name)
    return Scores(
        np.fromiter(highest, np.intp, len(highest)),
        np.fromiter((score for score, _ in highest.values()), np.float32, len(highest)),
        tuple(name for _, name in highest.values()),
    )


def _score(series: Series, columns: Columns, window: Window) -> tuple[str, Rows, Floats]:
    none = (window.name, np.zeros(0, np.intp), np.zeros(0, np.float32))
    quarters = quarter_columns(columns, window)
    if quarters is None:
        return none
    mean = columns.values[MEAN]
    bound = mean[:, quarters[3]].max(axis=1) - mean[:, quarters[0]].min(axis=1)
    rows = np.flatnonzero(bound >= WORTH_A_LOOK * HALF * window.least)
    if not len(rows):
        return none
    seen = summarise(columns, rows, quarters)
    steady = is_steady(seen, window)
    rows, seen = rows[steady], seen.of(steady)
    if not len(rows):
        return none
    known_drop, ease = given_back(series, rows, window), np.where(series.past.leaked[rows], HALF, 1)
    slow = series.block >= USUAL
    times = next((times for until, times in FILLING.get(window.name, ()) if slow and series.closed <= until), 1.0)
    if window.needs_turnover:
        kept = nobody_leaves(seen)
        score = score_c(seen, known_drop, ease * np.where(kept, times, 1), window)
    else:
        kept = np.ones(len(rows), bool)
        score = score_p(seen, known_drop, ease, replace(window, least=times * window.least))
    score[series.past.known(rows, seen.floor[:, 3])] = 0
    if slow and series.closed < YOUNG:
        score[kept & (bends(seen) > BENDS)] = 0
    grown = origin_growth(series, columns, rows, quarters)
    score[grown < 0.5 * (seen.level[:, 3] - seen.level[:, 0])] = 0
    return window.name, rows, score


def given_back(series: Series, rows: Rows, window: Window) -> Floats:
    """Return what `rows` are known to give back of growth such as a window looks at.

    One incident of an hour must not hide for days what a window of many hours sees; and what nobody leaves in a
    whole day is none of it.
    """
    if window in BLOCK_WINDOWS:
        return np.asarray(series.known_drop[BRIEF, rows])
    return np.asarray(series.known_drop[LASTING, rows] * np.float32(window.name != "P24"))


def quarter_columns(columns: Columns, window: Window) -> list[Rows] | None:
    """Return the usable columns of each quarter, or None where half of one is missing."""
    usable = columns.scrapes > 0
    if window.needs_turnover:
        usable = (columns.scrapes >= SCRAPES_PER_BLOCK) & (columns.regular >= SCRAPES_PER_BLOCK - 1)
    length = len(columns.scrapes)
    quarter = window.columns // 4
    found = []
    for start in range(length - window.columns, length, quarter):
        inside = np.flatnonzero(usable[start : start + quarter]) + start
        if 2 * len(inside) <= quarter:
            return None
        found.append(inside)
    return found


def summarise(columns: Columns, rows: Rows, quarters: list[Rows]) -> Quarters:
    """Return what the scores need of `rows`."""
    values = columns.values[:, rows]
    regular = columns.blocks * min(int(columns.regular[quarter].sum()) for quarter in (quarters[0], quarters[3]))
    halves = [np.union1d(quarters[0], quarters[1]), np.union1d(quarters[2], quarters[3])]
    every = np.union1d(*halves)
    return Quarters(
        level=np.stack([np.median(values[MEAN][:, q], axis=1) for q in quarters], axis=1),
        floor=np.stack([values[FLOOR][:, q].min(axis=1) for q in quarters], axis=1),
        left=np.stack([trimmed_mean(values[TURNOVER][:, q]) for q in quarters], axis=1),
        spread=np.hypot(*(relative_error(values[TURNOVER][:, half]) for half in halves)),
        noise=np.float32(np.sqrt(2 * SAMPLING / max(regular, 1))),
        down=values[FALLS][:, every].sum(axis=1),
        up=values[RISES][:, every].sum(axis=1),
        up_squared=values[UP_SQUARED][:, every].sum(axis=1),
    )


def relative_error(values: Floats) -> Floats:
    """Return the relative standard error of each row's mean, robustly: from the median absolute deviation."""
    centre = np.median(values, axis=1, keepdims=True)
    deviation = np.median(np.abs(values - centre), axis=1)
    mean = values.mean(axis=1)
    error = np.divide(deviation, mean, out=np.zeros_like(mean), where=mean > 0)
    return np.asarray(1.25 * 1.4826 * error / np.sqrt(values.shape[1]), np.float32)


def is_steady(seen: Quarters, window: Window) -> npt.NDArray[np.bool_]:
    """Tell which rows rose in a straight line, their floors too."""
    low, high = window.steady
    net = seen.level[:, 3] - seen.level[:, 0]
    steps = np.diff(seen.level, axis=1)
    straight = (net > 0) & (steps.max(axis=1) <= high * net) & (steps[:, 2] >= low * net)
    if window.name == "P0":
        straight &= steps.min(axis=1) >= low * net
    if window.needs_turnover:
        straight &= steps.min(axis=1) > 0.1 * net
    rose = seen.floor[:, 3] - seen.floor[:, 0] >= 0.5 * net
    return np.asarray(straight & rose)


def score_p(seen: Quarters, known_drop: Floats, ease: Floats, window: Window) -> Floats:
    """Return the scores of rows that nobody leaves; 0 where more than 5 % of the growth left again.

    `ease`: the share of the usual evidence that is asked of each row.
    """
    net = seen.level[:, 3] - seen.level[:, 0]
    rises = moves(seen) / (window.moves * ease)
    score = np.minimum(net / np.maximum(window.least * ease, 1.5 * known_drop), rises)
    return np.asarray(np.where(nobody_leaves(seen), score, 0), np.float32)


def nobody_leaves(seen: Quarters) -> npt.NDArray[np.bool_]:
    """Tell which rows kept nearly all that came: at most 5 % of the growth left again."""
    return np.asarray(seen.down <= 0.05 * (seen.level[:, 3] - seen.level[:, 0]))


def bends(seen: Quarters) -> Floats:
    """Return by how many standard errors the first half of the growth is larger than the second."""
    level = seen.level
    net = level[:, 3] - level[:, 0]
    middle = (level[:, 1] + level[:, 2]) / 2
    batch = np.divide(seen.up_squared, seen.up, out=np.ones_like(net), where=seen.up > 0)
    error = np.sqrt(np.maximum(batch, 1) * np.maximum(net, 1))
    return np.asarray((2 * middle - level[:, 0] - level[:, 3]) / error, np.float32)


def unexplained(seen: Quarters) -> Floats:
    """Return X: by how much the rows grew beyond what their turnover explains."""
    net = seen.level[:, 3] - seen.level[:, 0]
    growth = net - np.maximum(turnover_ratio(seen) - 1, 0) * (seen.level[:, 0] + 1)
    return np.asarray(np.minimum(growth, 1.25 * (seen.floor[:, 3] - seen.floor[:, 0])), np.float32)


def turnover_ratio(seen: Quarters) -> Floats:
    """Return rho: by how much more leave per scrape at the end; a twentieth of a goroutine is no news."""
    return np.asarray((seen.left[:, 3] + 0.05) / (seen.left[:, 0] + 0.05), np.float32)


def score_c(seen: Quarters, known_drop: Floats, ease: Floats, window: Window) -> Floats:
    """Return the scores of rows whose growth their turnover does not explain; `ease` as in `score_p`."""
    level = seen.level[:, 0]
    error = np.sqrt(np.maximum(seen.spread, seen.noise) ** 2 + 1 / (seen.down + 1))
    sigma = np.maximum(turnover_ratio(seen), 1) * (level + 1) * error
    least = np.maximum(window.least * ease, (window.phi or 0) * level)
    return np.asarray(unexplained(seen) / np.maximum(least, np.maximum(SIGMAS * sigma, known_drop)), np.float32)


def moves(seen: Quarters) -> Floats:
    """Return the effective number of rises: n if they are equal, 1 if one is all."""
    found: Floats = np.divide(seen.up**2, seen.up_squared, out=np.zeros_like(seen.up), where=seen.up_squared > 0)
    return found


def origin_growth(series: Series, columns: Columns, rows: Rows, quarters: list[Rows]) -> Floats:
    """Return for each of `rows` by how much all stacks of its origin together grew over the window."""
    grown = np.zeros(len(rows), np.float32)
    for i, row in enumerate(rows.tolist()):
        total = series.family(columns, row)
        grown[i] = np.median(total[quarters[3]]) - np.median(total[quarters[0]])
    return grown
