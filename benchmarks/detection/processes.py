"""Traces of processes with stacks of several kinds, a constant rest, and one budget of full dumps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import kinds
import numpy as np
from alarms import Alarms, detections, false_alarms
from arrivals import stairs
from dumped import INTERVAL, MOST, SOFT, WITHOUT, dumps_per_day
from dumps import Dumps, Waits, collector, wakes
from play import Dumping, Outcome, play
from population import Population, beside
from scenarios import HEALTHY, SERVICE, Length, Traces, seeded
from scene import DAY, HOUR, Scene
from studies import Numbers

SIZES: Final = (100.0, 300.0, 1000.0, 3000.0)
"""Bounds of the goroutines of a process: at most so many are in one group of the table."""
RATE: Final = 60.0
SHARES: Final = (0.0, 0.15)
"""Shares of the healthy stacks with goroutines that wait for ever."""
LEAST: Final = 10.0
"""Goroutines of a process that do not change."""


def mixed(length: Length) -> Numbers:
    """Return by size of the process: false alarms per day, how a leak of 60/h is found, and dumps per day."""
    length = replace(length, interval=INTERVAL)
    groups: dict[str, list[Traces]] = {}
    for number in range(length.traces):
        rng = seeded(length.seed, "processes", number)
        group = number % (len(SIZES) - 1)
        low, high = SIZES[group : group + 2]
        size = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        groups.setdefault(f"{low:g} to {high:g}", []).append(_process(size, rng, length))
    return {name: _played(traces, length, name) for name, traces in groups.items()}


def _process(size: float, rng: np.random.Generator, length: Length) -> Traces:
    """Return the stacks of a process that has about `size` goroutines and starts with the trace; the first leaks.

    Busy stacks have the kinds of a service, in random order, until the next would exceed the size.
    """
    names = [name for name, number in SERVICE.items() for _ in range(round(2 * number)) if name != "const"]
    onset = np.array([rng.uniform(2 * HOUR, DAY)])
    stacks = [kinds.pure(_scene(length, rng), RATE, onset)]
    left = size - LEAST
    for name in rng.permutation(names).tolist():
        stack = HEALTHY[name].make(_scene(length, rng))
        usual = float(stack.counts.mean())
        if usual <= left:
            stacks.append(stack)
            left -= usual
    stacks.append(_rest(_scene(length, rng), round(LEAST + left)))
    return Traces(length.times, length.times, beside(stacks), np.append(onset, np.full(len(stacks) - 1, np.inf)))


def _scene(length: Length, rng: np.random.Generator) -> Scene:
    return Scene(length.times, length.times, 1, rng, rng, int(rng.integers(100)))


def _rest(scene: Scene, number: int) -> Population:
    return stairs(scene, np.full((len(scene.times), 1), number))


def _played(processes: Sequence[Traces], length: Length, name: str) -> Numbers:
    result: Numbers = {"stacks": float(np.mean([len(traces.onset) for traces in processes]))}
    result["goroutines"] = float(np.median([traces.counts.sum(axis=1).mean() for traces in processes]))
    for share in (None, *SHARES):
        outcomes = []
        for number, traces in enumerate(processes):
            dumping = (
                _dumping(traces, share, seeded(length.seed, "dumps", name, number)) if share is not None else None
            )
            outcomes.append(play([traces], dumping=dumping))
        result[WITHOUT if share is None else f"{share:g} never wake up"] = _numbers(outcomes, processes)
    return result


def _dumping(traces: Traces, share: float, rng: np.random.Generator) -> Dumping:
    rows = len(traces.onset)
    waits = Waits((rng.random(rows) < share).astype(np.float64), wakes(rows, rng))
    reasons = rng.choice(SOFT, rows).tolist()
    return Dumping([Dumps(traces, waits, collector(rng), rng)], reasons, MOST)


def _numbers(outcomes: Sequence[Outcome], processes: Sequence[Traces]) -> Numbers:
    stacks: list[Alarms] = [alarms for outcome in outcomes for alarms in outcome.alarms[1:]]
    leaks = [outcome.alarms[0] for outcome in outcomes]
    onsets = np.array([traces.onset[0] for traces in processes])
    span = float(processes[0].times[-1])
    false = false_alarms(stacks, span)
    false["per_day"] = false["incidents"] * DAY / (len(processes) * span)
    return {"false": false, "60/h": detections(leaks, onsets), "dumps": dumps_per_day(outcomes)}
