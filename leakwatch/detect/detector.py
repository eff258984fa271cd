"""The verdict on each series, from its scores. It changes with hysteresis, because alerts wake people.

normal --0.5--> suspected --1.0 in three blocks running, or in one hourly window--> leaking
leaking --the floor has not risen for a while, or lost half--> plateau --the floor rises again--> leaking
leaking, plateau --the floor is back where the growth began--> recovered --a day--> normal

A restart removes the goroutines of a leak, but not its cause. So a leaking series stays leaking until it has had
the time to grow again and has not grown.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeVar

import numpy as np

from leakwatch.detect.columns import BLOCKS, BLOCKS_PER_HOUR, FALLS, FLOOR, SCRAPES_PER_BLOCK, TURNOVER
from leakwatch.detect.correlation import in_step
from leakwatch.detect.growth import Scores
from leakwatch.detect.history import History
from leakwatch.detect.series import Series
from leakwatch.detect.trend import all_points, block_points, find_onset, growth_since
from leakwatch.detect.windows import Window
from leakwatch.model import NO_GROWTH, Fingerprint, Growth, JudgedStack, Judgement, Verdict

SUSPECT: Final = 0.5
CLEAR: Final = 0.3
CONFIRM: Final = 1.0
CONFIRM_BLOCKS: Final = 3  # blocks in a row with a score that confirms
QUIET_BLOCKS: Final = 36  # blocks without a rise of the floor after which a leak is a plateau ...
QUIET_RISES: Final = 8  # ... or the time in which the leak gains these goroutines at its last rate, if longer
RECOVERED_BLOCKS: Final = 288  # blocks for which a series stays recovered
GRACE_BLOCKS: Final = (36, 288)  # bounds of the grace period
GRACE_RISES: Final = 60  # goroutines; the grace period is the time in which the leak gains them at its last rate
MIN_RESUMED_RATE: Final = 0.5  # of the last rate; a leak that grows so fast after a restart has not recovered
TURNOVER_BLOCKS: Final = 6  # blocks from which departures are computed
MAX_YOUNG_CONFIDENCE: Final = 0.5  # in a lifetime shorter than the latest blocks

StackScores = dict[Fingerprint, tuple[float, Window]]
"""Stack -> score and window."""


@dataclass(slots=True, kw_only=True)
class Case:
    """The state of one series with a verdict other than normal.

    Blocks are numbers, counted from the start of the lifetime.
    """

    window: Window | None
    """The window of the latest score; None if there was none, only a proof."""
    verdict: Verdict = Verdict.SUSPECTED
    verdict_block: int = 0
    """Block in which the verdict last changed."""
    score: float = 0.0
    best_score: float = 0.0
    confirming: int = 0
    """Blocks running with a score that confirms."""
    first_onset: float = 0.0
    """When the growth began, in any lifetime."""
    onset: float = 0.0
    """When the growth began in this lifetime."""
    onset_floor: float = 0.0
    growth: Growth = NO_GROWTH
    last_growth: Growth = NO_GROWTH
    """Growth when the floor last rose."""
    restarted: bool = False
    """Whether it leaked in the last lifetime and has not grown again in this one."""
    floor: float = 0.0
    """Floor of the latest block."""
    peak: float = 0.0
    """Highest floor of a block."""
    peak_block: int = 0
    related: frozenset[Fingerprint] = frozenset()
    """Stacks that have ever grown in step with it."""


S = TypeVar("S", bound=Series)
Scorer = Callable[[S], Scores]
IsExplained = Callable[[Fingerprint, Window], bool]
"""Whether the growth of a stack in a window has another explanation than a leak of this target."""


class Detector(Generic[S]):
    """Judges the stacks or sites of one target, or of a service; keeps a case for each that is not normal.

    `score_blocks` is called when a block has closed, `score_hours` when an hour has closed.
    """

    STATE: ClassVar = {"cases": dict[Fingerprint, Case], "_hour_scores": StackScores, "_hours": int}

    def __init__(self, score_blocks: Scorer[S], score_hours: Scorer[S]) -> None:
        self.cases: dict[Fingerprint, Case] = {}
        self._score_blocks = score_blocks
        self._score_hours = score_hours
        self._hour_scores: StackScores = {}
        self._hours = 0
        """Hours that were closed when `_hour_scores` was computed."""

    def restart(self, history: History) -> None:
        """Begin a new lifetime, after `history` has. Leaking cases stay, all others are dropped."""
        self.cases = {key: case for key, case in self.cases.items() if case.verdict is Verdict.LEAKING}
        for key, case in self.cases.items():
            history.past_lifetimes.leaked[history.rows[key]] = True
            case.restarted = True
            case.verdict_block = case.peak_block = case.confirming = 0
            case.peak = case.score = 0.0
            case.growth = NO_GROWTH
        self._hour_scores.clear()
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

        Explained growth does not raise or confirm a suspicion.
        """
        scores = self._scores(series)
        for key, (score, window) in list(scores.items()):
            case = self.cases.get(key)
            if (case is None or case.verdict is Verdict.SUSPECTED) and is_explained(key, window):
                del scores[key]
            elif case is None and score >= SUSPECT:
                self.cases[key] = Case(window=window)
        for key, case in list(self.cases.items()):
            row = series.rows.get(key)
            if row is not None:
                _update(case, series, row, *scores.get(key, (0.0, None)))
            if row is None or case.verdict is Verdict.NORMAL:
                del self.cases[key]

    def _scores(self, series: S) -> StackScores:
        """Return the highest score of each stack in the block windows and the latest hourly ones."""
        hours = series.closed // BLOCKS_PER_HOUR
        if hours != self._hours:
            self._hours = hours
            self._hour_scores = _by_stack(series, self._score_hours(series))
        return _highest(self._hour_scores, _by_stack(series, self._score_blocks(series)))

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
                judgements[key] = JudgedStack(stack, _judgement(case, series, row))
        return judgements


