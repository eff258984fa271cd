"""The window C24: the last three hours against the same three hours yesterday.

It finds slow growth inside a stack that swings with the day. What rose since yesterday may be a step that ended;
so it counts only while it is still rising (by a fifth over six hours ago, three hours running), or when it has
stood for 27 hours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.columns import HOURS, MEAN, SCRAPES_PER_BLOCK, Floats
from leakwatch.detect.growth import (
    HALF,
    WORTH_A_LOOK,
    Rows,
    Scores,
    Window,
    origin_growth,
    score_c,
    summarise,
    unexplained,
)
from leakwatch.detect.series import Series
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


class Daily:
    """Scores the rows of one target when an hour has closed."""

    def __init__(self) -> None:
        self._streaks: dict[Fingerprint, Streak] = {}

    def forget(self) -> None:
        """Begin a new lifetime."""
        self._streaks.clear()

    def score(self, series: Series) -> Scores:
        """Return the scores of C24."""
        spans = _spans(series, 0)
        rows = _candidates(series, spans) if spans else np.zeros(0, np.intp)
        old, self._streaks = self._streaks, {}
        if spans is None or not len(rows):
            return Scores(np.zeros(0, np.intp), np.zeros(0, np.float32), ())
        score, growth = _compare(series, rows, spans)
        before = _spans(series, BEFORE)
        earlier = _compare(series, rows, before)[1] if before else np.full(len(rows), np.inf, np.float32)
        rises = growth > 1.2 * np.maximum(earlier, 0)
        for i, row in enumerate(rows.tolist()):
            stack = series.stacks[row]
            if stack is None or score[i] < WORTH_A_LOOK:
                score[i] = 0
                continue
            streak = old.get(stack.fingerprint, Streak())
            streak = Streak(streak.rising + 1 if rises[i] else 0, streak.standing + 1 if score[i] >= 1 else 0)
            self._streaks[stack.fingerprint] = streak
            if streak.rising < STILL_RISING and streak.standing < STANDING:
                score[i] = 0
        seen = score >= WORTH_A_LOOK
        return Scores(rows[seen], score[seen], (WINDOW.name,) * int(seen.sum()))


def _candidates(series: Series, spans: tuple[Rows, Rows]) -> Rows:
    mean = series.hours.values[MEAN]
    rise = mean[:, spans[1]].max(axis=1) - mean[:, spans[0]].min(axis=1)
    return np.flatnonzero(rise >= WORTH_A_LOOK * WINDOW.least)


def _spans(series: Series, ago: int) -> tuple[Rows, Rows] | None:
    """Return the columns of yesterday and of today, as they were `ago` hours ago; None if much is missing."""
    usable = series.hours.scrapes >= SCRAPES_PER_BLOCK
    found = []
    for end in (HOURS - DAY - ago, HOURS - ago):
        columns = np.flatnonzero(usable[end - SPAN : end]) + end - SPAN
        if 2 * len(columns) <= SPAN:
            return None
        found.append(columns)
    return found[0], found[1]


def _compare(series: Series, rows: Rows, spans: tuple[Rows, Rows]) -> tuple[Floats, Floats]:
    """Return score and unexplained growth of `rows` between two spans, root veto included."""
    ends = [spans[0], spans[0], spans[1], spans[1]]
    seen = summarise(series.hours, rows, ends)
    ease = np.where(series.past.leaked[rows], HALF, 1)
    score = score_c(seen, series.give_back[rows], ease, WINDOW)
    score[series.past.known(rows, seen.floor[:, 3])] = 0
    net = seen.level[:, 3] - seen.level[:, 0]
    score[origin_growth(series, series.hours, rows, ends) < 0.5 * net] = 0
    return score, unexplained(seen)
