"""The verdict on each series of one target, from its scores; with hysteresis, because people are woken by it.

normal --0.5--> suspected --1.0, three blocks running or one hourly window--> leaking
leaking --floor has not risen for a while, or lost half--> plateau --floor rises again--> leaking
leaking, plateau --floor is back where the growth began--> recovered --a day--> normal
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.columns import BLOCKS, FLOOR
from leakwatch.detect.daily import Streak, score_days
from leakwatch.detect.growth import Scores, score_blocks, score_hours
from leakwatch.detect.rate import everything, find_onset, growth_since, recent
from leakwatch.history import History
from leakwatch.model import Fingerprint, Growth, Judgement, Verdict

SUSPECT: Final = 0.5
ACQUIT: Final = 0.3
CONVICT: Final = 1.0
RUNNING: Final = 3  # blocks
QUIET: Final = 36  # blocks without a rise of the floor make a plateau
RISES: Final = 8  # or as long as this many rises would take at the known rate
REMEMBER: Final = 288  # blocks that recovered is told
YOUNG: Final = 0.5  # the most confidence in a lifetime younger than the ring of blocks

NO_GROWTH: Final = Growth(0.0, 0.0, 0.0)
Named = dict[Fingerprint, tuple[float, str]]
"""Fingerprint -> score and window."""

HOURLY: Final = frozenset({"P8", "C8", "P24", "C24"})


@dataclass(slots=True)
class Case:
    """What is known of one series under suspicion. Blocks are numbers, counted from the start of the lifetime."""

    window: str
    verdict: Verdict = Verdict.SUSPECTED
    verdict_block: int = 0
    score: float = 0.0
    best: float = 0.0
    """The highest score so far."""
    running: int = 0
    """Blocks running with a score to convict."""
    onset: float = 0.0
    onset_floor: float = 0.0
    growth: Growth = NO_GROWTH
    rate: float = 0.0
    """Of growth when the floor last rose."""
    peak: float = 0.0
    """The highest floor of a block."""
    peak_block: int = 0


class Detector:
    """Judges one target; keeps a case per suspected series."""

    def __init__(self) -> None:
        self.cases: dict[Fingerprint, Case] = {}
        self._streaks: dict[Fingerprint, Streak] = {}
        self._hourly: Named = {}
        self._hours = 0

    def restart(self) -> None:
        """Begin a new lifetime: what was measured in the old one says nothing about this one."""
        self.cases.clear()
        self._streaks.clear()
        self._hourly.clear()
        self._hours = 0

    def stretch(self, history: History, before: int) -> None:
        """Follow a history whose blocks have grown, from `before` closed ones to fewer."""
        share = history.closed / max(before, 1)
        for case in self.cases.values():
            case.verdict_block = round(case.verdict_block * share)
            case.peak_block = round(case.peak_block * share)
        self._hours = history.hours_closed

    def judge(self, history: History) -> dict[Fingerprint, Judgement]:
        """Return the judgement of each series that is not normal; to be called when a block has closed."""
        if history.hours_closed != self._hours:
            self._hours = history.hours_closed
            self._score_hour(history)
        scores = _higher(self._hourly, _named(history, score_blocks(history)))
        for fingerprint, (score, window) in scores.items():
            if score >= SUSPECT and fingerprint in history.rows:
                self.cases.setdefault(fingerprint, Case(window))
        for fingerprint, case in list(self.cases.items()):
            row = history.rows.get(fingerprint)
            if row is not None:
                _follow(case, history, row, *scores.get(fingerprint, (0.0, "")))
            if row is None or case.verdict is Verdict.NORMAL:
                del self.cases[fingerprint]
        return {key: _judgement(case, history, history.rows[key]) for key, case in self.cases.items()}

    def _score_hour(self, history: History) -> None:
        daily, self._streaks = score_days(history, self._streaks)
        self._hourly = _higher(_named(history, score_hours(history)), _named(history, daily))


def _follow(case: Case, history: History, row: int, score: float, window: str) -> None:
    """Bring one case up to the block that has just closed."""
    case.score = score
    case.best = max(case.best, score)
    case.running = case.running + 1 if score >= CONVICT else 0
    case.window = window or case.window
    hourly = case.window in HOURLY
    if not history.blocks.scrapes.any():
        return  # after a gap of days nothing is left to look at
    if case.verdict is Verdict.SUSPECTED:
        case.onset, case.onset_floor = _onset(history, row)
    case.growth = growth_since(*(everything if hourly else recent)(history, row), case.onset)
    if not history.blocks.scrapes[-1]:
        return  # a gap says nothing about the floor
    floor = float(history.blocks.values[FLOOR, row, -1])
    rose = floor > case.peak
    if rose:
        case.peak, case.peak_block, case.rate = floor, history.closed, case.growth.rate
    verdict = _next(
        case, history, floor, guilty=case.running >= RUNNING or (score >= CONVICT and hourly), rose=rose
    )
    if verdict is not case.verdict:
        case.verdict, case.verdict_block = verdict, history.closed
        if verdict in {Verdict.PLATEAU, Verdict.RECOVERED}:
            case.peak = floor  # to rise again is to rise above this


def _next(case: Case, history: History, floor: float, *, guilty: bool, rose: bool) -> Verdict:
    if case.verdict is Verdict.SUSPECTED:
        if guilty:
            return Verdict.LEAKING
        return Verdict.NORMAL if case.score < ACQUIT else Verdict.SUSPECTED
    return _after_conviction(case, history, floor, again=guilty and rose)


def _after_conviction(case: Case, history: History, floor: float, *, again: bool) -> Verdict:
    if case.verdict is not Verdict.LEAKING and again:
        return Verdict.LEAKING
    if case.verdict is Verdict.RECOVERED:
        return Verdict.NORMAL if history.closed - case.verdict_block >= REMEMBER else Verdict.RECOVERED
    grown = case.peak - case.onset_floor
    if floor <= case.onset_floor + max(0.1 * grown, 1.0):
        return Verdict.RECOVERED
    patience = max(QUIET, RISES / (case.rate * history.block) if case.rate > 0 else 0)
    if floor < case.onset_floor + 0.5 * grown or history.closed - case.peak_block >= patience:
        return Verdict.PLATEAU
    return case.verdict


def _onset(history: History, row: int) -> tuple[float, float]:
    """Return when the growth of a series began, and the usual floor until then."""
    times, levels = everything(history, row)
    onset = find_onset(times, levels)
    floors = everything(history, row, FLOOR)[1]
    return onset, float(np.median(floors[times <= onset]))


def _judgement(case: Case, history: History, row: int) -> Judgement:
    confidence = case.best**2 / (1 + case.best**2)
    if history.closed < BLOCKS:
        confidence = min(confidence, YOUNG)
    return Judgement(
        case.verdict,
        case.score,
        case.window,
        case.growth,
        confidence,
        case.onset,
        goroutines=int(history.last[row]),
    )


def _higher(one: Named, two: Named) -> Named:
    """Return the higher score of each fingerprint, with its window."""
    return one | {key: value for key, value in two.items() if value[0] > one.get(key, (0.0, ""))[0]}


def _named(history: History, scores: Scores) -> Named:
    named = {}
    for row, score, window in zip(scores.rows.tolist(), scores.scores.tolist(), scores.windows, strict=True):
        stack = history.stacks[row]
        if stack is not None:
            named[stack.fingerprint] = (score, window)
    return named
