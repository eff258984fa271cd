"""The case of one series with a verdict other than normal, and how its verdict changes with new scores.

The verdict changes with hysteresis, because alerts wake people.

normal --0.5--> suspected --1.0 in three consecutive blocks, in one hourly window, or in one full dump--> leaking
leaking --the floor has not risen for a while, or lost half--> plateau --the floor rises again--> leaking
leaking, plateau --the floor is back where the growth began--> recovered --a day--> normal

A restart removes the goroutines of a leak, but not its cause. So a leaking series stays leaking until it has had
the time to grow again and has not grown.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS, FALLS, FLOOR, TURNOVER, median
from leakwatch.detect.series import Series
from leakwatch.detect.trend import Points, all_points, block_points, find_onset, growth_since
from leakwatch.detect.windows import STUCK_WINDOW, Window
from leakwatch.model import NO_GROWTH, Fingerprint, Growth, Judgement, Verdict

SUSPECT: Final = 0.5
CLEAR: Final = 0.3
CONFIRM: Final = 1.0
CONFIRM_BLOCKS: Final = 3  # consecutive blocks with a score that confirms
QUIET_BLOCKS: Final = 36  # blocks without a rise of the floor after which a leak is a plateau ...
QUIET_RISES: Final = 8  # ... or the time in which the leak gains these goroutines at its last rate, if longer
RECOVERED_BLOCKS: Final = 288  # blocks for which a series stays recovered
GRACE_BLOCKS: Final = (36, 288)  # bounds of the grace period
GRACE_RISES: Final = 60  # goroutines; the grace period is the time in which the leak gains them at its last rate
MIN_RESUMED_RATE: Final = 0.5  # of the last rate; a leak that grows so fast after a restart has not recovered
FRESH: Final = 1200.0  # seconds; a dump that is older was not requested because of the suspicion
TURNOVER_BLOCKS: Final = 6  # blocks from which departures are computed
MAX_YOUNG_CONFIDENCE: Final = 0.5  # in a lifetime shorter than the blocks of a history (2 h)


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
    """Consecutive blocks with a score that confirms."""
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
    of_stuck: bool = False
    """Whether floor, peak, onset and growth are those of stuck goroutines, which full dumps have confirmed."""


def update(case: Case, series: Series, row: int, score: float, window: Window | None) -> None:
    """Update a case after a block has closed, or after a full dump; `window`: None without a score."""
    case.score = score
    case.best_score = max(case.best_score, score)
    case.confirming = case.confirming + 1 if score >= CONFIRM else 0
    case.window = window or case.window
    _choose_levels(case, series, score)
    if not case.of_stuck and not series.blocks.scrapes.any():
        return  # a gap longer than all blocks leaves no data
    if case.verdict is Verdict.SUSPECTED or (case.restarted and score >= SUSPECT):
        _set_onset(case, series, row)
    case.growth = growth_since(*_points(case, series, row), case.onset)
    floor = _floor(case, series, row)
    if floor is None:
        return
    case.floor = floor
    rose = floor > case.peak
    if rose:
        case.peak, case.peak_block = floor, series.closed
        case.last_growth = case.last_growth if case.restarted else case.growth
    verdict = _next_verdict(case, series, floor, confirmed=_is_confirmed(case, series), rose=rose)
    if verdict is not case.verdict:
        case.verdict, case.verdict_block = verdict, series.closed
        if verdict in {Verdict.PLATEAU, Verdict.RECOVERED}:
            case.restarted = False
            case.peak = floor  # the next rise is a rise above this floor


def _choose_levels(case: Case, series: Series, score: float) -> None:
    """Choose between the levels of stuck goroutines and of counts; after a change, the growth is measured again.

    A leak in a stack that swings with load falls with it, but its stuck goroutines do not.
    """
    was_stuck = case.of_stuck
    if case.of_stuck:
        case.of_stuck = series.dumps is not None and not series.dumps.is_stale(series.block_start)
    elif series.dumps is not None and case.window == STUCK_WINDOW and score >= CONFIRM:
        if case.verdict is Verdict.LEAKING and not case.restarted:
            return
        case.of_stuck = True
        case.verdict = Verdict.LEAKING if case.restarted else Verdict.SUSPECTED
    if case.of_stuck is not was_stuck:
        case.peak = 0.0


def _set_onset(case: Case, series: Series, row: int) -> None:
    if case.of_stuck:
        times, levels = _points(case, series, row)
        case.onset, case.onset_floor = knee(times, levels, levels)
    else:
        case.onset, case.onset_floor = onset_of(series, row)
    if case.verdict is Verdict.SUSPECTED:
        case.first_onset = case.onset


def _points(case: Case, series: Series, row: int) -> tuple[Points, Points]:
    """Return the times and levels from which the rate follows."""
    stack = series.stacks[row]
    if case.of_stuck and series.dumps is not None and stack is not None:
        return series.dumps.arrivals(stack.fingerprint, series.block)
    hourly = case.window is not None and case.window.hourly
    return (all_points if hourly else block_points)(series, row)


def _floor(case: Case, series: Series, row: int) -> float | None:
    """Return the floor of the latest block, or the stuck goroutines in the latest dump; None after a gap."""
    stack = series.stacks[row]
    floor = float(series.blocks.values[FLOOR, row, -1]) if series.blocks.scrapes[-1] else None
    if case.of_stuck and series.dumps is not None and stack is not None:
        stuck = float(len(series.dumps.waits.get(stack.fingerprint, ())))
        return stuck if floor is None else min(stuck, floor)  # they may have ended since the dump
    return floor


def _is_confirmed(case: Case, series: Series) -> bool:
    """Return whether the scores confirm a leak.

    If the first score is that of an hourly window and the dump is old, wait for a dump: the goroutines may be
    alive.
    """
    if case.score < CONFIRM or case.window is None:
        return False
    if case.window == STUCK_WINDOW or case.confirming >= CONFIRM_BLOCKS:
        return True
    dumps = series.dumps
    awaits_dump = dumps is not None and dumps.time is not None and series.block_start - dumps.time > FRESH
    return case.window.hourly and not (awaits_dump and case.confirming == 1)


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
    return knee(*all_points(series, row), all_points(series, row, FLOOR)[1])


def knee(times: Points, levels: Points, floors: Points) -> tuple[float, float]:
    """Return when growth began, and the median floor until then."""
    onset = find_onset(times, levels)
    return onset, float(np.median(floors[times <= onset]))


def judgement(case: Case, series: Series, row: int) -> Judgement:
    """Return the judgement of a case."""
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
        stuck=int(case.floor) if case.of_stuck else None,
        restarted=case.restarted,
        related=case.related,
    )


def _departures(case: Case, series: Series, row: int) -> tuple[float, float] | None:
    """Return the departures per second when the growth began and now, or None with too few blocks."""
    columns, span = series.blocks, series.block
    usable = np.flatnonzero(columns.has_turnover)
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
    return float(median(before)), float(median(departures[-half:]))
