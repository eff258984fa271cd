"""The window C24: the last three hours against the same three hours yesterday.

It finds slow growth inside a stack that swings with the day. What rose since yesterday may be a step that ended;
so it counts only while it is still rising (by a fifth over six hours ago, three hours running), or when it has
stood for 27 hours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.columns import HOURS, MEAN, SCRAPES_PER_BLOCK, Floats
from leakwatch.detect.growth import (
    WORTH_A_LOOK,
    Rows,
    Scores,
    Window,
    origin_growth,
    score_c,
    summarise,
    unexplained,
)
from leakwatch.history import History
from leakwatch.model import Fingerprint

WINDOW: Final = Window("C24", 27, 8, 0, 0.25, (0, 1))
SPAN: Final = 3  # hours compared
DAY: Final = 24
BEFORE: Final = 6  # hours ago, to tell whether it still rises
STILL_RISING: Final = 3  # hours running
STANDING: Final = 27  # hours


@dataclass(frozen=True, slots=True)
class Streak:
    """For how many hours running a series has risen, and stood above the score of a leak."""

    rising: int = 0
    standing: int = 0


def score_days(
    history: History, streaks: Mapping[Fingerprint, Streak]
) -> tuple[Scores, dict[Fingerprint, Streak]]:
    """Return the scores of C24 and the new streaks, to be asked when an hour has closed."""
    spans = _spans(history, 0)
    rows = _candidates(history, spans) if spans else np.zeros(0, np.intp)
    if spans is None or not len(rows):
        return Scores(np.zeros(0, np.intp), np.zeros(0, np.float32), ()), {}
    score, growth = _compare(history, rows, spans)
    before = _spans(history, BEFORE)
    earlier = _compare(history, rows, before)[1] if before else np.full(len(rows), np.inf, np.float32)
    rises = growth > 1.2 * np.maximum(earlier, 0)
    new: dict[Fingerprint, Streak] = {}
    for i, row in enumerate(rows.tolist()):
        stack = history.stacks[row]
        if stack is None or score[i] < WORTH_A_LOOK:
            score[i] = 0
            continue
        old = streaks.get(stack.fingerprint, Streak())
        streak = Streak(old.rising + 1 if rises[i] else 0, old.standing + 1 if score[i] >= 1 else 0)
        new[stack.fingerprint] = streak
        if streak.rising < STILL_RISING and streak.standing < STANDING:
            score[i] = 0
    seen = score >= WORTH_A_LOOK
    return Scores(rows[seen], score[seen], (WINDOW.name,) * int(seen.sum())), new


def _candidates(history: History, spans: tuple[Rows, Rows]) -> Rows:
    mean = history.hours.values[MEAN]
    rise = mean[:, spans[1]].max(axis=1) - mean[:, spans[0]].min(axis=1)
    return np.flatnonzero(rise >= WORTH_A_LOOK * WINDOW.least)


def _spans(history: History, ago: int) -> tuple[Rows, Rows] | None:
    """Return the columns of yesterday and of today, as they were `ago` hours ago; None if much is missing."""
    usable = history.hours.scrapes >= SCRAPES_PER_BLOCK
    found = []
    for end in (HOURS - DAY - ago, HOURS - ago):
        columns = np.flatnonzero(usable[end - SPAN : end]) + end - SPAN
        if 2 * len(columns) <= SPAN:
            return None
        found.append(columns)
    return found[0], found[1]


def _compare(history: History, rows: Rows, spans: tuple[Rows, Rows]) -> tuple[Floats, Floats]:
    """Return score and unexplained growth of `rows` between two spans, root veto included."""
    ends = [spans[0], spans[0], spans[1], spans[1]]
    seen = summarise(history.hours.values[:, rows], ends)
    score = score_c(seen, history.give_back[rows], WINDOW)
    net = seen.level[:, 3] - seen.level[:, 0]
    score[origin_growth(history, history.hours, rows, ends) < 0.5 * net] = 0
    return score, unexplained(seen)
