"""The studies with full dumps: each plays its traces and returns its numbers.

Healthy goroutines that wait for ever look like leaked ones, so each study states how the healthy ones wait. It
plays the same traces without dumps too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import Final

import fleets
import numpy as np
from alarms import Alarms, detections, false_alarms
from dumps import SLOW, Collector, Dumps, Waits, collector, wakes
from play import Dumping, Outcome, play
from population import Habit
from scenarios import LEAKS, SERVICE, Length, Traces, make, seeded
from scene import DAY
from studies import Numbers, later_alarms

MOST: Final = 1000
"""Goroutines of a process that is asked for full dumps, as `full_dump_goroutines`."""
TOGETHER: Final = 10
"""Stacks of a kind in one process, of similar size. The limit of goroutines is as many times as high."""
INTERVAL: Final = 60.0
"""Seconds between scrapes, as in `deploys`: these studies play each trace several times."""
RATES: Final = (10.0, 60.0, 1000.0)
SILENT_AMONG_LEAKS: Final = 0.15
"""Share of the rows that leak in which the healthy goroutines wait for ever."""
SOFT: Final = ("chan receive", "select", "IO wait", "sync.Cond.Wait")
"""Wait reasons of healthy goroutines, and of leaks."""
HARD: Final = ("chan send", "sync.Mutex.Lock", "sync.RWMutex.RLock", "chan send")
"""Wait reasons of leaks, and of goroutines in a queue."""
QUEUES: Final = frozenset({"saturated semaphore"})


WITHOUT: Final = "no dumps"


class Wake(Enum):
    """How lasting healthy goroutines wake up."""

    OFTEN = "every 10 s to 20 min"
    SELDOM = "every 10 min to 4 h"
    HALF = "half of each stack never, half every 10 s to 20 min"
    NEVER = "never"


def waits_of(wake: Wake, rows: int, rng: np.random.Generator) -> Waits:
    """Return how the goroutines of each row wait."""
    silent = {Wake.HALF: 0.5, Wake.NEVER: 1.0}.get(wake, 0.0)
    return Waits(np.full(rows, silent), wakes(rows, rng, *(SLOW if wake is Wake.SELDOM else ())))


def waits_among_leaks(rows: int, rng: np.random.Generator) -> Waits:
    """Return how healthy goroutines wait in stacks that leak."""
    return Waits((rng.random(rows) < SILENT_AMONG_LEAKS).astype(np.float64), wakes(rows, rng))


@dataclass(frozen=True, slots=True)
class Setting:
    """How stacks are played: wait reasons, how healthy goroutines wait, and whether garbage is collected."""

    seed: tuple[str | int, ...]
    reasons: Sequence[str] = SOFT
    collects: bool = True

    def outcomes(self, traces: Traces, waits: Waits, rows: int, *, until_found: bool = False) -> list[Outcome]:
        """Play processes of `rows` rows each, of similar size; return their outcomes in the order of `order`."""
        chosen = [order(traces)[first : first + rows] for first in range(0, len(traces.onset), rows)]
        return [
            play(
                [traces.take(numbers)],
                until_found=until_found,
                later=0.0,
                dumping=self._dumping(traces.take(numbers), waits.take(numbers), numbers),
            )
            for numbers in chosen
        ]

    def _dumping(self, traces: Traces, waits: Waits, numbers: Sequence[int]) -> Dumping:
        rng = seeded(*self.seed, *numbers)
        collects = collector(rng) if self.collects else Collector(inf)
        reasons = [self.reasons[number % len(self.reasons)] for number in numbers]
        return Dumping([Dumps(traces, waits, collects, rng)], reasons, MOST * len(numbers))


def order(traces: Traces) -> list[int]:
    """Return the rows by their highest counts."""
    rows: list[int] = np.argsort(traces.counts.max(axis=0), kind="stable").tolist()
    return rows


def has_lasting(traces: Traces) -> bool:
    """Return whether it matters how healthy goroutines wait."""
    return any(part.habit is Habit.LASTING for parts in traces.population.parts for part in parts)


def healthy(name: str, length: Length) -> Numbers:
    """Return the false alarms of one kind by how its goroutines wake up, and the dumps per process and day."""
    length = replace(length, interval=INTERVAL)
    traces = make(name, length)
    span = float(length.times[-1])
    result: Numbers = {
        WITHOUT: false_alarms([alarms for trace in traces for alarms in play([trace]).alarms], span)
    }
    for wake in wakes_of(name, traces[0]):
        outcomes = []
        for part, trace in enumerate(traces):
            waits = waits_of(wake, len(trace.onset), seeded(length.seed, "waits", name, part))
            setting = Setting((length.seed, "dumps", name, part), HARD if name in QUEUES else SOFT)
            outcomes += setting.outcomes(trace, waits, TOGETHER)
        alarms = [each for outcome in outcomes for each in outcome.alarms]
        result[wake.value] = {**false_alarms(alarms, span), "dumps": dumps_per_day(outcomes)}
    return result


def wakes_of(name: str, traces: Traces) -> Sequence[Wake]:
    """Return how the goroutines of a kind may wake up; one way if none of them waits for work."""
    if not has_lasting(traces):
        return (Wake.OFTEN,)
    return tuple(Wake) if name in SERVICE and name != "const" else (Wake.OFTEN, Wake.NEVER)


def leak(name: str, rate: float, length: Length) -> Numbers:
    """Return how a leak is found, by wait reason: these make a difference only in a young process."""
    length = replace(length, interval=INTERVAL)
    traces = make(name, length, rate)
    is_young = LEAKS[name].fresh or LEAKS[name].restarts is not None
    classes = {"soft": SOFT, "hard": HARD} if is_young else {"soft": SOFT}
    outcomes = [play([trace], until_found=True, later=0.0) for trace in traces]
    onsets = np.concatenate([trace.onset for trace in traces])
    without = detections([alarms for outcome in outcomes for alarms in outcome.alarms], onsets)
    return {
        WITHOUT: without,
        **{key: _found(traces, reasons, length, name, int(rate)) for key, reasons in classes.items()},
    }


def without_collections(name: str, rate: float, length: Length) -> Numbers:
    """Return how a leak is found in processes that do not collect garbage, so that dumps have no wait times."""
    length = replace(length, interval=INTERVAL)
    return _found(make(name, length, rate), SOFT, length, name, int(rate), collects=False)


def _found(
    traces: Sequence[Traces],
    reasons: Sequence[str],
    length: Length,
    *seed: str | int,
    collects: bool = True,
) -> Numbers:
    outcomes, onsets = [], []
    for part, trace in enumerate(traces):
        setting = Setting((length.seed, "dumps", *seed, part), reasons, collects)
        waits = waits_among_leaks(len(trace.onset), seeded(length.seed, "waits", *seed, part))
        outcomes += setting.outcomes(trace, waits, 1, until_found=True)
        onsets.append(trace.onset[order(trace)])
    alarms = [each for outcome in outcomes for each in outcome.alarms]
    return {**detections(alarms, np.concatenate(onsets)), "dumps": dumps_per_day(outcomes)}


def dumps_per_day(outcomes: Sequence[Outcome]) -> float:
    """Return the full dumps per process and day."""
    return sum(outcome.dumps for outcome in outcomes) * DAY / sum(outcome.seconds for outcome in outcomes)


def fleet(number: int, length: Length) -> Numbers:
    """Return false alarms and leaks found in services of `number` replicas; the judge dumps a few of them."""
    length = replace(length, interval=INTERVAL)
    result: Numbers = {}
    names = (*fleets.SESSIONS, *fleets.ONE_PER_HOUR)
    for wake in (None, Wake.OFTEN, Wake.NEVER):
        alarms: dict[str, list[Alarms]] = {name: [] for name in names}
        onsets, dumps = [], 0
        for part in range(max(length.traces // 50, 1)):
            traces = fleets.replicas(number, "staggered", length, part, names, keeps_parts=wake is not None)
            outcome = play(traces, dumping=_fleet_dumping(traces, wake, (length.seed, "fleet", part)))
            for i, name in enumerate(names):
                alarms[name] += outcome.alarms[i * fleets.ROWS : (i + 1) * fleets.ROWS]
            onsets.append(traces[0].onset[-fleets.ROWS :])
            dumps += outcome.dumps
        span = float(length.times[-1])
        result[wake.value if wake else WITHOUT] = {
            **{name: false_alarms(alarms[name], span) for name in fleets.SESSIONS},
            **{name: detections(alarms[name], np.concatenate(onsets)) for name in fleets.ONE_PER_HOUR},
            "dumps": dumps * DAY / (len(onsets) * number * span),
        }
    return result


def _fleet_dumping(traces: Sequence[Traces], wake: Wake | None, seed: tuple[str | int, ...]) -> Dumping | None:
    if wake is None:
        return None
    rows = len(traces[0].onset)
    waits = waits_of(wake, rows, seeded(*seed, "waits"))
    rngs = [seeded(*seed, "dumps", number) for number in range(len(traces))]
    dumps = [Dumps(trace, waits, collector(rng), rng) for trace, rng in zip(traces, rngs, strict=True)]
    return Dumping(dumps, [SOFT[row % len(SOFT)] for row in range(rows)], MOST * rows)


def lifetimes(name: str, length: Length) -> Numbers:
    """Return alarms per stack in lifetime 3 and later, as `studies.lifetimes`, by how goroutines wake up."""
    traces = fleets.lifetimes(name, replace(length, interval=INTERVAL))
    result: Numbers = {WITHOUT: later_alarms(name, traces, [play([trace]).alarms for trace in traces])}
    for wake in (Wake.OFTEN, Wake.NEVER):
        outcomes = []
        for part, trace in enumerate(traces):
            waits = waits_of(wake, len(trace.onset), seeded(length.seed, "waits", name, part))
            setting = Setting((length.seed, "lifetimes", name, part))
            outcomes += setting.outcomes(trace, waits, len(trace.onset))
        alarms = [outcome.alarms for outcome in outcomes]
        result[wake.value] = {**later_alarms(name, traces, alarms), "dumps": dumps_per_day(outcomes)}
    return result
