"""The window C24: the last three hours against the same three hours yesterday.

It finds slow growth inside a stack that swings with the day. What rose since yesterday may be a step that ended;
so it counts only while it is still rising (by a fifth over six hours ago, three hours running), or when it has
stood for 27 hours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import HOURS, LASTING, MEAN, SCRAPES_PER_BLOCK, Floats
from leakwatch.detect.growth import (
    HALF,
    WORTH_A_LOOK,
    Quarters,
    Rows,
    Scores,
    nobody_leaves,
    origin_growth,
    score_c,
    summarise,
    unexplained,
)
from leakwatch.detect.series import Series
from leakwatch.detect.windows import Window
from leakwatch.model import Fingerprint

WINDOW: Final = Window("C24", 27, 8, 0, 0.25, (0, 1))
SPAN: Final = 3  # hours compared
DAY: Final = 24
BEFORE: Final = 6  # hours ago, to tell whether it still rises
EACH_HALF: Final = 0.2  # of what was gained since
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
        turned, growth = _compare(series, rows, spans)
        rises = (turned >= WORTH_A_LOOK) & _rises(series, rows, spans, growth)
        score = np.maximum(turned, _stays(series, rows, spans))
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
    """Return score and unexplained growth of `rows` between two spans, vetoes included."""
    seen = _seen(series, rows, spans)
    score = score_c(seen, series.known_drop[LASTING, rows], _ease(series, rows), WINDOW)
    return np.where(_has_excuse(series, rows, spans, seen), 0, score), unexplained(seen)


def _rises(series: Series, rows: Rows, spans: tuple[Rows, Rows], growth: Floats) -> npt.NDArray[np.bool_]:
    """Tell which rows gained a fifth over the last hours: in both halves, where nobody leaves, unlike a step."""
    before = [_spans(series, ago) for ago in (BEFORE // 2, BEFORE)]
    if None in before:
        return np.zeros(len(rows), bool)
    middle, earlier = (_compare(series, rows, span)[1] for span in before if span is not None)
    least = EACH_HALF * (growth - np.maximum(earlier, 0))
    steps = nobody_leaves(_seen(series, rows, spans)) & ((growth - middle < least) | (middle - earlier < least))
    return np.asarray((growth > 1.2 * np.maximum(earlier, 0)) & ~steps)


def _stays(series: Series, rows: Rows, spans: tuple[Rows, Rows]) -> Floats:
    """Return the score of growth that nobody leaves: well known, however few steps it came in, as a batch does."""
    seen = _seen(series, rows, spans)
    net = seen.level[:, 3] - seen.level[:, 0]
    least = np.maximum(WINDOW.least * _ease(series, rows), 1.5 * series.known_drop[LASTING, rows])
    stays = nobody_leaves(seen) & ~_has_excuse(series, rows, spans, seen)
    return np.asarray(np.where(stays, net / least, 0), np.float32)


def _seen(series: Series, rows: Rows, spans: tuple[Rows, Rows]) -> Quarters:
    return summarise(series.hours, rows, [spans[0], spans[0], spans[1], spans[1]])


def _ease(series: Series, rows: Rows) -> Floats:
    return np.where(series.past.leaked[rows], HALF, np.float32(1))


def _has_excuse(series: Series, rows: Rows, spans: tuple[Rows, Rows], seen: Quarters) -> npt.NDArray[np.bool_]:
    """Tell which rows only grew to where they are known to stop, or took over from others of their origin."""
    grown = origin_growth(series, series.hours, rows, [spans[0], spans[0], spans[1], spans[1]])
    veto = grown < 0.5 * (seen.level[:, 3] - seen.level[:, 0])
    return np.asarray(veto | series.past.known(rows, seen.floor[:, 3]))
