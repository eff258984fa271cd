"""The detector on series with a known truth, in virtual time, through the whole pipeline behind the parser."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.ownership.source_links import Links
from leakwatch.leaks.reason import departures, sentence
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import LeakTracker
from leakwatch.model import Growth, JudgedStack, Judgement, Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.simulated import HOUR, INTERVAL, START, TARGET, Load, play, samples, verdicts

DAY = 24 * HOUR


def poisson(seed: int, level: float) -> Load:
    """Return a load of goroutines shorter than a scrape, `level` of them in stack `busy`."""
    rng = np.random.default_rng(seed)
    return lambda _: {"busy": int(rng.poisson(level))}


def leaking(rate: float, begin: float, base: int = 2, end: float = math.inf) -> Load:
    """Return a load whose stack `leak` gains `rate` goroutines per hour from `begin` to `end` hours."""
    return lambda at: {"leak": base + int(max(0.0, min(at / HOUR, end) - begin) * rate)}


def both(*loads: Load) -> Load:
    """Return the loads side by side."""

    def load(at: float) -> Mapping[str, int]:
        merged: dict[str, int] = {}
        for one in loads:
            for name, count in (one(at) or {}).items():
                merged[name] = merged.get(name, 0) + count
        return merged

    return load


@pytest.mark.parametrize(
    ("rate", "begin", "within", "window"),
    [(1000, 3, 1.0, "P0"), (60, 3, 1.8, "P2"), (10, 10, 6.5, "P8"), (1, 2, 26, "P24")],
)
def test_a_pure_leak_is_found(rate: float, begin: float, within: float, window: str) -> None:
    """A leak next to busy traffic is called leaking soon, with its rate, its onset, and by the expected window."""
    pipeline, events = play(both(poisson(1, 50), leaking(rate, begin)), begin + within)
    said = dict(verdicts(events, "leak"))
    assert begin < said["leaking"] <= begin + within
    assert verdicts(events, "busy") == []
    leak = pipeline.open_leaks()[0]
    assert leak.growth.low <= rate / HOUR <= leak.growth.high
    assert leak.growth.rate == pytest.approx(rate / HOUR, rel=0.25)
    assert (leak.first_seen - START) / HOUR == pytest.approx(begin, abs=1.5)
    assert leak.targets == (TARGET.name,)
    assert next(iter(pipeline.targets.values())).judged[leak.stack.fingerprint].judgement.window in {
        window,
        "P2",
        "C2",
        "P8",
        "C8",
    }


def test_a_leak_inside_a_busy_stack_is_found() -> None:
    """60 an hour in a stack through which a hundred busy goroutines pass: turnover does not explain the growth."""
    rng = np.random.default_rng(4)
    hidden: Load = lambda at: {"leak": int(rng.poisson(100)) + int(max(0.0, at / HOUR - 6) * 60)}  # noqa: E731
    pipeline, events = play(hidden, 14)
    assert 6 < dict(verdicts(events, "leak"))["leaking"] < 13
    assert pipeline.open_leaks()[0].growth.rate == pytest.approx(60 / HOUR, rel=0.3)


def diurnal(seed: int, level: float) -> Load:
    """Return a load that doubles by day."""
    rng = np.random.default_rng(seed)
    return lambda at: {"busy": int(rng.poisson(level * (1 - 0.6 * math.cos(2 * math.pi * at / DAY))))}


def keep_alive(seed: int, level: float, life: float) -> Load:
    """Return a load of connections that live `life` seconds on average, twice as many by day."""
    rng = np.random.default_rng(seed)
    state = [level]

    def load(at: float) -> Mapping[str, int]:
        wanted = level * (1 - 0.5 * math.cos(2 * math.pi * at / DAY))
        leaving = rng.binomial(int(state[0]), min(INTERVAL / life, 1.0))
        state[0] += rng.poisson(wanted * INTERVAL / life) - leaving
        return {"busy": int(state[0])}

    return load


@pytest.mark.parametrize(
    "load",
    [
        poisson(1, 3),
        poisson(2, 300),
        diurnal(3, 200),
        diurnal(4, 30),
        keep_alive(5, 300, 90),
        keep_alive(6, 100, 600),
    ],
    ids=["quiet", "busy", "diurnal", "diurnal, small", "keep-alive", "long keep-alive"],
)
def test_busy_services_are_left_alone(load: Load) -> None:
    """Two days of healthy load, with the morning's rise, give no leak."""
    _, events = play(load, 48)
    assert [said for said, _ in verdicts(events, "busy") if said == "leaking"] == []


def test_a_step_is_no_leak() -> None:
    """A pool that grows at once and stays is never called leaking."""
    step: Load = lambda at: {"pool": 10 if at < 5 * HOUR else 400}  # noqa: E731
    _, events = play(step, 30)
    assert "leaking" not in dict(verdicts(events, "pool"))


