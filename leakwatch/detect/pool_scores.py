"""Scores what a whole service gains: many targets that gain little each.

The windows are those of a single series, with two changes: a few goroutines that come and go on some of many
targets do not acquit (P), and the level is not that of the rebased sum (C). What healthy replicas have in common
is their load and their deploys, so growth counts only if

- breadth: the floors rose on at least half of the targets,
- balance: they rise as fast on targets that run for long as on young ones, so it is no warm-up,
- contrast: targets that run for longer hold more, the hour of the day apart, so it is no load,
- lifetimes: no third of those that ended had reached a plateau.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import BLOCKS_PER_HOUR, FLOOR, HOURS, MEAN, Floats
from leakwatch.detect.growth import (
    WORTH_A_LOOK,
    Quarters,
    Rows,
    Scores,
    best,
    given_back,
    is_steady,
    moves,
    origin_growth,
    quarter_columns,
    summarise,
    turnover_ratio,
    unexplained,
)
from leakwatch.detect.history import History
from leakwatch.detect.lifetimes import LEAST, MARGIN, shapes
from leakwatch.detect.pool import Added, Pool
from leakwatch.detect.pool_member import PoolMember
from leakwatch.detect.windows import BLOCK_WINDOWS, Window
from leakwatch.model import Fingerprint

HOUR_WINDOWS: Final = (
    Window("P8", 8, 12, 10, None, (0.22, 0.60)),
    Window("C8", 8, 12, 10, 0.20, (0.22, 0.60)),
    Window("P24", 24, 8, 8, None, (0.22, 0.60)),
)
BLATANT: Final = frozenset({"P0"})
"""Windows that need no comparison with siblings: nothing healthy keeps hundreds more within minutes."""

SIBLINGS: Final = 2  # that are needed for a comparison
GROWN: Final = 4 * BLOCKS_PER_HOUR  # blocks of a lifetime after which a sibling may be compared with
MOST: Final = 0.75  # of the siblings
SIGMAS: Final = 6.0
YOUNG: Final = 6.0  # hours; growth at less uptime must not be faster
BALANCE: Final = 0.7
SATURATES: Final = {8: 8.0, 24: 12.0}  # window -> hours of uptime after which a warm-up is over
RECENT: Final = 3  # hours that contrast looks at
LIVED: Final = 6  # hours, of a lifetime that tells something
FEWEST: Final = 3  # lifetimes that tell something together
MOST_PLATEAUS: Final = 0.3


def stands_out(history: History, siblings: Sequence[History], fingerprint: Fingerprint) -> bool:
    """Tell whether a target holds clearly more of a stack than most of its siblings do.

    What a target has in common with its siblings is for the service to be judged by: they share their load, and
    each of them warms up.
    """
    floors = [_floor(other, fingerprint) for other in siblings if other.closed >= GROWN]
    if len(floors) < SIBLINGS:
        return True
    return _floor(history, fingerprint) > MARGIN * float(np.quantile(floors, MOST)) + LEAST


def _floor(history: History, fingerprint: Fingerprint) -> float:
    row = history.rows.get(fingerprint)
    return 0.0 if row is None else float(history.blocks.values[FLOOR, row, -1])


def score_blocks(pool: Pool) -> Scores:
    """Return the scores of the last two hours."""
    return best(_score(pool, pool.added_blocks, window) for window in BLOCK_WINDOWS)


def score_hours(pool: Pool) -> Scores:
    """Return the scores of the last 8 and 24 hours."""
    return best(_score(pool, pool.added_hours, window) for window in HOUR_WINDOWS)


def _score(pool: Pool, added: Added, window: Window) -> tuple[str, Rows, Floats]:
    columns, hourly = added.columns, added is pool.added_hours
    hours = window.columns if hourly else 2
    quarters = quarter_columns(columns, window)
    rows = np.zeros(0, np.intp)
    if quarters is not None and len(pool.members) > 1:
        mean = columns.values[MEAN]
        rise = mean[:, quarters[3]].max(axis=1) - mean[:, quarters[0]].min(axis=1)
        rows = np.flatnonzero(rise >= WORTH_A_LOOK * window.least)
    if quarters is None or not len(rows):
        return window.name, rows, np.zeros(len(rows), np.float32)
    seen = summarise(columns, rows, quarters)
    net = seen.level[:, 3] - seen.level[:, 0]
    if window.needs_turnover:
        score = _score_c(pool, rows, seen, added.levels[rows][:, quarters[0]], window)
    else:
        falls = added.falls[rows, -hours:].sum(axis=1) if hourly else np.zeros(len(rows), np.float32)
        score = _score_p(pool, rows, seen, falls, window, hours)
    score[~is_steady(seen, window)] = 0
    score[origin_growth(pool, columns, rows, quarters) < 0.5 * net] = 0
    for i in np.flatnonzero(score >= WORTH_A_LOOK).tolist():
        if not is_plausible(pool, int(rows[i]), hours, float(net[i]), float(seen.down[i]), float(seen.up[i])):
            score[i] = 0
    return window.name, rows, score


def _score_p(pool: Pool, rows: Rows, seen: Quarters, falls: Floats, window: Window, hours: int) -> Floats:
    net = seen.level[:, 3] - seen.level[:, 0]
    least = np.maximum(window.least, 1.5 * given_back(pool, rows, window))
    score = np.minimum(net / least, moves(seen) / window.moves)
    blips = np.minimum(0.3 * len(pool.members) * hours, 0.10 * net + 2)
    nobody = (seen.down <= 0.05 * net + 0.5 + blips) & (falls <= 0.10 * net + 0.5)
    return np.asarray(np.where(nobody, score, 0), np.float32)


def _score_c(pool: Pool, rows: Rows, seen: Quarters, levels: Floats, window: Window) -> Floats:
    level = np.median(levels, axis=1)
    noise = seen.noise / np.sqrt(len(pool.members))  # each of them was sampled as often
    error = np.sqrt(np.maximum(seen.spread, noise) ** 2 + 1 / (seen.down + 1))
    sigma = np.maximum(turnover_ratio(seen), 1) * (level + 1) * error
    least = np.maximum(window.least, (window.phi or 0) * level)
    # What turnover explains is in proportion to the level, which what was added up is not.
    shifted = replace(seen, level=seen.level + (level - seen.level[:, 0])[:, None])
    score = unexplained(shifted) / np.maximum(least, np.maximum(SIGMAS * sigma, given_back(pool, rows, window)))
    return np.asarray(score, np.float32)


def is_plausible(pool: Pool, row: int, hours: int, net: float, down: float, up: float) -> bool:
    """Tell whether the growth of a row over the last `hours` is one that a leak on replicas would have."""
    members = list(pool.members.values())
    steps = np.array([member.steps() for member in members])
    steps[:, : HOURS - max(hours, 8)] = False
    if not steps.any():
        return False
    return (
        2 * len(grown_targets(pool, row, hours)) >= int(steps.any(axis=1).sum())
        and _is_balanced(members, row, steps)
        and not _is_load(members, row, hours, net)
        and not (down <= 0.25 * up and _is_plateau(members, row))
    )


def grown_targets(pool: Pool, row: int, hours: int) -> list[str]:
    """Return the targets on which the floor of a row rose over the last `hours`."""
    found = []
    for name, member in pool.members.items():
        steps = member.steps()
        steps[: HOURS - hours] = False
        if np.diff(member.floors[row], prepend=0)[steps].sum() > 0:
            found.append(name)
    return found


def _is_balanced(members: Sequence[PoolMember], row: int, steps: npt.NDArray[np.bool_]) -> bool:
    rises = np.array([np.diff(member.floors[row], prepend=0) for member in members])
    uptimes = np.array([member.uptimes for member in members])
    split = min(YOUNG, float(uptimes.max()) / 2)
    young, old = steps & (uptimes <= split), steps & (uptimes > split)
    if not old.any():
        return False
    return not young.any() or float(rises[old].mean()) >= BALANCE * float(rises[young].mean())


def _is_load(members: Sequence[PoolMember], row: int, hours: int, net: float) -> bool:
    """Tell whether what targets hold does not depend on their uptime, while it must if they leak."""
    saturates = SATURATES.get(hours, 8.0)
    last = slice(HOURS - RECENT, HOURS)
    uptimes = np.array([member.uptimes[last] for member in members])
    means = np.array([member.means[row, last] for member in members])
    seen = uptimes > 1
    x = np.minimum(uptimes, saturates)
    centred_x, centred_y = np.zeros_like(x), np.zeros_like(means)
    for hour in range(RECENT):
        inside = seen[:, hour]
        if inside.sum() > 1:
            centred_x[inside, hour] = x[inside, hour] - x[inside, hour].mean()
            centred_y[inside, hour] = means[inside, hour] - means[inside, hour].mean()
    square = float((centred_x**2).sum())
    if square < 1:  # all of the same age: nothing to compare
        return False
    slope = float((centred_x * centred_y).sum()) / square
    rest = centred_y - slope * centred_x
    error = float(np.sqrt((rest**2).sum() / max(int(seen.sum()) - RECENT - 1, 1) / square))
    return slope + 1.5 * error < 0.5 * net / (0.75 * len(members) * hours)


def _is_plateau(members: Sequence[PoolMember], row: int) -> bool:
    """Tell whether many of the lifetimes that ended lately had stopped growing."""
    plateaus = []
    for member in members:
        for lifetime in np.unique(member.lifetimes[member.uptimes > 0]).tolist():
            hours = np.flatnonzero((member.lifetimes == lifetime) & (member.uptimes > 0))
            if lifetime != member.history.lifetime and len(hours) >= LIVED:
                plateaus.append(bool(shapes(member.floors[row : row + 1, hours])[0][0] > 0))
    return len(plateaus) >= FEWEST and float(np.mean(plateaus)) >= MOST_PLATEAUS
