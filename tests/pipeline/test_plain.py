"""State that is converted to plain values and back, in the middle of judging: nothing changes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from leakwatch.detect.plain import VERSION
from leakwatch.errors import StateError
from leakwatch.leaks.candidate import POOLED
from leakwatch.leaks.findings import Proof
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process, Sample, Samples, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import site_of
from tests.pipeline.test_leaks import paths
from tests.support.plain import restarted, text, to_plain
from tests.support.simulated import START, samples, stack

MINUTE = 60.0
A, B, C = (Target("shop", name, {"zone": name}) for name in "abc")

Step = Callable[[Pipeline], Iterable[Event]]
"""One call of a pipeline."""
Scenario = Iterator[Step]


class Twins:
    """A pipeline that runs without interruption, and one that is restarted now and then."""

    def __init__(self, settings: DetectionSettings) -> None:
        self.steady = Pipeline(settings)
        self.interrupted = Pipeline(settings)
        self.words: set[str] = set()
        """The verdicts of all events, and the kinds of state that were restored."""

    def run(self, scenario: Scenario, every: int) -> None:
        """Play a scenario; restart after each `every` steps, and in the step after an event."""
        is_due = False
        for number, step in enumerate(scenario):
            events = list(step(self.steady))
            self.words |= {event.leak.verdict.word for event in events}
            assert repr(list(step(self.interrupted))) == repr(events)
            if number % every == 0 or is_due or events:
                self.restart()
            is_due = bool(events)

    def restart(self) -> None:
        """Restart the interrupted pipeline, and compare all states, judgements and open leaks."""
        self.interrupted = restarted(self.interrupted)
        for service in self.interrupted.services.values():
            candidates = service.leaks.candidates.values()
            kinds = {
                "pooled": any(POOLED in candidate.judgements for candidate in candidates),
                "related": any(group.related for group in service.leaks.groups.values()),
                "ignored": bool(service.leaks.rules),
                "removed": bool(service.departed),
                "restarted": any(state.restarts for state in service.states),
                "open-block": any(state.history.open_block.scrapes > 1 for state in service.states),
                "evicted": any(state.history.folded for state in service.states),
            }
            self.words |= {kind for kind, is_present in kinds.items() if is_present}
        assert text(to_plain(self.interrupted)) == text(to_plain(self.steady))
        assert repr(self.interrupted.open_leaks()) == repr(self.steady.open_leaks())


def observe(target: Target, time: float, profile: Samples, process: Process | None = None) -> Step:
    """Return the step that records one profile."""
    total = sum(sample.goroutines for sample in profile.values())
    return lambda pipeline: pipeline.observe(pipeline.add_target(target), time, total, profile, process)


def restart(target: Target, time: float) -> Step:
    """Return the step that begins a new lifetime."""
    return lambda pipeline: pipeline.restart(pipeline.add_target(target), time)


def remove(target: Target, time: float) -> Step:
    """Return the step that removes a target."""
    return lambda pipeline: pipeline.remove_target(target, time)


def expire(time: float) -> Step:
    """Return the step that drops the states of targets that were removed long ago."""
    return lambda pipeline: pipeline.expire(time)


def prove(time: float, goroutines: int) -> Step:
    """Return the step that confirms main.leak on A by a proof of so many goroutines."""
    leaked = {stack("leak", "main.goleak").fingerprint: goroutines, site_of("main.leak"): goroutines}

    def step(pipeline: Pipeline) -> Iterable[Event]:
        state = pipeline.add_target(A)
        state.probe_results.add_proof(Proof(time, leaked))
        return pipeline.apply_proof(state, time)

    return step


def stretch(interval: float) -> Step:
    """Return the step that makes the blocks of A fit scrapes `interval` seconds apart."""

    def step(pipeline: Pipeline) -> Iterable[Event]:
        pipeline.add_target(A).stretch(interval)
        return []

    return step


def arrivals(rate: float, seed: int) -> Callable[[float], int]:
    """Return hours -> goroutines that arrived at random, `rate` per hour."""
    times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, 5000))
    return lambda hour: int(np.searchsorted(times, hour))


def minutes(hours: float, start: float = 0.0) -> Iterator[tuple[float, float]]:
    """Yield the unix seconds and hours of each minute."""
    for minute in range(int(start * 60), int((start + hours) * 60)):
        yield START + minute * MINUTE, minute / 60


def leak_and_busy() -> Scenario:
    """Yield a leak from hour 3 to hour 8, which is gone at hour 13, beside a busy stack that comes and goes."""
    rng = np.random.default_rng(1)
    leaked = arrivals(90, 2)
    for time, hour in minutes(18):
        count = leaked(min(max(hour - 3, 0), 5)) if hour < 13 else 0
        if int(hour * 60) % 50:  # scrapes are missed
            yield observe(A, time, samples({"leak": 2 + count, "busy": int(rng.poisson(30)), "idle": 4}))


def restarts() -> Scenario:
    """Yield a leak through restarts of its process, by identity and by counts, and a rebuild."""
    leaked, rng = arrivals(60, 3), np.random.default_rng(4)
    for time, hour in minutes(26):
        lifetime = int(hour // 9)
        process = Process(str(lifetime), f"build{lifetime // 2}") if hour < 18 else None
        begin = hour // 9 * 9 if hour < 23 else 23
        counts = {"leak": 2 + leaked(hour) - leaked(begin)} | {f"busy{i}": int(rng.poisson(20)) for i in range(5)}
        yield observe(A, time, samples(counts), process)


def replicas() -> Scenario:
    """Yield a slow leak on three replicas, which restart in turn, and one of which is away for an hour."""
    rng, leaked = np.random.default_rng(5), {target: arrivals(6, n) for n, target in enumerate((A, B, C))}
    begin = dict.fromkeys((A, B, C), 0.0)
    for time, hour in minutes(24):
        for n, target in enumerate((A, B, C)):
            if target is B and 16 <= hour < 17:
                if hour == 16:
                    yield remove(B, time)
                continue
            if hour and hour % 10 == 3 * n:
                begin[target] = hour
                yield restart(target, time)
            since = begin[target]
            counts = {"leak": 2 + leaked[target](hour) - leaked[target](since), "busy": int(rng.poisson(30))}
            yield observe(target, time + n, samples(counts))


def sites() -> Scenario:
    """Yield a function that leaks on many paths, on two targets."""
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(1, 12, 12 * 30))
    of_path = rng.integers(0, 30, len(times))
    for time, hour in minutes(11):
        counts = 1 + np.bincount(of_path[: int(np.searchsorted(times, hour))], minlength=30)
        for target in (A, B):
            yield observe(target, time, paths(dict(enumerate(counts.tolist()))))


def daily_batches() -> Scenario:
    """Yield two hundred more goroutines each night, all at once, that never leave."""
    rng = np.random.default_rng(5)
    for time, hour in minutes(54):
        count = 2 + 200 * int((hour + 21) // 24)
        yield observe(A, time, samples({"leak": count, "busy": int(rng.poisson(20))}))


def departed() -> Scenario:
    """Yield pods that are replaced at once, later, and not at all."""
    for time, hour in minutes(46):
        if hour == 9:
            yield remove(A, time)
        if hour == 18:
            yield remove(B, time)
        pods = [(A, 0.0)] if hour < 8.9 else [(A, 0.0), (B, 8.9)] if hour < 9 else [(B, 8.9)] if hour < 18 else []
        pods += [(C, 18.5)] if 18.5 <= hour < 20 else []
        if hour == 20:
            yield remove(C, time)
        for target, begin in pods:
            counts = {"leak": 3 + int(50 * (hour - begin)), "pool": 2 + min(int(25 * (hour - begin)), 90)}
            yield observe(target, time, samples({**counts, "busy": 20}))
        yield expire(time)


def proofs() -> Scenario:
    """Yield a leak that the runtime of its process confirms, soon with more goroutines."""
    for time, hour in minutes(8):
        count = 2 + int(max(hour - 2, 0) * 25)
        yield observe(A, time, samples({"leak": count, "lost": 3, "busy": 20}))
        if hour > 3.5 and int(hour * 60) % 20 == 7:
            yield prove(time, count - 2)


def ceilings() -> Scenario:
    """Yield a pool around the ceiling of its ignore rule, and a leak that another rule hides on some targets."""
    rng = np.random.default_rng(7)
    for time, hour in minutes(9):
        for target in (A, B):
            pool = 20 + min(int(hour * 30), 190) + int(rng.integers(0, 25))
            yield observe(target, time, samples({"pool": pool // 2, "leak": 2 + int(hour * 40), "busy": 5}))


def evictions() -> Scenario:
    """Yield more stacks than rows, a wait reason that is unknown at first, and blocks that become longer."""
    rng = np.random.default_rng(8)
    for time, hour in minutes(12):
        counts = {number: float(n) for number, n in enumerate(rng.poisson(3, 40)) if n}
        profile = paths({**counts, 99: 2 + 60 * hour})
        wait = "chan send" if hour > 4 else ""
        yield observe(
            A, time, {key: Sample(replace(s.stack, wait=wait), s.goroutines) for key, s in profile.items()}
        )
        if hour == 6:
            yield stretch(120.0)


LEAK, CEILING = (
    IgnoreRule(function="main.leak", labels={"zone": "a"}),
    IgnoreRule(origin="main.gopool", at_most=100),
)


@pytest.mark.parametrize(
    ("scenario", "settings", "every", "words"),
    [
        pytest.param(leak_and_busy, DetectionSettings(), 13, "suspected plateau recovered open-block", id="busy"),
        pytest.param(restarts, DetectionSettings(), 23, "leaking restarted", id="restarts"),
        pytest.param(replicas, DetectionSettings(), 101, "pooled leaking removed", id="replicas"),
        pytest.param(sites, DetectionSettings(), 83, "suspected leaking related", id="sites"),
        pytest.param(daily_batches, DetectionSettings(), 61, "leaking", id="daily"),
        pytest.param(departed, DetectionSettings(), 61, "leaking removed", id="departed"),
        pytest.param(proofs, DetectionSettings(), 7, "suspected proven", id="proofs"),
        pytest.param(ceilings, DetectionSettings(ignore=(LEAK, CEILING)), 23, "leaking ignored", id="ignored"),
        pytest.param(evictions, DetectionSettings(series_limit=20), 29, "leaking evicted", id="evictions"),
    ],
)
def test_a_restart_of_leakwatch_changes_nothing(
    scenario: Callable[[], Scenario], settings: DetectionSettings, every: int, words: str
) -> None:
    """Events, judgements and open leaks are those of a run without interruption.

    `words`: verdicts and kinds of state that the scenario must have.
    """
    twins = Twins(settings)
    twins.run(scenario(), every)
    assert repr(twins.interrupted.open_leaks()) == repr(twins.steady.open_leaks())
    assert set(words.split()) <= twins.words


def test_an_invalid_value_adds_no_service() -> None:
    """A pipeline that cannot restore one of two services has neither."""
    pipeline, new = Pipeline(DetectionSettings()), Pipeline(DetectionSettings())
    for service in ("shop", "mail"):
        pipeline.add_target(Target(service, "a"))
    shop, mail = pipeline.to_plain(0.0)
    with pytest.raises(StateError, match=rf"^target.version is 99, not at most {VERSION}$"):
        new.restore([shop, replace(mail, targets=[{**mail.targets[0], "version": 99}])], 0.0)
    assert (new.services, new.targets) == ({}, {})


def test_other_ignore_rules() -> None:
    """A leak is reported if the rule that ignored it was removed meanwhile."""
    ignoring = Pipeline(DetectionSettings(ignore=(IgnoreRule(function="main.leak"),)))
    new = Pipeline(DetectionSettings())
    for time, hour in minutes(3):
        list(observe(A, time, samples({"leak": 2 + int(90 * hour)}))(ignoring))
    assert ignoring.open_leaks() == []
    new.restore(ignoring.to_plain(0.0), 0.0)
    assert [leak.verdict for leak in new.open_leaks()] == [Verdict.LEAKING]
