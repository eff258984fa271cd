"""Judges all series of a target or of a service: scores, and a case for each series that is not normal."""

from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from leakwatch.detect.case import SUSPECT, Case, judgement, update
from leakwatch.detect.columns import BLOCKS_PER_HOUR
from leakwatch.detect.correlation import in_step
from leakwatch.detect.dump_history import STALE
from leakwatch.detect.growth import Scores
from leakwatch.detect.history import History
from leakwatch.detect.series import Series
from leakwatch.detect.windows import Window
from leakwatch.model import NO_GROWTH, Fingerprint, JudgedStack, Verdict

StackScores = dict[Fingerprint, tuple[float, Window]]
"""Stack -> score and window."""


S = TypeVar("S", bound=Series)
Scorer = Callable[[S], Scores]
IsExplained = Callable[[Fingerprint, Window], bool]
"""Whether the growth of a stack in a window has another explanation than a leak of this target."""


class Detector(Generic[S]):
    """Judges the stacks or sites of one target, or of a service; keeps a case for each that is not normal.

    `score_blocks` is called when a block has closed, `score_hours` when an hour has closed.
    """

    STATE: ClassVar = {
        "cases": dict[Fingerprint, Case],
        "_hour_scores": StackScores,
        "_hours": int,
        "_dump_scores": StackScores,
        "_dumped_at": float,
    }

    def __init__(self, score_blocks: Scorer[S], score_hours: Scorer[S]) -> None:
        self.cases: dict[Fingerprint, Case] = {}
        self._score_blocks = score_blocks
        self._score_hours = score_hours
        self._hour_scores: StackScores = {}
        self._hours = 0
        """Hours that were closed when `_hour_scores` was computed."""
        self._dump_scores: StackScores = {}
        """Scores of the latest full dump."""
        self._dumped_at = 0.0
        """End of the newest block when it was taken."""

    @property
    def leaking(self) -> list[Fingerprint]:
        """The stacks that leak."""
        return [key for key, case in self.cases.items() if case.verdict is Verdict.LEAKING]

    def restart(self, history: History) -> None:
        """Begin a new lifetime, after `history` has. Leaking cases stay, all others are dropped."""
        self.cases = {key: case for key, case in self.cases.items() if case.verdict is Verdict.LEAKING}
        for key, case in self.cases.items():
            history.past_lifetimes.leaked[history.rows[key]] = True
            case.restarted = True
            case.verdict_block = case.peak_block = case.confirming = 0
            case.peak = case.score = 0.0
            case.growth = NO_GROWTH
            case.of_stuck = False
        self._hour_scores.clear()
        self._dump_scores.clear()
        self._hours = 0

    def take_over(self, other: "Detector[S]", series: S) -> None:
        """Take over the cases of `other`, which has ended its lifetime, for the stacks that `series` has."""
        for key, case in other.cases.items():
            if key in series.rows:
                self.cases.setdefault(key, case)

    def stretch(self, series: S, before: int) -> None:
        """Adapt to longer blocks of `series`; `before`: closed blocks before the blocks became longer."""
        share = series.closed / max(before, 1)
        for case in self.cases.values():
            case.verdict_block = round(case.verdict_block * share)
            case.peak_block = round(case.peak_block * share)
        self._hours = series.closed // BLOCKS_PER_HOUR

    def judge(self, series: S, is_explained: IsExplained = lambda *_: False) -> None:
        """Update all cases after a block of `series` has closed.

        Explained growth does not raise or confirm a suspicion. A gap changes no case.
        """
        self.cases = {key: case for key, case in self.cases.items() if key in series.rows}
        if not series.blocks.scrapes[-1]:
            return
        scores = self._scores(series)
        for key, (score, window) in list(scores.items()):
            case = self.cases.get(key)
            if (case is None or case.verdict is Verdict.SUSPECTED) and is_explained(key, window):
                del scores[key]
            elif case is None and score >= SUSPECT:
                self.cases[key] = Case(window=window)
        for key, case in list(self.cases.items()):
            update(case, series, series.rows[key], *scores.get(key, (0.0, None)))
            if case.verdict is Verdict.NORMAL:
                del self.cases[key]

    def judge_dump(self, series: S, scores: Scores) -> None:
        """Update the cases of stacks with stuck goroutines, after a full dump; `scores`: in the window W."""
        self._dump_scores, self._dumped_at = _by_stack(series, scores), series.block_start
        for key, (score, window) in self._dump_scores.items():
            if score >= SUSPECT and key not in self.cases:
                self.cases[key] = Case(window=window)
        for key, case in self.cases.items():
            if case.of_stuck or key in self._dump_scores:
                update(case, series, series.rows[key], *self._dump_scores.get(key, (case.score, None)))

    def _scores(self, series: S) -> StackScores:
        """Return the highest score of each stack in the block windows, the latest hour and the latest dump.

        The scores of the hour stay while the hours after it are gaps.
        """
        hours = series.closed // BLOCKS_PER_HOUR
        if hours != self._hours:
            self._hours = hours
            if series.hours.scrapes[-1]:
                self._hour_scores = _by_stack(series, self._score_hours(series))
        if series.block_start - self._dumped_at > STALE:
            self._dump_scores.clear()
        scores = _highest(self._hour_scores, _by_stack(series, self._score_blocks(series)))
        return _highest(scores, self._dump_scores) if self._dump_scores else scores

    def judgements(self, series: S) -> dict[Fingerprint, JudgedStack]:
        """Return the judgement of each stack that is not normal."""
        growing = {key: case.onset for key, case in self.cases.items() if case.verdict >= Verdict.SUSPECTED}
        related = in_step(series, growing) if len(growing) > 1 else {}
        judgements = {}
        for key, case in self.cases.items():
            row = series.rows[key]
            stack = series.stacks[row]
            if stack is not None:
                case.related = related.get(key, frozenset()) | (case.related & self.cases.keys())
                judgements[key] = JudgedStack(stack, judgement(case, series, row))
        return judgements


def _highest(scores: StackScores, others: StackScores) -> StackScores:
    """Return the highest score of each stack in either."""
    higher = {key: value for key, value in others.items() if key not in scores or value[0] > scores[key][0]}
    return scores | higher


def _by_stack(series: Series, scores: Scores) -> StackScores:
    by_stack = {}
    for row, score, window in zip(scores.rows.tolist(), scores.scores.tolist(), scores.windows, strict=True):
        stack = series.stacks[row]
        if stack is not None:
            by_stack[stack.fingerprint] = (score, window)
    return by_stack
