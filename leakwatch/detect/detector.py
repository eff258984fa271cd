"""The verdict on each series of one target, from its scores; with hysteresis, because people are woken by it.

normal --0.5--> suspected --1.0, three blocks running or one hourly window--> leaking
leaking --floor has not risen for a while, or lost half--> plateau --floor rises again--> leaking
leaking, plateau --floor is back where the growth began--> recovered --a day--> normal

A restart takes the goroutines of a leak away, not its cause: what was leaking stays so, until it had the time to
grow again and did not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np

from leakwatch.detect.columns import BLOCKS, FALLS, FLOOR, SCRAPES_PER_BLOCK, TURNOVER
from leakwatch.detect.correlation import in_step
from leakwatch.detect.daily import Daily
from leakwatch.detect.growth import Scores
from leakwatch.detect.series import Series
from leakwatch.detect.trend import everything, find_onset, growth_since, recent
from leakwatch.model import NO_GROWTH, Fingerprint, Growth, JudgedStack, Judgement, Verdict

SUSPECT: Final = 0.5
ACQUIT: Final = 0.3
CONVICT: Final = 1.0
RUNNING: Final = 3  # blocks
QUIET: Final = 36  # blocks without a rise of the floor make a plateau
RISES: Final = 8  # or as long as this many rises would take at the known rate
REMEMBER: Final = 288  # blocks that recovered is told
WATCHED: Final = (36, 288)  # blocks after a restart, at least and at most, that a leak is given to show itself
GOES_ON: Final = 0.5  # of the known rate, since a restart: not seen to leak yet, but it has not recovered
SHOWS: Final = 60  # or as long as this many rises would take at the known rate
MEANINGFUL: Final = 6  # blocks that tell how many leave
YOUNG: Final = 0.5  # the most confidence in a lifetime younger than the ring of blocks

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
    began: float = 0.0
    """When the growth was first seen to begin, in whichever lifetime."""
    onset: float = 0.0
    """When it began in this lifetime."""
    onset_floor: float = 0.0
    growth: Growth = NO_GROWTH
    grew: Growth = NO_GROWTH
    """Growth when the floor last rose."""
    restarted: bool = False
    """It leaked in the lifetime before and has not shown itself in this one."""
    floor: float = 0.0
    """Of the latest block."""
    peak: float = 0.0
    """The highest floor of a block."""
    peak_block: int = 0
    related: frozenset[Fingerprint] = frozenset()
    """Those that have grown in step with it; once is for ever."""


S = TypeVar("S", bound=Series)
Score = Callable[[S], Scores]
Excused = Callable[[Fingerprint, str], bool]
"""Stack and window."""


class Detector(Generic[S]):
    """Judges the series of one target, of its sites or of a service; keeps a case per suspected one.

    `score_blocks` is asked when a block has closed, `score_hours` when an hour has, and so is `daily` if there is
    one.
    """

    def __init__(self, score_blocks: Score[S], score_hours: Score[S], daily: Daily | None = None) -> None:
        self.cases: dict[Fingerprint, Case] = {}
        self._score_blocks = score_blocks
        self._score_hours = score_hours
        self._daily = daily
        self._hourly: Named = {}
        self._hours = 0

    def restart(self, series: S) -> None:
        """Begin a new lifetime, after `series` has: what leaked in the old one is watched, the rest forgotten."""
        self.cases = {key: case for key, case in self.cases.items() if case.verdict is Verdict.LEAKING}
        for key, case in self.cases.items():
            series.past.leaked[series.rows[key]] = True
            case.restarted = True
            case.verdict_block = case.peak_block = case.running = 0
            case.peak = case.score = 0.0
            case.growth = NO_GROWTH
        if self._daily:
            self._daily.forget()
        self._hourly.clear()
        self._hours = 0

    def take_over(self, other: "Detector[S]", series: S) -> None:
        """Go on with the cases of `other`, whose series has ended, as far as `series` has their stacks."""
        for key, case in other.cases.items():
            if key in series.rows:
                self.cases.setdefault(key, case)

    def stretch(self, series: S, before: int) -> None:
        """Follow a history whose blocks have grown, from `before` closed ones to fewer."""
        share = series.closed / max(before, 1)
        for case in self.cases.values():
            case.verdict_block = round(case.verdict_block * share)
            case.peak_block = round(case.peak_block * share)
        self._hours = series.hours_closed

    def judge(self, series: S, is_explained: Excused = lambda *_: False) -> None:
        """Bring all cases up to the block that has just closed.

        `excused`: asked whether there is a better explanation for a row that a window would accuse.
        """
        if series.hours_closed != self._hours:
            self._hours = series.hours_closed
            self._hourly = _named(series, self._score_hours(series))
            if self._daily:
                self._hourly = _higher(self._hourly, _named(series, self._daily.score(series)))
        scores = _higher(self._hourly, _named(series, self._score_blocks(series)))
        for fingerprint, (score, window) in list(scores.items()):
            case = self.cases.get(fingerprint)
            if (case is None or case.verdict is Verdict.SUSPECTED) and is_explained(fingerprint, window):
                del scores[fingerprint]
            elif case is None and score >= SUSPECT and fingerprint in series.rows:
                self.cases[fingerprint] = Case(window)
        for fingerprint, case in list(self.cases.items()):
            row = series.rows.get(fingerprint)
            if row is not None:
                _follow(case, series, row, *scores.get(fingerprint, (0.0, "")))
            if row is None or case.verdict is Verdict.NORMAL:
                del self.cases[fingerprint]

    def judgements(self, series: S) -> dict[Fingerprint, JudgedStack]:
        """Return what is thought of each series that is not normal."""
        growing = {key: case.onset for key, case in self.cases.items() if case.verdict >= Verdict.SUSPECTED}
        related = in_step(series, growing) if len(growing) > 1 else {}
        found = {}
        for key, case in self.cases.items():
            row = series.rows[key]
            stack = series.stacks[row]
            if stack is not None:
                case.related = related.get(key, frozenset()) | (case.related & self.cases.keys())
                found[key] = JudgedStack(stack, _judgement(case, series, row))
        return found


def _follow(case: Case, series: Series, row: int, score: float, window: str) -> None:
    """Bring one case up to the block that has just closed."""
    case.score = score
    case.best = max(case.best, score)
    case.running = case.running + 1 if score >= CONVICT else 0
    case.window = window or case.window
    hourly = case.window in HOURLY
    if not series.blocks.scrapes.any():
        return  # after a gap of days nothing is left to look at
    if case.verdict is Verdict.SUSPECTED or (case.restarted and score >= SUSPECT):
        case.onset, case.onset_floor = onset(series, row)
        if case.verdict is Verdict.SUSPECTED:
            case.began = case.onset
    case.growth = growth_since(*(everything if hourly else recent)(series, row), case.onset)
    if not series.blocks.scrapes[-1]:
        return  # a gap says nothing about the floor
    floor = case.floor = float(series.blocks.values[FLOOR, row, -1])
    rose = floor > case.peak
    if rose:
        case.peak, case.peak_block = floor, series.closed
        case.grew = case.grew if case.restarted else case.growth
    verdict = _next(
        case, series, floor, is_leaking=case.running >= RUNNING or (score >= CONVICT and hourly), rose=rose
    )
    if verdict is not case.verdict:
        case.verdict, case.verdict_block = verdict, series.closed
        if verdict in {Verdict.PLATEAU, Verdict.RECOVERED}:
            case.restarted = False
            case.peak = floor  # to rise again is to rise above this


def _next(case: Case, series: Series, floor: float, *, is_leaking: bool, rose: bool) -> Verdict:
    if case.verdict is Verdict.SUSPECTED:
        if is_leaking:
            return Verdict.LEAKING
        return Verdict.NORMAL if case.score < ACQUIT else Verdict.SUSPECTED
    return _after_conviction(case, series, floor, again=is_leaking and rose)


def _after_conviction(case: Case, series: Series, floor: float, *, again: bool) -> Verdict:
    if case.restarted:
        case.restarted = not again
        uptime = series.closed * series.block
        given_up = case.restarted and uptime >= patience(case.grew, series.block)
        expected = GOES_ON * case.grew.rate * uptime
        grows = uptime < WATCHED[1] * series.block and floor - case.onset_floor >= expected
        return Verdict.RECOVERED if given_up and not grows else Verdict.LEAKING
    if case.verdict is not Verdict.LEAKING and again:
        return Verdict.LEAKING
    if case.verdict is Verdict.RECOVERED or (case.verdict is Verdict.PLATEAU and series.rebased):
        return Verdict.NORMAL if series.closed - case.verdict_block >= REMEMBER else case.verdict
    grown = case.peak - case.onset_floor
    if floor <= case.onset_floor + max(0.1 * grown, 1.0):
        return Verdict.RECOVERED
    quiet = max(QUIET, RISES / (case.grew.rate * series.block) if case.grew.rate > 0 else 0)
    if floor < case.onset_floor + 0.5 * grown or series.closed - case.peak_block >= quiet:
        return Verdict.PLATEAU
    return case.verdict


def patience(grew: Growth, block: float) -> float:
    """Return the seconds that a leak which `grew` like that is given to show itself in another process."""
    shows = SHOWS / grew.rate if grew.rate > 0 else 0
    return min(max(WATCHED[0] * block, shows), WATCHED[1] * block)


def onset(series: Series, row: int) -> tuple[float, float]:
    """Return when the growth of a series began, and the usual floor until then."""
    times, levels = everything(series, row)
    began = find_onset(times, levels)
    floors = everything(series, row, FLOOR)[1]
    return began, float(np.median(floors[times <= began]))


def _judgement(case: Case, series: Series, row: int) -> Judgement:
    confidence = case.best**2 / (1 + case.best**2)
    if series.closed < BLOCKS:
        confidence = min(confidence, YOUNG)
    return Judgement(
        case.verdict,
        case.score,
        case.window,
        case.growth,
        confidence,
        case.began,
        case.onset,
        goroutines=int(series.last[row]),
        grew=case.grew,
        before=math.nan if series.rebased else case.onset_floor,
        gained=case.floor - case.onset_floor,
        left=_departures(case, series, row),
        rose=series.block_start - (series.closed - case.peak_block) * series.block,
        restarted=case.restarted,
        related=case.related,
    )


def _departures(case: Case, series: Series, row: int) -> tuple[float, float] | None:
    """Return how many goroutines left per second when the growth began and how many leave now."""
    columns, span = series.blocks, series.block
    usable = np.flatnonzero((columns.scrapes >= SCRAPES_PER_BLOCK) & (columns.regular >= SCRAPES_PER_BLOCK - 1))
    if len(usable) < MEANINGFUL or not series.interval:
        return None
    left = columns.values[TURNOVER, row, usable] / series.interval
    if not columns.values[FALLS, row, usable].any():
        left[:] = 0  # goroutines that come in batches vary as if others left
    ends = series.block_start - (len(columns.scrapes) - 1 - usable) * span
    before = left[ends <= case.onset] if (ends <= case.onset).sum() >= MEANINGFUL // 2 else left[: MEANINGFUL // 2]
    return float(np.median(before)), float(np.median(left[-MEANINGFUL // 2 :]))


def _higher(one: Named, two: Named) -> Named:
    """Return the higher score of each fingerprint, with its window."""
    return one | {key: value for key, value in two.items() if value[0] > one.get(key, (0.0, ""))[0]}


def _named(series: Series, scores: Scores) -> Named:
    named = {}
    for row, score, window in zip(scores.rows.tolist(), scores.scores.tolist(), scores.windows, strict=True):
        stack = series.stacks[row]
        if stack is not None:
            named[stack.fingerprint] = (score, window)
    return named
