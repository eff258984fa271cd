"""Scores of the growth of stuck goroutines: the window W, which needs full dumps.

Counts alone do not distinguish a leak from a pool that fills, and do not find it in a stack that swings with load.
Stuck goroutines do: those that were added within a span T, have not moved on since, and of which none was lost
between two dumps. With a the age from which a goroutine is stuck (5 or 10 minutes) and K the number of stuck
goroutines,

    G     = those that have waited between a and a + T
    older = those of G that have waited for a + T/2 or longer
    score = G / max(x(T), 1.5 known loss), the highest of all T

if at most 5 % of G were lost, G came in a straight line (older is a quarter to three quarters) and at several
times, and either the count of the stack did not fall meanwhile, or K rose. A score of 1 confirms a leak at once.

Goroutines that never wake up may be healthy: workers that nothing has needed yet. So a young process needs more
growth in each span. In the first 16 hours, only the wait reasons HARD_WAITS count, and growth must not slow down.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.alive import uptime
from leakwatch.detect.columns import BLOCKS, BLOCKS_PER_HOUR, FALLS, HOURS, MEAN, Floats
from leakwatch.detect.dump_history import AGES, BRIEFLY, LONG
from leakwatch.detect.growth import MIN_SCORE, Scores
from leakwatch.detect.history import History
from leakwatch.detect.series import Series
from leakwatch.detect.windows import STUCK_WINDOW
from leakwatch.model import Fingerprint, Stack

HARD_WAITS: Final = frozenset(
    {
        "chan send",
        "sync.Mutex.Lock",
        "sync.RWMutex.Lock",
        "sync.RWMutex.RLock",
        "chan send (nil chan)",
        "chan receive (nil chan)",
        "select (no cases)",
    }
)
"""Wait reasons in which healthy goroutines do not stay for minutes, except in a queue, which moves."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time T in which goroutines were added, in minutes; `min_growth`: the number of them that scores 1."""

    minutes: float
    min_growth: float

    @property
    def age(self) -> int:
        """BRIEFLY or LONG: the age from which goroutines are stuck."""
        return BRIEFLY if self.minutes <= LONGEST_BRIEF else LONG


IsPlausible = Callable[[int, int, float], bool]
NO_SCORE: Final = (0.0, 0, 0.0)
LONGEST_BRIEF: Final = 40.0  # minutes
SPANS: Final = tuple(
    Span(minutes, growth)
    for minutes, growth in ((10, 120), (20, 60), (40, 30), (80, 20), (160, 15), (320, 12), (640, 10))
)
YOUNG: Final = ((1.0, 6.0), (16.0, 1.2))
"""Pairs of an uptime in hours and a factor of the minimum growth until then.

With 2.2 until 4 h and 1.5 until 16 h, which the other windows need, 60 leaked goroutines an hour in a handler were
leaking after 70 minutes. Fresh pools, queues and bursts that wait in HARD_WAITS had the same false alarms.
"""
MAX_LOST: Final = 0.05  # of the growth, and half a goroutine
LIKELY: Final = 0.8  # of the minimum growth; a stack with a count that grew by this may have a leak
MIN_HALF: Final = 0.25  # of the growth in each half of the span
MIN_TIMES: Final = 6  # different minutes in which goroutines were added
MIN_RISE: Final = 0.6  # of the growth, in the number of stuck goroutines between two dumps
MAX_FALLS: Final = 0.05  # of the growth, in the count of the stack
MAX_SLOWDOWN: Final = 1.5  # standard errors


NO_SCORES: Final = Scores(np.zeros(0, np.intp), np.zeros(0, np.float32), ())


def score_stuck(history: History) -> Scores:
    """Return the scores of all rows in the window W, after a full dump was recorded."""
    return scores_of(history, [history], lambda *_: True)


def scores_of(series: Series, members: Sequence[History], is_plausible: IsPlausible) -> Scores:
    """Return the scores of the rows of `series` in the window W.

    `members`: the histories of processes with full dumps. Of several, two must have stuck goroutines of the stack.
    `is_plausible`: whether a leak explains such growth of a row within a span in seconds.
    """
    rows, scores = [], []
    for fingerprint in {key for each in members for key in each.dumps.waits}:
        row = series.rows.get(fingerprint)
        stack = None if row is None else series.stacks[row]
        inside = [each for each in members if fingerprint in each.dumps.waits]
        is_living = any(fingerprint in each.dumps.living for each in inside)
        if row is None or stack is None or is_living or len(inside) < min(len(members), 2):
            continue
        factor = young_factor(min(inside, key=uptime), stack)
        best = max((_score(inside, stack, span, factor) for span in SPANS if factor), default=NO_SCORE)
        score, growth, minutes = best
        if score >= MIN_SCORE and is_plausible(row, growth, 60 * minutes):
            rows.append(row)
            scores.append(score)
    return Scores(np.array(rows, np.intp), np.array(scores, np.float32), (STUCK_WINDOW,) * len(rows))


