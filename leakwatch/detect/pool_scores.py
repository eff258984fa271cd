"""Scores of the growth of a whole service: many targets, each of which grows slowly.

The windows are those of a single series, with two changes. A few goroutines that start and end are not departures,
because there are many targets (P). The count is that of all members, because the series is rebased (C). Healthy
replicas share their load and their deploys, so growth scores only if

- breadth: the floors rose on at least half of the targets,
- balance: the floors rose as fast on old targets as on young ones (otherwise the growth is a warm-up),
- contrast: older targets hold more goroutines in the same hour (otherwise the growth is load),
- lifetimes: fewer than 30 % of the lifetimes that ended had reached a plateau (otherwise the stack is a pool).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.alive import min_growth_of
from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR, HOURS, Floats, median
from leakwatch.detect.growth import (
    MIN_SCORE,
    Scores,
    WindowScores,
    effective_rises,
    highest,
    is_linear,
    known_drop_of,
    moved_within_origin,
    turnover_ratio,
    unexplained_growth,
)
from leakwatch.detect.history import History
from leakwatch.detect.lifetimes import CEILING_FACTOR, MIN_RISE, shapes
from leakwatch.detect.pool import Pool
from leakwatch.detect.pool_member import PoolMember
from leakwatch.detect.pooled_columns import PooledColumns
from leakwatch.detect.quarters import Quarters, growing_rows, quarter_columns, summarise
from leakwatch.detect.stuck import NO_SCORES, scores_of
from leakwatch.detect.windows import BLOCK_WINDOWS, P8, POOLED_HOUR_WINDOWS, Window
from leakwatch.model import Fingerprint

MIN_SIBLINGS: Final = 2
MIN_SIBLING_BLOCKS: Final = 4 * BLOCKS_PER_HOUR  # of a lifetime
SIBLING_QUANTILE: Final = 0.75
SIGMAS: Final = 6.0
PLAUSIBLE_HOURS: Final = 8  # that the checks include at least
YOUNG: Final = 6.0  # hours
MIN_BALANCE: Final = 0.7  # growth of old targets over that of young targets
HOUR: Final = 3600.0
CONTRAST_HOURS: Final = 3
MIN_LIFETIME: Final = 6  # hours; shorter lifetimes are not counted
MIN_LIFETIMES: Final = 3
MAX_PLATEAUS: Final = 0.3  # of the lifetimes


def stands_out(history: History, siblings: Sequence[History], fingerprint: Fingerprint) -> bool:
    """Return whether a target holds clearly more goroutines of a stack than three quarters of its siblings.

    Growth that a target shares with its siblings is judged for the service: they share their load, and each of
    them warms up. Without enough siblings, return True.
    """
    floors = [_floor(other, fingerprint) for other in siblings if other.closed >= MIN_SIBLING_BLOCKS]
    if len(floors) < MIN_SIBLINGS:
        return True
    usual = float(np.quantile(floors, SIBLING_QUANTILE))
    return _floor(history, fingerprint) > CEILING_FACTOR * usual + MIN_RISE


def _floor(history: History, fingerprint: Fingerprint) -> float:
    row = history.rows.get(fingerprint)
    return 0.0 if row is None else float(history.blocks.values[FLOOR, row, -1])


def score_blocks(pool: Pool) -> Scores:
    """Return the scores of the block windows, after a block has closed."""
    return highest(score_window(pool, pool.pooled_blocks, window) for window in BLOCK_WINDOWS)


def score_hours(pool: Pool) -> Scores:
    """Return the scores of the hourly windows, after an hour has closed."""
    return highest(score_window(pool, pool.pooled_hours, window) for window in POOLED_HOUR_WINDOWS)


def score_dumps(pool: Pool) -> Scores:
    """Return the scores in the window W: of the stuck goroutines in the full dumps of several targets."""
    histories = [member.history for member in pool.members.values()]
    dumped = [history for history in histories if not history.dumps.is_stale(pool.block_start)]

    def is_leak_on_replicas(row: int, growth: int, span: float) -> bool:
        total = growth * len(histories) / len(dumped) * P8.hours * HOUR / span
        return is_plausible(pool, row, P8, total, falls=0.0, rises=total)

    return scores_of(pool, dumped, is_leak_on_replicas) if len(dumped) > 1 else NO_SCORES


def score_window(pool: Pool, pooled: PooledColumns, window: Window) -> WindowScores:
    """Return the scores of all rows that grew, 0 where a rule rejects the growth."""
    columns = pooled.columns
    indices, rows = quarter_columns(columns, window), np.zeros(0, np.intp)
    if indices is not None and len(pool.members) > 1:
        rows = growing_rows(columns, indices, MIN_SCORE * window.min_growth)
    if indices is None or not len(rows):
        return window, rows, np.zeros(0, np.float32)
    quarters = summarise(columns, rows, indices)
    scraped = indices[0][columns.scrapes[indices[0]] > 0]
    min_growth = min_growth_of(pool, rows, window, columns, indices)
    known_drop = known_drop_of(pool, rows, window)
    if window.needs_turnover:
        count = median(pooled.levels[rows][:, scraped])
        scores = _score_c(quarters, count, len(pool.members), window, min_growth, known_drop)
    else:
        floor_falls = np.zeros(len(rows), np.float32)
        if window.hourly:
            floor_falls = pooled.falls[rows, -window.hours :].sum(axis=1)
        required = np.maximum(min_growth, 1.5 * known_drop)
        scores = _score_p(quarters, required, floor_falls, len(pool.members), window)
    scores[~is_linear(quarters, window)] = 0
    scores[moved_within_origin(pool, columns, rows, indices, quarters)] = 0
    for i in np.flatnonzero(scores >= MIN_SCORE).tolist():
        growth, falls, rises = float(quarters.growth[i]), float(quarters.falls[i]), float(quarters.rises[i])
        if not is_plausible(pool, int(rows[i]), window, growth, falls=falls, rises=rises):
            scores[i] = 0
    return window, rows, scores


def _score_p(quarters: Quarters, required: Floats, floor_falls: Floats, members: int, window: Window) -> Floats:
    """Return the scores of growth without departures, apart from a few goroutines per target and hour."""
    growth = quarters.growth
    scores = np.minimum(growth / required, effective_rises(quarters) / window.min_rises)
    passing = np.minimum(0.3 * members * window.hours, 0.10 * growth + 2)
    no_departures = (quarters.falls <= 0.05 * growth + 0.5 + passing) & (floor_falls <= 0.10 * growth + 0.5)
    return np.asarray(np.where(no_departures, scores, 0), np.float32)


def _score_c(
    quarters: Quarters, count: Floats, members: int, window: Window, min_growth: Floats, known_drop: Floats
) -> Floats:
    """Return the scores of growth that turnover does not explain; `count`: in the first quarter."""
    sampling_error = quarters.sampling_error / np.sqrt(members)  # each member was scraped as often
    error = np.sqrt(np.maximum(quarters.turnover_error, sampling_error) ** 2 + 1 / (quarters.falls + 1))
    sigma = np.maximum(turnover_ratio(quarters), 1) * (count + 1) * error
    required = np.maximum(np.maximum(min_growth, (window.count_share or 0) * count), known_drop)
    # Turnover explains growth in proportion to the count, so shift the rebased series to begin at the count.
    shifted = replace(quarters, count=quarters.count + (count - quarters.count[:, 0])[:, None])
    return np.asarray(unexplained_growth(shifted) / np.maximum(required, SIGMAS * sigma), np.float32)


def is_plausible(pool: Pool, row: int, window: Window, growth: float, *, falls: float, rises: float) -> bool:
    """Return whether the growth of a row in a window looks like that of a leak on replicas."""
    members = list(pool.members.values())
    steps = np.array([member.valid_steps(max(window.hours, PLAUSIBLE_HOURS)) for member in members])
    if not steps.any():
        return False
    return (
        2 * len(grown_targets(pool, row, window.hours)) >= int(steps.any(axis=1).sum())
        and _is_balanced(members, row, steps)
        and not _is_load(members, row, window, growth)
        and not (falls <= 0.25 * rises and _reached_plateaus(members, row))
    )


def grown_targets(pool: Pool, row: int, hours: int) -> list[str]:
    """Return the names of the targets on which the floor of a row rose over the last `hours`."""
    return [
        name
        for name, member in pool.members.items()
        if _floor_steps(member, row)[member.valid_steps(hours)].sum() > 0
    ]


def _floor_steps(member: PoolMember, row: int) -> Floats:
    return np.diff(member.floors[row], prepend=0)


def _is_balanced(members: Sequence[PoolMember], row: int, steps: npt.NDArray[np.bool_]) -> bool:
    """Return whether floors rise about as fast at high uptimes as at low ones; False without high uptimes."""
    rises = np.array([_floor_steps(member, row) for member in members])
    uptimes = np.array([member.uptimes for member in members])
    split = min(YOUNG, float(uptimes.max()) / 2)
    young, old = steps & (uptimes <= split), steps & (uptimes > split)
    if not old.any():
        return False
    return not young.any() or float(rises[old].mean()) >= MIN_BALANCE * float(rises[young].mean())


def _is_load(members: Sequence[PoolMember], row: int, window: Window, growth: float) -> bool:
    """Return whether counts depend less on uptime than those of a leak would.

    Fit a line through count and uptime, each less its mean over the members in the same hour.
    """
    last = slice(HOURS - CONTRAST_HOURS, HOURS)
    uptimes = np.array([member.uptimes[last] for member in members])
    means = np.array([member.means[row, last] for member in members])
    scraped = uptimes > 1
    x = np.minimum(uptimes, window.warm_up)
    centred_x, centred_y = np.zeros_like(x), np.zeros_like(means)
    for hour in range(CONTRAST_HOURS):
        inside = scraped[:, hour]
        if inside.sum() > 1:
            centred_x[inside, hour] = x[inside, hour] - x[inside, hour].mean()
            centred_y[inside, hour] = means[inside, hour] - means[inside, hour].mean()
    square = float((centred_x**2).sum())
    if square < 1:  # all members have the same uptime
        return False
    slope = float((centred_x * centred_y).sum()) / square
    rest = centred_y - slope * centred_x
    error = float(np.sqrt((rest**2).sum() / max(int(scraped.sum()) - CONTRAST_HOURS - 1, 1) / square))
    return slope + 1.5 * error < 0.5 * growth / (0.75 * len(members) * window.hours)


def _reached_plateaus(members: Sequence[PoolMember], row: int) -> bool:
    """Return whether many of the lifetimes that ended lately had reached a plateau."""
    plateaus = []
    for member in members:
        scraped = member.uptimes > 0
        for lifetime in np.unique(member.lifetimes[scraped]).tolist():
            hours = np.flatnonzero((member.lifetimes == lifetime) & scraped)
            if lifetime != member.history.lifetime and len(hours) >= MIN_LIFETIME:
                ceilings, _ = shapes(member.floors[row : row + 1, hours])
                plateaus.append(bool(ceilings[0] > 0))
    return len(plateaus) >= MIN_LIFETIMES and float(np.mean(plateaus)) >= MAX_PLATEAUS
