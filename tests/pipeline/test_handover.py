"""Processes that end while their cause of leaking stays, pods that come and go, in virtual time."""

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
    """Return the pod that a deploy has made."""
    return Target("shop", f"shop-7d9f-{number}", {"pod": f"shop-7d9f-{number}"})


class Cluster:
    """Pods that are scraped in turn; each leaks 40 an hour from its own start on and has a pool of 90."""

    def __init__(
        self, *, leak: float = 40.0, pool: float = 0.0, settings: DetectionSettings | None = None
    ) -> None:
        self.pipeline = Pipeline(settings or DetectionSettings())
        self.events: list[Event] = []
        self.time = 0.0
        self._leak, self._pool = leak, pool
        self._started: dict[Target, float] = {}

    def run(self, hours: float, *pods: Target) -> None:
        """Scrape `pods` for `hours`; those that are new have just been started."""
        for _ in range(int(hours * HOUR / INTERVAL)):
            self.time += INTERVAL
            for target in pods:
                age = (self.time - self._started.setdefault(target, self.time)) / HOUR
                found = samples(self._counts(age))
                total = sum(sample.goroutines for sample in found.values())
                self.events += self.pipeline.observe(
                    self.pipeline.add_target(target), START + self.time, total, found
                )
            self.events += self.pipeline.expire(START + self.time)

    def leave(self, target: Target) -> None:
        """Take a pod away."""
        self.events += self.pipeline.remove_target(target, START + self.time)

    def _counts(self, age: float) -> Mapping[str, int]:
        pool = min(self._pool * age / 4, self._pool)
        return {"leak": 3 + int(self._leak * age), "pool": 2 + int(pool), "busy": 20}

    def told(self, name: str = "leak") -> Sequence[str]:
        """Return the verdicts that were said of a stack."""
        return [e.leak.verdict.word for e in self.events if e.leak.stack.blamed.function == f"main.{name}"]


def test_a_leak_outlives_its_pod_when_the_next_came_first() -> None:
    """In a rolling deploy the new pod is there before the old one goes: one leak, told once."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    (before,) = cluster.pipeline.open_leaks()
    cluster.run(0.05, pod(1), pod(2))
    cluster.leave(pod(1))
    cluster.run(0.5, pod(2))
    (watched,) = cluster.pipeline.open_leaks()
    assert watched.verdict is Verdict.LEAKING
    assert watched.targets == (pod(2).name,)
    assert watched.goroutines < 30  # those of the old pod are gone
    assert "until the process ended; watching whether the next does the same" in watched.reason
    cluster.run(4, pod(2))
    (leak,) = cluster.pipeline.open_leaks()
    assert leak.detected_at == before.detected_at
    assert leak.growth.rate * HOUR == pytest.approx(40, rel=0.05)
    assert "watching" not in leak.reason
    assert cluster.told().count("leaking") == 1


def test_a_leak_outlives_its_pod_when_the_next_comes_later() -> None:
    """Ten minutes without any pod change nothing; what was thought of the old one is thought of the new one."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    cluster.leave(pod(1))
    (watched,) = cluster.pipeline.open_leaks()
    assert watched.verdict is Verdict.LEAKING
    assert watched.goroutines == 0
    cluster.time += 600
    cluster.run(4, pod(2))
    (leak,) = cluster.pipeline.open_leaks()
    assert leak.targets == (pod(2).name,)
    assert cluster.told().count("leaking") == 1
    assert "closed" not in [event.kind for event in cluster.events if event.leak.verdict is Verdict.LEAKING]


@pytest.mark.parametrize("surge", [0.0, 0.05])
def test_a_pool_is_known_to_the_next_pod(surge: float) -> None:
    """What filled up in one pod and stopped there fills up in the next without being suspected."""
    cluster = Cluster(leak=0, pool=90)
    cluster.run(DEPLOY, pod(1))
    first = len(cluster.events)
    if surge:
        cluster.run(surge, pod(1), pod(2))
    cluster.leave(pod(1))
    cluster.run(DEPLOY, pod(2))
    assert cluster.events[first:] == []