def _update(case: Case, series: Series, row: int, score: float, window: Window | None) -> None:
    """Update one case after a block has closed."""
    case.score = score
    case.best_score = max(case.best_score, score)
    case.confirming = case.confirming + 1 if score >= CONFIRM else 0
    case.window = window or case.window
    hourly = case.window is not None and case.window.hourly
    if not series.blocks.scrapes.any():
        return  # a gap longer than all blocks leaves no data
    if case.verdict is Verdict.SUSPECTED or (case.restarted and score >= SUSPECT):
        case.onset, case.onset_floor = onset_of(series, row)
        if case.verdict is Verdict.SUSPECTED:
            case.first_onset = case.onset
    case.growth = growth_since(*(all_points if hourly else block_points)(series, row), case.onset)
    if not series.blocks.scrapes[-1]:
        return  # a gap has no floor
    floor = case.floor = float(series.blocks.values[FLOOR, row, -1])
    rose = floor > case.peak
    if rose:
        case.peak, case.peak_block = floor, series.closed
        case.last_growth = case.last_growth if case.restarted else case.growth
    confirmed = case.confirming >= CONFIRM_BLOCKS or (score >= CONFIRM and hourly)
    verdict = _next_verdict(case, series, floor, confirmed=confirmed, rose=rose)
    if verdict is not case.verdict:
        case.verdict, case.verdict_block = verdict, series.closed
        if verdict in {Verdict.PLATEAU, Verdict.RECOVERED}:
            case.restarted = False
            case.peak = floor  # the next rise is a rise above this floor


def _next_verdict(case: Case, series: Series, floor: float, *, confirmed: bool, rose: bool) -> Verdict:
    if case.verdict is not Verdict.SUSPECTED:
        return _verdict_of_leak(case, series, floor, again=confirmed and rose)
    if confirmed:
        return Verdict.LEAKING
    return Verdict.NORMAL if case.score < CLEAR else Verdict.SUSPECTED