def test_workers_that_change_state_are_no_leak() -> None:
    """Idle workers move from one stack to another of the same origin: the sum does not grow (root veto)."""

    def load(at: float) -> Mapping[str, int]:
        moved = min(int(at / HOUR * 40), 380)
        return {"idle": 400 - moved, "parked": 2 + moved}

    assert verdicts(play(load, 9, origin="main.worker")[1], "parked") == []
    assert "leaking" in dict(verdicts(play(load, 9)[1], "parked"))


def test_the_life_of_a_leak() -> None:
    """Suspected, leaking, plateau when it stops, recovered when the goroutines are gone, and then forgotten."""
    stopped = leaking(60, 3, end=8)
    load: Load = lambda at: stopped(at) if at < 14 * HOUR else {"leak": 2}  # noqa: E731
    _, events = play(load, 40)
    said = verdicts(events, "leak")
    assert [verdict for verdict, _ in said] == ["suspected", "leaking", "plateau", "recovered", "normal"]
    hours = dict(said)
    assert 11 <= hours["plateau"] <= 11.5
    assert 14 <= hours["recovered"] <= 14.2
    assert 38 <= hours["normal"] <= 38.3


def test_a_leak_that_resumes() -> None:
    """After a plateau, new growth is leaking again."""
    first, second = leaking(60, 3, end=6), leaking(60, 20, base=0)
    _, events = play(both(first, second), 24)
    assert [verdict for verdict, _ in verdicts(events, "leak")] == ["suspected", "leaking", "plateau", "leaking"]


@pytest.mark.parametrize("missing", [0.2, 0.5])
def test_missed_scrapes_do_not_accuse_and_do_not_hide(missing: float) -> None:
    """With scrapes missing at random the busy stack stays normal and the leak is found."""
    rng = np.random.default_rng(8)
    load = both(keep_alive(9, 100, 300), leaking(60, 3))
    _, events = play(lambda at: None if rng.random() < missing else load(at), 8)
    assert dict(verdicts(events, "leak"))["leaking"] < 5.5
    assert verdicts(events, "busy") == []


def test_too_few_scrapes_leave_only_what_needs_no_turnover() -> None:
    """At one scrape per block a busy stack is never judged by turnover, a pure leak still by the P windows."""
    pipeline = Pipeline(DetectionSettings(block=INTERVAL))
    rng = np.random.default_rng(3)
    growing: Load = lambda at: {"busy": int(rng.poisson(30 + at / HOUR * 100)), "leak": int(at / 30)}  # noqa: E731
    _, events = play(growing, 2, pipeline)
    assert "leaking" in dict(verdicts(events, "leak"))
    assert verdicts(events, "busy") == []


def test_confidence_grows_and_is_bounded_while_young() -> None:
    """In the first two hours of a lifetime no confidence above one half; later near one."""
    _, events = play(leaking(3000, 0), 2.0)
    young = next(event for event in events if event.leak.verdict is Verdict.LEAKING)
    assert young.leak.confidence <= 0.5
    pipeline, _ = play(leaking(3000, 0), 6)
    assert pipeline.open_leaks()[0].confidence > 0.95


def test_a_leak_outlasts_a_longer_block() -> None:
    """A leak that slows its own scrapes stays leaking while the block grows with the interval."""
    pipeline, _ = play(leaking(60, 0), 5)
    assert pipeline.add_target(TARGET).stretch(200.0)
    assert pipeline.add_target(TARGET).history.block == 1200.0
    assert not pipeline.add_target(TARGET).stretch(200.0)
    events = []
    for i in range(100):
        at = 5 * HOUR + i * 200.0
        events += pipeline.observe(pipeline.add_target(TARGET), START + at, 0, samples(leaking(60, 0)(at) or {}))
    assert events == []
    assert [leak.verdict for leak in pipeline.open_leaks()] == [Verdict.LEAKING]


def test_a_block_shrinks_again() -> None:
    """A target that is quick again gets its usual block back, once nothing is under suspicion."""
    pipeline, _ = play(poisson(1, 30), 3)
    assert pipeline.add_target(TARGET).stretch(200.0)
    play(poisson(1, 30), 1, pipeline)
    for i in range(2000):
        pipeline.observe(pipeline.add_target(TARGET), START + 4 * HOUR + i * 15.0, 30, samples({"busy": 30}))
        pipeline.add_target(TARGET).stretch(15.0)
    assert pipeline.add_target(TARGET).history.block == 300.0


def test_a_gap_of_days_harms_nothing() -> None:
    """After a weekend's sleep with an open suspicion, watching goes on."""
    for hours in (36, 50, 70, 200):
        pipeline, _ = play(leaking(60, 0), 2.3)
        assert pipeline.open_leaks()
        for i in range(100):
            pipeline.observe(pipeline.add_target(TARGET), START + hours * HOUR + i * 15.0, 7, samples({"leak": 7}))


