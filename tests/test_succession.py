"""Pods that come and go under new names, in virtual time."""

from collections.abc import Mapping, Sequence

import pytest
from simulated import HOUR, INTERVAL, START, samples, stack

from leakwatch.ignore import Rule
from leakwatch.model import Event, Target, Verdict
from leakwatch.pipeline import Pipeline, Settings

DEPLOY = 8.0  # hours after which the first pod is replaced


def pod(number: int) -> Target:
    """Return the pod that a deploy has made."""
    return Target("shop", f"shop-7d9f-{number}", {"pod": f"shop-7d9f-{number}"})


class Cluster:
    """Pods that are scraped in turn; each leaks 40 an hour from its own start on and has a pool of 90."""

    def __init__(self, *, leak: float = 40.0, pool: float = 0.0, settings: Settings | None = None) -> None:
        self.pipeline = Pipeline(settings or Settings())
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
                self.events += self.pipeline.observe(target, START + self.time, total, found)
            self.events += self.pipeline.expire(START + self.time)

    def leave(self, target: Target) -> None:
        """Take a pod away."""
        self.events += self.pipeline.leave(target, START + self.time)

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
    closed = cluster.pipeline.watch(pod(1)).history.closed
    cluster.leave(pod(1))
    cluster.time += 900
    cluster.run(0.5, pod(1))
    assert cluster.pipeline.watch(pod(1)).history.closed == closed + 9
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
    assert cluster.pipeline._services == {}
    assert cluster.pipeline.watches == {}


def test_an_ignored_leak_stays_ignored_when_its_pod_goes() -> None:
    """A rule by labels matches the labels of those that are gone, too."""
    rule = Rule("main.leak", "", "", {"pod": "shop-*"}, "", "known", None, None)
    cluster = Cluster(settings=Settings(ignore=(rule,)))
    cluster.run(DEPLOY, pod(1))
    cluster.leave(pod(1))
    cluster.run(1, pod(2))
    assert cluster.told() == []
    assert sum(cluster.pipeline.leaks.ignored().values()) == 1


def test_scaling_up_or_down_takes_nothing_from_those_that_stay() -> None:
    """Pods that were there all along keep their own history when others come and go."""
    cluster = Cluster(leak=0)
    cluster.run(3, pod(1), pod(2))
    closed = cluster.pipeline.watch(pod(1)).history.closed
    cluster.run(1, pod(1), pod(2), pod(3))
    cluster.leave(pod(3))
    cluster.leave(pod(2))
    cluster.run(1, pod(1))
    watch = cluster.pipeline.watch(pod(1))
    assert watch.history.closed >= closed + 23
    assert not watch.heir
    assert cluster.events == []
    assert stack("leak", "main.goleak").fingerprint in watch.history.rows
