"""Restarts, and pods that are added and removed, while the leak stays; in virtual time."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process, Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.simulated import HOUR, INTERVAL, START, TARGET, samples, stack

DEPLOY = 8.0  # hours after which the first pod is replaced


def pod(number: int) -> Target:
    """Return the pod of a deploy."""
    return Target("shop", f"shop-7d9f-{number}", {"pod": f"shop-7d9f-{number}"})


class Cluster:
    """Pods that are scraped in turn; each leaks 40 goroutines an hour from its start on, and has a pool of 90."""

    def __init__(
        self, *, leak: float = 40.0, pool: float = 0.0, settings: DetectionSettings | None = None
    ) -> None:
        self.pipeline = Pipeline(settings or DetectionSettings())
        self.events: list[Event] = []
        self.time = 0.0
        self._leak, self._pool = leak, pool
        self._started: dict[Target, float] = {}

    def run(self, hours: float, *pods: Target) -> None:
        """Scrape `pods` for `hours`; new pods have just started."""
        for _ in range(int(hours * HOUR / INTERVAL)):
            self.time += INTERVAL
            for target in pods:
                age = (self.time - self._started.setdefault(target, self.time)) / HOUR
                profile = samples(self._counts(age))
                total = sum(sample.goroutines for sample in profile.values())
                self.events += self.pipeline.observe(
                    self.pipeline.add_target(target), START + self.time, total, profile
                )
            self.events += self.pipeline.expire(START + self.time)

    def remove(self, target: Target) -> None:
        """Remove a pod."""
        self.events += self.pipeline.remove_target(target, START + self.time)

    def _counts(self, age: float) -> Mapping[str, int]:
        pool = min(self._pool * age / 4, self._pool)
        return {"leak": 3 + int(self._leak * age), "pool": 2 + int(pool), "busy": 20}

    def verdicts(self, name: str = "leak") -> Sequence[str]:
        """Return the reported verdicts of a stack."""
        return [e.leak.verdict.word for e in self.events if e.leak.stack.blamed.function == f"main.{name}"]


def test_a_replacement_that_starts_before_the_removal() -> None:
    """In a rolling deploy the new pod starts before the old one is removed; the leak is reported once."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    (before,) = cluster.pipeline.open_leaks()
    cluster.run(0.05, pod(1), pod(2))
    cluster.remove(pod(1))
    cluster.run(0.5, pod(2))
    (leak,) = cluster.pipeline.open_leaks()
    assert leak.verdict is Verdict.LEAKING
    assert leak.targets == (pod(2).name,)
    assert leak.goroutines < 30  # without those of the old pod
    assert "until the process ended; it is not clear yet whether the next process leaks too" in leak.reason
    cluster.run(4, pod(2))
    (leak,) = cluster.pipeline.open_leaks()
    assert leak.detected_at == before.detected_at
    assert leak.growth.rate * HOUR == pytest.approx(40, rel=0.05)
    assert "watching" not in leak.reason
    assert cluster.verdicts().count("leaking") == 1


def test_a_replacement_that_starts_after_the_removal() -> None:
    """After ten minutes without pods, the new pod has the judgements of the old one."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    cluster.remove(pod(1))
    (leak,) = cluster.pipeline.open_leaks()
    assert leak.verdict is Verdict.LEAKING
    assert leak.goroutines == 0
    cluster.time += 600
    cluster.run(4, pod(2))
    (leak,) = cluster.pipeline.open_leaks()
    assert leak.targets == (pod(2).name,)
    assert cluster.verdicts().count("leaking") == 1
    assert "closed" not in [event.kind for event in cluster.events if event.leak.verdict is Verdict.LEAKING]


@pytest.mark.parametrize("surge", [0.0, 0.05])
def test_a_replacement_knows_the_pool(surge: float) -> None:
    """A pool that filled up in one pod fills up in the next one without a suspicion."""
    cluster = Cluster(leak=0, pool=90)
    cluster.run(DEPLOY, pod(1))
    first = len(cluster.events)
    if surge:
        cluster.run(surge, pod(1), pod(2))
    cluster.remove(pod(1))
    cluster.run(DEPLOY, pod(2))
    assert cluster.events[first:] == []


def test_a_target_that_returns_continues_its_history() -> None:
    """A target that discovery does not return for a while has the same process and history afterwards."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    closed = cluster.pipeline.add_target(pod(1)).history.closed
    cluster.remove(pod(1))
    cluster.time += 900
    cluster.run(0.5, pod(1))
    assert cluster.pipeline.add_target(pod(1)).history.closed == closed + 9
    assert cluster.verdicts().count("leaking") == 1
    (leak,) = cluster.pipeline.open_leaks()
    assert "watching" not in leak.reason