def grown_within(history: History, known: Collection[Fingerprint]) -> float:
    """Return the shortest span, in seconds, in which a stack grew by so much that a dump may confirm a leak.

    Return infinity if there is none. `known`: stacks that leak already.
    """
    hours = uptime(history) / 3600
    factor = next((factor for until, factor in YOUNG if hours < until), 1.0)
    now = history.blocks.values[MEAN, :, -1]
    if not len(now) or not history.blocks.scrapes[-1]:
        return np.inf
    unknown = np.ones(len(now), bool)
    unknown[[history.rows[key] for key in known]] = False
    for span in SPANS:
        before = _level_before(history, int(60 * (span.minutes + AGES[span.age]) / history.block))
        if before is not None and ((now - before) * unknown).max() >= LIKELY * factor * span.min_growth:
            return 60 * span.minutes
    return np.inf


def _level_before(history: History, blocks: int) -> Floats | None:
    """Return the counts some blocks ago, or in the first block of a younger history; None if unknown."""
    blocks = min(blocks, history.closed - 1)
    if blocks < BLOCKS:
        columns, place = history.blocks, BLOCKS - 1 - blocks
    else:
        columns, place = history.hours, HOURS - 1 - blocks // BLOCKS_PER_HOUR
    if place < 0 or not columns.has_level[place]:
        return None
    level: Floats = columns.values[MEAN, :, place]
    return level


def young_factor(history: History, stack: Stack) -> float:
    """Return the factor of the minimum growth at this uptime; 0 if growth does not count yet."""
    hours = uptime(history) / 3600
    if stack.wait not in HARD_WAITS and hours < YOUNG[-1][0]:
        return 0.0
    return next((factor for until, factor in YOUNG if hours < until), 1.0)


def _score(members: Sequence[History], stack: Stack, span: Span, factor: float) -> tuple[float, int, float]:
    """Return the score of a stack in one span, the growth, and the span in minutes."""
    age = AGES[span.age]
    minutes = np.concatenate([[*each.dumps.waits[stack.fingerprint].values()] for each in members])
    came = minutes[(minutes >= age) & (minutes < age + span.minutes)]
    growth = len(came)
    known_loss = sum(each.dumps.known_loss.get(stack.fingerprint, 0.0) for each in members)
    min_growth = max(factor * span.min_growth, 1.5 * known_loss)
    if growth < MIN_SCORE * min_growth or len(np.unique(came)) < MIN_TIMES:
        return NO_SCORE
    older = int((came >= age + span.minutes / 2).sum())
    is_straight = MIN_HALF * growth <= older <= (1 - MIN_HALF) * growth
    is_young = min(map(uptime, members)) < 3600 * YOUNG[-1][0]
    slows_down = is_young and (2 * older - growth) / growth**0.5 > MAX_SLOWDOWN
    if not is_straight or slows_down or not _stays(members, stack.fingerprint, span, growth):
        return NO_SCORE
    return growth / min_growth, growth, span.minutes


def _stays(members: Sequence[History], key: Fingerprint, span: Span, growth: int) -> bool:
    """Return whether the goroutines of a span stay by the dumps, and more are stuck or the count does not fall."""
    lost, rise, expected = 0, 0, 0.0
    for dumps in (each.dumps for each in members):
        last = dumps.records[-1]
        inside = dumps.since(last.time - 60 * (1.2 * span.minutes + AGES[span.age]))
        between = (last.time - inside[0].time) / 60
        if between < max(span.minutes / 3, 5.0):
            return False
        lost += sum(record.stacks[key].lost[span.age] for record in inside if key in record.stacks)
        rise += dumps.stuck(key, last)[span.age] - dumps.stuck(key, inside[0])[span.age]
        expected += MIN_RISE * growth / len(members) * between / span.minutes
    if lost > MAX_LOST * growth + 0.5:
        return False
    return rise >= expected or sum(_falls(each, each.rows[key], span) for each in members) <= MAX_FALLS * growth


def _falls(history: History, row: int, span: Span) -> float:
    """Return by how much the count of a stack fell within a span, infinity if that is not known."""
    blocks = int(np.ceil(60 * span.minutes / history.block))
    if blocks <= BLOCKS:
        return float(history.blocks.values[FALLS, row, BLOCKS - blocks :].sum())
    hours = int(np.ceil(blocks / BLOCKS_PER_HOUR))
    return float(history.hours.values[FALLS, row, HOURS - hours :].sum()) if hours <= HOURS else np.inf
