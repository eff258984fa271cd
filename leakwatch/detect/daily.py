"""The window C24: the last three hours against the same three hours yesterday.

The window finds slow growth inside a stack that swings with the day. Growth since yesterday may be a step that has
ended. So growth scores only while it continues (by a fifth within six hours, in three consecutive hours), or after
its score has confirmed a leak in 27 consecutive hours.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.alive import min_growth_of
from leakwatch.detect.columns import HOURS, Floats, Mask, Rows
from leakwatch.detect.growth import (
    HALF,
    MIN_SCORE,
    Scores,
    WindowScores,
    has_no_departures,
    highest,
    hour_scores,
    known_drop_of,
    moved_within_origin,
    score_c,
    unexplained_growth,
)
from leakwatch.detect.history import History
from leakwatch.detect.quarters import MIN_COVERAGE, Quarters, growing_rows, summarise
from leakwatch.detect.windows import C24
from leakwatch.model import Fingerprint

SPAN: Final = 3  # hours compared
DAY: Final = 24
RISE_HOURS: Final = 6  # over which a rise is measured
RISE: Final = 1.2  # of the growth at the beginning of these hours
MIN_HALF: Final = 0.2  # of the rise, in each half of these hours
RISING: Final = 3  # consecutive hours
STANDING: Final = 27  # consecutive hours


@dataclass(frozen=True, slots=True)
class Streak:
    """The numbers of consecutive hours in which a series has risen, and has had a score of 1 or more."""

    rising: int = 0
    standing: int = 0


class DailyScorer:
    """Scores the stacks of a target in the hourly windows. For C24 it counts the hours of each rise."""

    STATE: ClassVar = {"_streaks": dict[Fingerprint, Streak]}

    def __init__(self) -> None:
        self._streaks: dict[Fingerprint, Streak] = {}

    def score_hours(self, history: History) -> Scores:
        """Return the scores of all hourly windows, after an hour has closed."""
        return highest([*hour_scores(history), self._score(history)])

    def _score(self, history: History) -> WindowScores:
        """Return the scores in C24, 0 for rows with too short a streak."""
        indices = _quarters(history, 0)
        rows = np.zeros(0, np.intp)
        if indices is None and history.hours.has_level[HOURS - C24.columns]:
            return C24, rows, np.zeros(0, np.float32)  # a gap does not end a streak
        if indices is not None:
            rows = growing_rows(history.hours, indices, MIN_SCORE * C24.min_growth)
        streaks, self._streaks = self._streaks, {}
        if indices is None or not len(rows):
            return C24, rows, np.zeros(0, np.float32)
        scores, growth = _compare(history, rows, indices)
        rises = (scores >= MIN_SCORE) & _is_rising(history, rows, indices, growth)
        scores = np.maximum(scores, _score_without_departures(history, rows, indices))
        for i, row in enumerate(rows.tolist()):
            stack = history.stacks[row]
            if stack is None or scores[i] < MIN_SCORE:
                scores[i] = 0
                continue
            streak = streaks.get(stack.fingerprint, Streak())
            streak = Streak(streak.rising + 1 if rises[i] else 0, streak.standing + 1 if scores[i] >= 1 else 0)
            self._streaks[stack.fingerprint] = streak
            if streak.rising < RISING and streak.standing < STANDING:
                scores[i] = 0
        return C24, rows, scores


def _quarters(history: History, ago: int) -> list[Rows] | None:
    """Return the columns of the two spans as they were `ago` hours ago, or None if most of a span is missing.

    In place of quarters: yesterday's span twice, then today's twice.
    """
    spans = []
    for end in (HOURS - DAY - ago, HOURS - ago):
        columns = np.flatnonzero(history.hours.scrapes[end - SPAN : end]) + end - SPAN
        if 2 * len(columns) <= SPAN:
            return None
        spans.append(columns)
    yesterday, today = spans
    return [yesterday, yesterday, today, today]


def _compare(history: History, rows: Rows, indices: list[Rows]) -> tuple[Floats, Floats]:
    """Return the C score of `rows`, 0 where a rule rejects the growth, and the growth that is not explained.

    Without turnover the score is 0.
    """
    quarters = summarise(history.hours, rows, indices)
    scores = score_c(quarters, C24, known_drop_of(history, rows, C24), _min_growth(history, rows, indices))
    coverage = history.hours.coverage
    if min(coverage[indices[0]].sum(), coverage[indices[3]].sum()) < MIN_COVERAGE * SPAN:
        scores[:] = 0
    return np.where(_is_rejected(history, rows, indices, quarters), 0, scores), unexplained_growth(quarters)


def _is_rising(history: History, rows: Rows, indices: list[Rows], growth: Floats) -> Mask:
    """Return which rows gained a fifth within the last hours.

    A row without departures must have gained in both halves of these hours, because a step does not.
    """
    middle_indices, start_indices = (_quarters(history, ago) for ago in (RISE_HOURS // 2, RISE_HOURS))
    if middle_indices is None or start_indices is None:
        return np.zeros(len(rows), bool)
    middle, start = (_compare(history, rows, columns)[1] for columns in (middle_indices, start_indices))
    min_half = MIN_HALF * (growth - np.maximum(start, 0))
    no_departures = has_no_departures(summarise(history.hours, rows, indices))
    is_step = no_departures & ((growth - middle < min_half) | (middle - start < min_half))
    return np.asarray((growth > RISE * np.maximum(start, 0)) & ~is_step)


def _score_without_departures(history: History, rows: Rows, indices: list[Rows]) -> Floats:
    """Return the scores of growth without departures, such as that of large batches; 0 for other rows.

    Without departures the growth is known exactly, so neither turnover nor number of rises limits the score.
    """
    quarters = summarise(history.hours, rows, indices)
    required = np.maximum(_min_growth(history, rows, indices), 1.5 * known_drop_of(history, rows, C24))
    scored = has_no_departures(quarters) & ~_is_rejected(history, rows, indices, quarters)
    return np.asarray(np.where(scored, quarters.growth / required, 0), np.float32)


def _min_growth(history: History, rows: Rows, indices: list[Rows]) -> Floats:
    evidence = np.where(history.past_lifetimes.leaked[rows], HALF, np.float32(1))
    return np.asarray(evidence * min_growth_of(history, rows, C24, history.hours, indices), np.float32)


def _is_rejected(history: History, rows: Rows, indices: list[Rows], quarters: Quarters) -> Mask:
    """Return which rows are below a past ceiling, or grew at the cost of other stacks of their origin."""
    moved = moved_within_origin(history, history.hours, rows, indices, quarters)
    return np.asarray(moved | history.past_lifetimes.is_below_ceiling(rows, quarters.floor[:, 3]))