def _verdict_of_leak(case: Case, series: Series, floor: float, *, again: bool) -> Verdict:
    """Return the next verdict of a case that was leaking; `again`: whether it is confirmed again."""
    if case.restarted:
        case.restarted = not again
        return Verdict.RECOVERED if case.restarted and _is_over(case, series, floor) else Verdict.LEAKING
    if case.verdict is not Verdict.LEAKING and again:
        return Verdict.LEAKING
    if case.verdict is Verdict.RECOVERED or (case.verdict is Verdict.PLATEAU and series.rebased):
        return Verdict.NORMAL if series.closed - case.verdict_block >= RECOVERED_BLOCKS else case.verdict
    gained = case.peak - case.onset_floor
    if floor <= case.onset_floor + max(0.1 * gained, 1.0):
        return Verdict.RECOVERED
    rate = case.last_growth.rate
    quiet = max(QUIET_BLOCKS, QUIET_RISES / (rate * series.block) if rate > 0 else 0)
    if floor < case.onset_floor + 0.5 * gained or series.closed - case.peak_block >= quiet:
        return Verdict.PLATEAU
    return case.verdict


def _is_over(case: Case, series: Series, floor: float) -> bool:
    """Return whether a leak has not grown again since the restart, after its grace period."""
    uptime = series.closed * series.block
    if uptime < grace_period(case.last_growth, series.block):
        return False
    expected = MIN_RESUMED_RATE * case.last_growth.rate * uptime
    return uptime >= GRACE_BLOCKS[1] * series.block or floor - case.onset_floor < expected


def grace_period(last_growth: Growth, block: float) -> float:
    """Return the seconds that a leak stays reported after a restart without growing again."""
    shows = GRACE_RISES / last_growth.rate if last_growth.rate > 0 else 0
    return min(max(GRACE_BLOCKS[0] * block, shows), GRACE_BLOCKS[1] * block)


def onset_of(series: Series, row: int) -> tuple[float, float]:
    """Return when the growth of a series began, and its usual floor until then."""
    times, levels = all_points(series, row)
    onset = find_onset(times, levels)
    floors = all_points(series, row, FLOOR)[1]
    return onset, float(np.median(floors[times <= onset]))


def _judgement(case: Case, series: Series, row: int) -> Judgement:
    confidence = case.best_score**2 / (1 + case.best_score**2)
    if series.closed < BLOCKS:
        confidence = min(confidence, MAX_YOUNG_CONFIDENCE)
    return Judgement(
        verdict=case.verdict,
        score=case.score,
        window=case.window.name if case.window else "proof",
        growth=case.growth,
        confidence=confidence,
        first_seen=case.first_onset,
        since=case.onset,
        goroutines=int(series.last[row]),
        grew=case.last_growth,
        before=math.nan if series.rebased else case.onset_floor,
        gained=case.floor - case.onset_floor,
        left=_departures(case, series, row),
        rose=series.block_start - (series.closed - case.peak_block) * series.block,
        restarted=case.restarted,
        related=case.related,
    )


def _departures(case: Case, series: Series, row: int) -> tuple[float, float] | None:
    """Return the departures per second when the growth began and now, or None with too few blocks."""
    columns, span = series.blocks, series.block
    usable = np.flatnonzero((columns.scrapes >= SCRAPES_PER_BLOCK) & (columns.regular >= SCRAPES_PER_BLOCK - 1))
    if len(usable) < TURNOVER_BLOCKS or not series.interval:
        return None
    departures = columns.values[TURNOVER, row, usable] / series.interval
    if not columns.values[FALLS, row, usable].any():
        departures[:] = 0  # batches of arrivals have a turnover, but no falls
    ends = series.block_start - (len(columns.scrapes) - 1 - usable) * span
    half = TURNOVER_BLOCKS // 2
    before = departures[ends <= case.onset]
    if len(before) < half:
        before = departures[:half]
    return float(np.median(before)), float(np.median(departures[-half:]))


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