def test_forgetting_a_target_closes_its_leak() -> None:
    """A target that goes away takes its verdict with it."""
    pipeline, _ = play(leaking(60, 0), 5)
    assert [leak.verdict for leak in pipeline.open_leaks()] == [Verdict.LEAKING]
    events = pipeline.forget_target(TARGET, START + 5 * HOUR)
    assert [(event.before, event.leak.verdict) for event in events] == [(Verdict.LEAKING, Verdict.NORMAL)]
    assert pipeline.open_leaks() == []


def judgement(verdict: Verdict, rate: float, first_seen: float) -> Judgement:
    """Return a judgement of which only this matters."""
    growth = Growth(rate, rate - 3, rate + 4)
    return Judgement(
        verdict=verdict,
        score=1.0,
        window="P2",
        growth=growth,
        confidence=0.8,
        first_seen=first_seen,
        since=first_seen,
        goroutines=10,
        grew=growth,
        before=0.0,
        gained=10.0,
        left=None,
    )


def test_a_leak_over_two_targets() -> None:
    """The worst verdict counts, rates add up with their errors in quadrature, the earliest onset is told."""
    tracker, service = LeakTracker(), ServiceState("shop")
    tracker.configure(Owners({"main.": "everyone", "main.leak": "storage"}), (), Links())
    (fingerprint, sample), *_ = samples({"leak": 1}).items()
    for name, goroutines in (("a", 100), ("b", 23)):
        state = service.targets[name] = TargetState(Target("shop", name), DetectionSettings(), service.functions)
        state.history.record(1.0, samples({"leak": goroutines}))
    suspected = JudgedStack(sample.stack, judgement(Verdict.SUSPECTED, 10, 5.0))
    tracker.update(service, "a", {fingerprint: suspected}, 1.0)
    leaking = JudgedStack(sample.stack, judgement(Verdict.LEAKING, 20, 3.0))
    events = tracker.update(service, "b", {fingerprint: leaking}, 2.0)
    assert [(event.time, event.before) for event in events] == [(2.0, Verdict.SUSPECTED)]
    (leak,) = tracker.leaks([service])
    assert (leak.verdict, leak.goroutines, leak.first_seen, leak.detected_at) == (Verdict.LEAKING, 123, 3.0, 2.0)
    assert leak.targets == ("a", "b")
    assert leak.owner == "storage"
    growth = leak.growth
    assert (growth.rate, growth.low, growth.high) == pytest.approx(
        (30, 30 - math.hypot(3, 3), 30 + math.hypot(4, 4))
    )


def test_services_are_counted_apart() -> None:
    """The same stack in two services is two leaks; the replicas of one are counted together."""
    pipeline = Pipeline(DetectionSettings())
    for target, count in ((TARGET, 5), (Target("shop", "b"), 7), (Target("other", "c"), 100)):
        pipeline.observe(pipeline.add_target(target), START, count, samples({"leak": count}))
    fingerprint = next(iter(samples({"leak": 1})))
    assert pipeline.count("shop", fingerprint) == 12
    assert pipeline.count("nobody", fingerprint) == 0


RATE = "+152/h (140 to 165)"


@pytest.mark.parametrize(
    ("verdict", "restarted", "reason"),
    [
        (Verdict.LEAKING, False, "grew from 12 to 340 in 2h10m while departures stayed at 0.1 per minute; RATE"),
        (Verdict.PLATEAU, False, "grew from 12 to 340 by RATE, and has not grown for 3h"),
        (Verdict.RECOVERED, False, "grew by RATE, and has been back at 340 for 3h"),
        (
            Verdict.LEAKING,
            True,
            "grew by RATE until the process ended; watching whether the next does the same",
        ),
    ],
)
def test_the_reason_is_a_sentence(verdict: Verdict, restarted: bool, reason: str) -> None:
    """Each state of a leak is said in plain words, with its numbers."""
    grew = Growth(152 / 3600, 140 / 3600, 165 / 3600)
    said = Judgement(
        verdict=verdict,
        score=2.0,
        window="P2",
        growth=grew,
        confidence=0.8,
        first_seen=START,
        since=START,
        goroutines=340,
        grew=grew,
        before=12.0,
        gained=328.0,
        left=(0.1 / 60, 0.1 / 60),
        restarted=restarted,
    )
    found = sentence(verdict, [said], 340, START + 7800 - 3 * 3600, START + 7800)
    assert found == reason.replace("RATE", RATE)


def test_batches_that_come_are_no_departures() -> None:
    """Goroutines that leak three at a time vary as if others left; where no count ever falls, nobody did."""
    arrivals = np.cumsum(np.random.default_rng(4).exponential(HOUR / 40, 2000))
    pipeline, _ = play(lambda at: {"leak": 2 + 3 * int(np.searchsorted(arrivals, at)), "busy": 20}, 6)
    (leak,) = pipeline.open_leaks()
    assert "without departures" in leak.reason


def test_departures_that_change_are_said() -> None:
    """Nobody, as many, or more: what leaves per minute is told."""
    assert departures(0, 0.0005) == " without departures"
    assert departures(1, 2) == " while departures went from 60 to 120 per minute"