def test_a_target_that_comes_back_goes_on() -> None:
    """Discovery that loses a target for a while loses nothing else: the same process, the same history."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    closed = cluster.pipeline.add_target(pod(1)).history.closed
    cluster.leave(pod(1))
    cluster.time += 900
    cluster.run(0.5, pod(1))
    assert cluster.pipeline.add_target(pod(1)).history.closed == closed + 9
    assert cluster.told().count("leaking") == 1
    (leak,) = cluster.pipeline.open_leaks()
    assert "watching" not in leak.reason


def test_what_is_gone_for_good_is_let_go() -> None:
    """A service that was taken down: its leak is told for some hours, and after a day nothing is kept."""
    cluster = Cluster()
    cluster.run(DEPLOY, pod(1))
    cluster.leave(pod(1))
    for hours, open_leaks in ((2.5, 1), (1.0, 0)):
        cluster.time += hours * HOUR
        cluster.events += cluster.pipeline.expire(START + cluster.time)
        assert len(cluster.pipeline.open_leaks()) == open_leaks
    assert cluster.events[-1].kind == "closed"
    cluster.time += 24 * HOUR
    cluster.events += cluster.pipeline.expire(START + cluster.time)
    assert cluster.pipeline.services == {}
    assert cluster.pipeline.targets == {}


def test_an_ignored_leak_stays_ignored_when_its_pod_goes() -> None:
    """A rule by labels matches the labels of those that are gone, too."""
    rule = IgnoreRule(function="main.leak", labels={"pod": "shop-*"})
    cluster = Cluster(settings=DetectionSettings(ignore=(rule,)))
    cluster.run(DEPLOY, pod(1))
    cluster.leave(pod(1))
    cluster.run(1, pod(2))
    assert cluster.told() == []
    assert sum(cluster.pipeline.ignored().values()) == 1


def test_scaling_up_or_down_takes_nothing_from_those_that_stay() -> None:
    """Pods that were there all along keep their own history when others come and go."""
    cluster = Cluster(leak=0)
    cluster.run(3, pod(1), pod(2))
    closed = cluster.pipeline.add_target(pod(1)).history.closed
    cluster.run(1, pod(1), pod(2), pod(3))
    cluster.leave(pod(3))
    cluster.leave(pod(2))
    cluster.run(1, pod(1))
    state = cluster.pipeline.add_target(pod(1))
    assert state.history.closed >= closed + 23
    assert not state.replacement
    assert cluster.events == []
    assert stack("leak", "main.goleak").fingerprint in state.history.rows


def replay(counts: Callable[[float], Mapping[str, int]], hours: float, life: float = math.inf) -> list[Event]:
    """Scrape one target each minute, restarted every `life` hours; return its events.

    `counts`: hours since the start -> count by stack name; with an endless life the process is not known.
    """
    pipeline = Pipeline(DetectionSettings())
    events: list[Event] = []
    for minute in range(int(hours * 60)):
        found = counts(minute / 60)
        process = None if math.isinf(life) else Process(str(minute / 60 // life))
        events += pipeline.observe(
            pipeline.add_target(TARGET), START + minute * 60, sum(found.values()), samples(found), process
        )
    return events


def turns(events: Sequence[Event]) -> list[tuple[str, float]]:
    """Return what was said of the leak from leaking on, with the hour."""
    return [
        (event.leak.verdict.word, (event.time - START) / HOUR)
        for event in events
        if event.leak.highest >= Verdict.LEAKING
    ]


@pytest.mark.parametrize(("rate", "within"), [(10, 6.0), (60, 6.0)])
def test_an_incident_hides_no_later_leak(rate: float, within: float) -> None:
    """Two thousand goroutines that piled up for an hour and went away do not excuse a leak on the day after."""
    arrivals = np.cumsum(np.random.default_rng(2).exponential(1 / rate, 5000)) + 48
    busy = np.random.default_rng(3).poisson(20, 10_000)

    def counts(hour: float) -> Mapping[str, int]:
        piled = 2000 if 24 <= hour < 25.5 else 0
        return {"leak": 5 + piled + int(np.searchsorted(arrivals, hour)), "busy": int(busy[int(hour * 60)])}

    (first, *_) = [hour for word, hour in turns(replay(counts, 60, life=1000)) if word == "leaking"]
    assert 48 < first < 48 + within


@pytest.mark.parametrize("rate", [8.0, 10.0, 20.0])
def test_a_slow_leak_stays_told_through_restarts(rate: float) -> None:
    """Its growth goes on after each restart, so it has not recovered, however long that takes to be proven."""
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / rate, 5000))
    busy = np.random.default_rng(4).poisson(20, 10_000)

    def counts(hour: float) -> Mapping[str, int]:
        began = hour // 24 * 24
        leaked = np.searchsorted(arrivals, hour) - np.searchsorted(arrivals, began)
        return {"leak": 2 + int(leaked), "busy": int(busy[int(hour * 60)])}

    events = replay(counts, 96, life=24)
    assert [word for word, _ in turns(events)] == ["leaking"]
    (told,) = [event.leak for event in events if event.leak.verdict is Verdict.LEAKING]
    assert told.first_seen - START < 4 * HOUR


def test_a_restart_is_seen_though_busy_stacks_are_back_at_once() -> None:
    """Where the process cannot be asked: all that had only ever gained is gone at once, and gains again."""
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / 60, 8000))
    rng = np.random.default_rng(5)

    def counts(hour: float) -> Mapping[str, int]:
        leaked = np.searchsorted(arrivals, hour) - np.searchsorted(arrivals, hour // 24 * 24)
        return {"leak": 2 + int(leaked)} | {f"busy{i}": int(n) for i, n in enumerate(rng.poisson(20, 10))}

    assert [word for word, _ in turns(replay(counts, 80))] == ["leaking"]


def test_a_batch_each_night_that_stays() -> None:
    """Two hundred more each night, all at once, that never leave: told after the second or third."""
    rng = np.random.default_rng(5)

    def counts(hour: float) -> Mapping[str, int]:
        return {"leak": 2 + 200 * int((hour + 21) // 24), "busy": int(rng.poisson(20))}

    ((word, hour), *_) = turns(replay(counts, 60))
    assert word == "leaking"
    assert hour < 54


def test_one_batch_that_stays_is_no_leak() -> None:
    """A cache that is filled once, or workers that are started at a deploy, and stay."""

    def counts(hour: float) -> Mapping[str, int]:
        return {"leak": 2 + 200 * (hour > 30), "busy": 20}

    assert turns(replay(counts, 96)) == []
