"""Missed scrapes, jitter and restarts of leakwatch change no verdict, and delay it at most by their duration."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.plain import restarted
from tests.support.simulated import HOUR, START, samples

BLOCK: Final = 300.0
INTERVALS: Final = {5: 60.0, 20: 15.0}
"""Scrapes per block -> seconds between two scrapes."""

Times = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A leak of `rate` goroutines per hour from `onset` on, in a stack in which `busy` others come and go.

    `swing`: how much the busy goroutines swing over the day. Beside it are two healthy stacks: 50 goroutines that
    come and go, and a load that doubles during the scenario.
    """

    window: str
    rate: float
    hours: float
    onset: float = 0.0
    busy: float = 0.0
    swing: float = 0.0
    replicas: int = 1

    def counts(self, times: Times, seed: int) -> dict[str, Counts]:
        """Return the counts of each stack at `times`, in seconds since the start."""
        random = np.random.default_rng(seed)
        leaked = np.floor(np.maximum(times / HOUR - self.onset, 0) * self.rate + random.random())
        load = self.busy * (1 + self.swing * np.sin(2 * np.pi * times / (24 * HOUR)))
        return {
            "leak": (leaked + random.poisson(load)).astype(np.int64),
            "busy": random.poisson(50, len(times)),
            "load": random.poisson(40 * (1 + times / (self.hours * HOUR))),
        }


SCENARIOS: Final = [
    Scenario(window="P0", rate=1200, hours=6, onset=3),
    Scenario(window="P2", rate=60, hours=8, onset=3),
    Scenario(window="C2", rate=300, hours=7, onset=3, busy=30),
    Scenario(window="P8", rate=12, hours=16),
    Scenario(window="C8", rate=30, hours=13, busy=30),
    Scenario(window="P24", rate=1.2, hours=32),
    Scenario(window="C24", rate=16, hours=42, onset=6, busy=100, swing=0.5),
    Scenario(window="P2", rate=20, hours=10, onset=3, replicas=4),
]
SHORT: Final = 8.0  # hours; longer scenarios are played with few scrapes only, since each is played seven times
CASES: Final = [
    (scenario, scrapes)
    for scenario in SCENARIOS
    for scrapes in INTERVALS
    if scenario.hours <= SHORT or scrapes == 5
]
BUSY: Final = [scenario for scenario in SCENARIOS if scenario.window in {"C2", "C8"}]


def name_of(value: object) -> str:
    """Return the name of a parameter of a test."""
    if not isinstance(value, Scenario):
        return str(value)
    return value.window if value.replicas == 1 else f"{value.replicas} replicas"


@dataclass(frozen=True)
class Outcome:
    """When the leak was found, in seconds, by which window, and which other stacks were called leaking."""

    found: float
    window: str
    others: frozenset[str]


class Recording:
    """The profiles of all replicas of a scenario, a few scrapes per block."""

    def __init__(self, scenario: Scenario, scrapes: int, seed: int = 0, jitter: float = 0.0) -> None:
        interval, random = INTERVALS[scrapes], np.random.default_rng(seed)
        times = np.arange(0, scenario.hours * HOUR, interval)
        self.times = times + interval * jitter * random.uniform(0, 1, len(times))
        self.scenario = scenario
        self._counts = [scenario.counts(self.times, 100 * seed + i) for i in range(scenario.replicas)]

    def observed(self, missing: Collection[int] = (), restart: int = -1) -> Outcome:
        """Observe all scrapes but the `missing` ones until the leak is found.

        leakwatch restarts before scrape number `restart`.
        """
        pipeline = Pipeline(DetectionSettings(block=BLOCK))
        targets = [Target("shop", f"10.0.0.{i}:6060") for i in range(self.scenario.replicas)]
        others = set[str]()
        for i, time in enumerate(self.times.tolist()):
            if i in missing:
                continue
            if i == restart:
                pipeline = restarted(pipeline)
            for target, counts in zip(targets, self._counts, strict=True):
                now = {name: int(values[i]) for name, values in counts.items()}
                state = pipeline.add_target(target)
                for event in pipeline.observe(state, START + time, sum(now.values()), samples(now)):
                    if event.leak.verdict is not Verdict.LEAKING:
                        continue
                    stack = event.leak.stack
                    if stack.blamed.function != "main.leak":
                        others.add(stack.blamed.function)
                    else:
                        return Outcome(time, _window(pipeline, stack.fingerprint), frozenset(others))
        return Outcome(np.inf, "", frozenset(others))


def _window(pipeline: Pipeline, fingerprint: Fingerprint) -> str:
    """Return the window that found a leak."""
    service = pipeline.services["shop"]
    all_judged = [service.judged, *(state.judgements for state in service.targets.values())]
    return next(judged[fingerprint].judgement.window for judged in all_judged if fingerprint in judged)


def mutations(scrapes: int, end: int) -> dict[str, set[int]]:
    """Return which scrapes before number `end` are missing, by name."""
    random, hour = np.random.default_rng(scrapes), 12 * scrapes
    singles = {f"number {i}": {i} for i in np.linspace(1, end - 1, 2).astype(int).tolist()}
    random_ones = {
        f"5 %, seed {seed}": set(np.flatnonzero(np.random.default_rng(seed).random(end) < 0.05).tolist())
        for seed in range(2)
    }
    hourly = {"one per hour": set(range(int(random.integers(hour)), end, hour))}
    first, width = int(random.integers(1, end - 2 * scrapes)), 7 * scrapes // 5
    return {**singles, **random_ones, **hourly, "seven minutes": set(range(first, first + width))}


@pytest.mark.parametrize(("scenario", "scrapes"), CASES, ids=name_of)
def test_missed_scrapes(scenario: Scenario, scrapes: int) -> None:
    """Missed scrapes change no verdict, and delay it by at most a block."""
    recording = Recording(scenario, scrapes, seed=0 if scenario.window == "C8" else 1)
    usual = recording.observed()
    assert (usual.window, usual.others) == (scenario.window, frozenset())
    for name, missing in mutations(scrapes, int(usual.found / INTERVALS[scrapes])).items():
        outcome = recording.observed(missing)
        assert (outcome.found <= usual.found + BLOCK, outcome.others) == (True, frozenset()), name


@pytest.mark.parametrize("scenario", BUSY, ids=name_of)
def test_a_restart_of_leakwatch(scenario: Scenario) -> None:
    """A restart of leakwatch that takes two minutes does not delay a verdict by more."""
    recording = Recording(scenario, 5, seed=1)
    usual = recording.observed()
    for restart in np.linspace(10, usual.found / INTERVALS[5] - 1, 2).astype(int).tolist():
        outcome = recording.observed({restart - 2, restart - 1}, restart)
        assert (outcome.found <= usual.found + 120, outcome.others) == (True, frozenset()), restart


@pytest.mark.parametrize("scenario", BUSY, ids=name_of)
def test_jitter(scenario: Scenario) -> None:
    """Blocks of four and six scrapes in turn delay no verdict."""
    usual, jittered = Recording(scenario, 5, seed=1), Recording(scenario, 5, seed=1, jitter=0.9)
    blocks = np.bincount(((jittered.times - jittered.times[0]) // BLOCK).astype(int))
    assert {4, 5, 6} <= set(blocks.tolist())
    assert jittered.observed().found <= usual.observed().found + BLOCK