def test_the_state_of_a_removed_service_is_dropped() -> None:
    """The leak of a removed service is reported for some hours; after a day, its state is dropped."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    cluster.remove(pod(1))
    for hours, open_leaks in ((2.5, 1), (1.0, 0)):
        cluster.time += hours * HOUR
        cluster.events += cluster.pipeline.expire(START + cluster.time)
        assert len(cluster.pipeline.open_leaks()) == open_leaks
    assert cluster.events[-1].kind == "closed"
    cluster.time += 24 * HOUR
    cluster.events += cluster.pipeline.expire(START + cluster.time)
    assert cluster.pipeline.services == {}
    assert cluster.pipeline.targets == {}


def test_an_ignored_leak_of_a_removed_pod_stays_ignored() -> None:
    """A rule by labels matches the labels of removed targets too."""
    rule = IgnoreRule(function="main.leak", labels={"pod": "shop-*"})
    cluster = Cluster(settings=DetectionSettings(ignore=(rule,)))
    cluster.run(DEPLOY, pod(1))
    cluster.remove(pod(1))
    cluster.run(1, pod(2))
    assert cluster.verdicts() == []
    assert sum(cluster.pipeline.ignored().values()) == 1


def test_scaling_does_not_affect_the_other_pods() -> None:
    """Pods keep their own histories while other pods are added and removed."""
    cluster = Cluster(leak=0)
    cluster.run(3, pod(1), pod(2))
    closed = cluster.pipeline.add_target(pod(1)).history.closed
    cluster.run(1, pod(1), pod(2), pod(3))
    cluster.remove(pod(3))
    cluster.remove(pod(2))
    cluster.run(1, pod(1))
    state = cluster.pipeline.add_target(pod(1))
    assert state.history.closed >= closed + 23
    assert not state.replacement
    assert cluster.events == []
    assert stack("leak", "main.goleak").fingerprint in state.history.rows


def replay(counts: Callable[[float], Mapping[str, int]], hours: float, life: float = math.inf) -> list[Event]:
    """Scrape one target each minute, restarted every `life` hours; return its events.

    `counts`: hours since the start -> count by stack name; with an infinite `life` the process is unknown.
    """
    pipeline = Pipeline(DetectionSettings())
    events: list[Event] = []
    for minute in range(int(hours * 60)):
        profile = counts(minute / 60)
        process = None if math.isinf(life) else Process(str(minute / 60 // life))
        events += pipeline.observe(
            pipeline.add_target(TARGET), START + minute * 60, sum(profile.values()), samples(profile), process
        )
    return events


def transitions(events: Sequence[Event]) -> list[tuple[str, float]]:
    """Return the verdicts of the leak from `leaking` on, with the hour."""
    return [
        (event.leak.verdict.word, (event.time - START) / HOUR)
        for event in events
        if event.leak.highest >= Verdict.LEAKING
    ]


@pytest.mark.parametrize(("rate", "within"), [(10, 6.0), (60, 6.0)])
def test_an_incident_does_not_hide_a_later_leak(rate: float, within: float) -> None:
    """Two thousand goroutines that accumulated for an hour and ended do not explain a leak on the next day."""
    arrivals = np.cumsum(np.random.default_rng(2).exponential(1 / rate, 5000)) + 48
    busy = np.random.default_rng(3).poisson(20, 10_000)

    def counts(hour: float) -> Mapping[str, int]:
        piled = 2000 if 24 <= hour < 25.5 else 0
        return {"leak": 5 + piled + int(np.searchsorted(arrivals, hour)), "busy": int(busy[int(hour * 60)])}

    (first, *_) = [hour for word, hour in transitions(replay(counts, 60, life=1000)) if word == "leaking"]
    assert 48 < first < 48 + within


@pytest.mark.parametrize("rate", [8.0, 10.0, 20.0])
def test_a_slow_leak_stays_reported_through_restarts(rate: float) -> None:
    """A leak that grows again after each restart does not recover, however long its confirmation takes."""
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / rate, 5000))
    busy = np.random.default_rng(4).poisson(20, 10_000)

    def counts(hour: float) -> Mapping[str, int]:
        began = hour // 24 * 24
        leaked = np.searchsorted(arrivals, hour) - np.searchsorted(arrivals, began)
        return {"leak": 2 + int(leaked), "busy": int(busy[int(hour * 60)])}

    events = replay(counts, 96, life=24)
    assert [word for word, _ in transitions(events)] == ["leaking"]
    (leak,) = [event.leak for event in events if event.leak.verdict is Verdict.LEAKING]
    assert leak.first_seen - START < 4 * HOUR


def test_a_restart_with_busy_stacks() -> None:
    """Without an identified process, a restart shows in stacks that only grew, and fall at once."""
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / 60, 8000))
    rng = np.random.default_rng(5)

    def counts(hour: float) -> Mapping[str, int]:
        leaked = np.searchsorted(arrivals, hour) - np.searchsorted(arrivals, hour // 24 * 24)
        return {"leak": 2 + int(leaked)} | {f"busy{i}": int(n) for i, n in enumerate(rng.poisson(20, 10))}

    assert [word for word, _ in transitions(replay(counts, 80))] == ["leaking"]


def test_a_batch_each_night_that_stays() -> None:
    """A batch of two hundred goroutines each night that never end is reported after the second or third night."""
    rng = np.random.default_rng(5)

    def counts(hour: float) -> Mapping[str, int]:
        return {"leak": 2 + 200 * int((hour + 21) // 24), "busy": int(rng.poisson(20))}

    ((word, hour), *_) = transitions(replay(counts, 60))
    assert word == "leaking"
    assert hour < 54


def test_a_single_batch_is_not_a_leak() -> None:
    """A cache that is filled once, or workers that start at a deploy, are not reported."""

    def counts(hour: float) -> Mapping[str, int]:
        return {"leak": 2 + 200 * (hour > 30), "busy": 20}

    assert transitions(replay(counts, 96)) == []


def leaking_pipeline() -> tuple[Pipeline, Target, float]:
    """Return a pipeline with one target that leaked 60 per hour for three hours, the target and the time."""
    pipeline, target = Pipeline(DetectionSettings()), Target("shop", "pod-1:6060")
    state, time = pipeline.add_target(target), START
    while time < START + 3 * HOUR:
        pipeline.observe(state, time, 0, samples({"leak": 3 + int((time - START) / 60)}))
        time += 60
    assert [leak.verdict for leak in pipeline.open_leaks()] == [Verdict.LEAKING]
    return pipeline, target, time


def test_a_removed_target_that_is_found_again_but_does_not_answer() -> None:
    """Discovery alone does not continue a state: the leak ends as if the target had not been found."""
    pipeline, target, time = leaking_pipeline()
    pipeline.remove_target(target, time)
    pipeline.add_target(target)
    for minutes in range(0, 60 * 60, 5):
        pipeline.expire(time + 60 * minutes)
    assert pipeline.open_leaks() == []


def test_a_target_that_answers_again_continues_its_leak() -> None:
    """With its first profile after the removal, a target has its history and its leak again."""
    pipeline, target, time = leaking_pipeline()
    pipeline.remove_target(target, time)
    state = pipeline.add_target(target)
    pipeline.observe(state, time + HOUR, 0, samples({"leak": 240}))
    (leak,) = pipeline.open_leaks()
    assert (leak.targets, leak.goroutines) == ((target.name,), 240)


def test_results_of_probes_appear_at_once() -> None:
    """A leak that was just read is built anew after a probe has recorded its results."""
    pipeline, target, _ = leaking_pipeline()
    state = pipeline.targets[target]
    assert pipeline.open_leaks()[0].findings.unavailable == {}
    state.probe_results.unavailable["proof"] = "HTTP 404"
    pipeline.probe_recorded(state)
    assert pipeline.open_leaks()[0].findings.unavailable == {"proof": "HTTP 404"}
