"""The detector on simulated loads with known leaks, through the pipeline without the parser, in virtual time."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.reason import departures, sentence
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import LeakTracker
from leakwatch.leaks.wording import format_figure
from leakwatch.model import Growth, JudgedStack, Judgement, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.stacks import Identifier
from tests.support.simulated import HOUR, INTERVAL, START, TARGET, Load, play, samples, verdicts

DAY = 24 * HOUR


def poisson(seed: int, level: float) -> Load:
    """Return a load of short-lived goroutines, on average `level` of them in stack `busy`."""
    rng = np.random.default_rng(seed)
    return lambda _: {"busy": int(rng.poisson(level))}


def leaking(rate: float, begin: float, base: int = 2, end: float = math.inf) -> Load:
    """Return a load that leaks `rate` goroutines per hour in stack `leak`, from `begin` to `end` hours."""
    return lambda at: {"leak": base + int(max(0.0, min(at / HOUR, end) - begin) * rate)}


def both(*loads: Load) -> Load:
    """Return the sum of the loads."""

    def load(at: float) -> Mapping[str, int]:
        merged: dict[str, int] = {}
        for part in loads:
            for name, count in (part(at) or {}).items():
                merged[name] = merged.get(name, 0) + count
        return merged

    return load


@pytest.mark.parametrize(
    ("rate", "begin", "within", "window"),
    [(1000, 3, 1.0, "P0"), (60, 3, 1.8, "P2"), (10, 10, 6.5, "P8"), (1, 2, 26, "P24")],
)
def test_a_pure_leak(rate: float, begin: float, within: float, window: str) -> None:
    """A leak beside busy traffic is soon leaking, with its rate and beginning, by the expected window."""
    pipeline, events = play(both(poisson(1, 50), leaking(rate, begin)), begin + within)
    hours = dict(verdicts(events, "leak"))
    assert begin < hours["leaking"] <= begin + within
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


def test_a_leak_in_a_busy_stack() -> None:
    """60 goroutines an hour leak in a stack with a hundred busy ones: turnover does not explain the growth."""
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
    """Return a load of connections with a mean lifetime of `life` seconds, twice as many by day."""
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
def test_busy_services_do_not_leak(load: Load) -> None:
    """Two days of healthy load, which rises each morning, do not give a leak."""
    _, events = play(load, 48)
    assert [verdict for verdict, _ in verdicts(events, "busy") if verdict == "leaking"] == []


def test_a_step_is_not_a_leak() -> None:
    """A pool that grows at once and stays is never leaking."""
    step: Load = lambda at: {"pool": 10 if at < 5 * HOUR else 400}  # noqa: E731
    _, events = play(step, 30)
    assert "leaking" not in dict(verdicts(events, "pool"))


def test_workers_that_change_state_are_not_a_leak() -> None:
    """If idle workers move between stacks of the same origin, the sum does not grow, and no stack leaks."""

    def load(at: float) -> Mapping[str, int]:
        moved = min(int(at / HOUR * 40), 380)
        return {"idle": 400 - moved, "parked": 2 + moved}

    assert verdicts(play(load, 9, origin="main.worker")[1], "parked") == []
    assert "leaking" in dict(verdicts(play(load, 9)[1], "parked"))


def test_the_verdicts_of_a_leak() -> None:
    """A leak is suspected, leaking, plateau when it stops, recovered when its goroutines end, and closed."""
    stopped = leaking(60, 3, end=8)
    load: Load = lambda at: stopped(at) if at < 14 * HOUR else {"leak": 2}  # noqa: E731
    _, events = play(load, 40)
    changes = verdicts(events, "leak")
    assert [verdict for verdict, _ in changes] == ["suspected", "leaking", "plateau", "recovered", "normal"]
    hours = dict(changes)
    assert 11 <= hours["plateau"] <= 11.5
    assert 14 <= hours["recovered"] <= 14.2
    assert 38 <= hours["normal"] <= 38.3


def test_a_leak_that_resumes() -> None:
    """After a plateau, a leak that grows again is leaking again."""
    first, second = leaking(60, 3, end=6), leaking(60, 20, base=0)
    _, events = play(both(first, second), 24)
    assert [verdict for verdict, _ in verdicts(events, "leak")] == ["suspected", "leaking", "plateau", "leaking"]


@pytest.mark.parametrize("missing", [0.2, 0.5])
def test_missed_scrapes(missing: float) -> None:
    """If scrapes are missed at random, the busy stack stays normal and the leak is found."""
    rng = np.random.default_rng(8)
    load = both(keep_alive(9, 100, 300), leaking(60, 3))
    _, events = play(lambda at: None if rng.random() < missing else load(at), 8)
    assert dict(verdicts(events, "leak"))["leaking"] < 5.5
    assert verdicts(events, "busy") == []


def test_one_scrape_per_block() -> None:
    """With one scrape per block, turnover is unknown: only the P windows judge, and they find a pure leak."""
    pipeline = Pipeline(DetectionSettings(block=INTERVAL))
    rng = np.random.default_rng(3)
    growing: Load = lambda at: {"busy": int(rng.poisson(30 + at / HOUR * 100)), "leak": int(at / 30)}  # noqa: E731
    _, events = play(growing, 2, pipeline)
    assert "leaking" in dict(verdicts(events, "leak"))
    assert verdicts(events, "busy") == []


def test_confidence() -> None:
    """The confidence is at most one half in the first two hours of a lifetime, and near one later."""
    _, events = play(leaking(3000, 0), 2.0)
    young = next(event for event in events if event.leak.verdict is Verdict.LEAKING)
    assert young.leak.confidence <= 0.5
    pipeline, _ = play(leaking(3000, 0), 6)
    assert pipeline.open_leaks()[0].confidence > 0.95


def test_a_leak_outlasts_a_longer_block() -> None:
    """A leak that makes scrapes slower stays leaking while the block grows with the interval."""
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
    """A target that is fast again gets its usual block, once no stack is suspected."""
    pipeline, _ = play(poisson(1, 30), 3)
    assert pipeline.add_target(TARGET).stretch(200.0)
    play(poisson(1, 30), 1, pipeline)
    for i in range(2000):
        pipeline.observe(pipeline.add_target(TARGET), START + 4 * HOUR + i * 15.0, 30, samples({"busy": 30}))
        pipeline.add_target(TARGET).stretch(15.0)
    assert pipeline.add_target(TARGET).history.block == 300.0


def test_a_gap_of_days() -> None:
    """After a gap of two days, a suspected stack is judged further."""
    for hours in (36, 50, 70, 200):
        pipeline, _ = play(leaking(60, 0), 2.3)
        assert pipeline.open_leaks()
        for i in range(100):
            pipeline.observe(pipeline.add_target(TARGET), START + hours * HOUR + i * 15.0, 7, samples({"leak": 7}))


def test_forgetting_a_target_closes_its_leak() -> None:
    """The verdicts of a forgotten target are closed."""
    pipeline, _ = play(leaking(60, 0), 5)
    assert [leak.verdict for leak in pipeline.open_leaks()] == [Verdict.LEAKING]
    events = pipeline.drop_target(TARGET, START + 5 * HOUR)
    assert [(event.before, event.leak.verdict) for event in events] == [(Verdict.LEAKING, Verdict.NORMAL)]
    assert pipeline.open_leaks() == []


def judgement(verdict: Verdict, rate: float, first_seen: float) -> Judgement:
    """Return a judgement with these values; the others do not matter."""
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
    """A leak has the highest verdict, the sum of the rates with independent errors, and the earliest beginning."""
    tracker, service = LeakTracker(), ServiceState("shop")
    tracker.configure(
        Owners({"main.": "everyone", "main.leak": "storage"}), DetectionSettings(), Identifier().is_own
    )
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


def test_the_beginning_of_a_leak_does_not_move_forward() -> None:
    """A judgement that sees the growth begin later does not change an open leak."""
    tracker, service = LeakTracker(), ServiceState("shop")
    tracker.configure(Owners({}), DetectionSettings(), Identifier().is_own)
    (fingerprint, sample), *_ = samples({"leak": 1}).items()
    seen = []
    judgements = (
        *((Verdict.SUSPECTED, 100.0), (Verdict.LEAKING, 200.0), (Verdict.SUSPECTED, 300.0)),
        *((Verdict.LEAKING, 50.0), (Verdict.PLATEAU, 400.0), (Verdict.NORMAL, 500.0)),
        (Verdict.LEAKING, 600.0),
    )
    for time, (verdict, first_seen) in enumerate(judgements):
        judged = JudgedStack(sample.stack, judgement(verdict, 10, first_seen))
        tracker.update(service, "a", {fingerprint: judged}, 10.0 * time)
        seen += [leak.first_seen for leak in tracker.leaks([service])]
    assert seen == [100.0, 100.0, 100.0, 50.0, 50.0, 600.0]


def test_services_are_counted_separately() -> None:
    """The same stack in two services is two leaks; the targets of one service are counted together."""
    pipeline = Pipeline(DetectionSettings())
    for target, count in ((TARGET, 5), (Target("shop", "b"), 7), (Target("other", "c"), 100)):
        pipeline.observe(pipeline.add_target(target), START, count, samples({"leak": count}))
    fingerprint = next(iter(samples({"leak": 1})))
    assert pipeline.count("shop", fingerprint) == 12
    assert pipeline.count("unknown", fingerprint) == 0


@pytest.mark.parametrize(
    ("value", "shown"), [(0.4213, "0.421"), (152.3, "152"), (18_012.0, "18,000"), (-0.0, "0"), (-1.5, "-1.5")]
)
def test_numbers(value: float, shown: str) -> None:
    """Numbers have three significant digits, separated thousands, and never a minus zero."""
    assert format_figure(value) == shown


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
            "grew by RATE until the process ended; it is not clear yet whether the next process leaks too",
        ),
    ],
)
def test_the_reason_is_a_sentence(verdict: Verdict, restarted: bool, reason: str) -> None:
    """The reason describes each verdict with its numbers."""
    grew = Growth(152 / 3600, 140 / 3600, 165 / 3600)
    judged = Judgement(
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
    text = sentence(verdict, [judged], 340, START + 7800 - 3 * 3600, START + 7800)
    assert text == reason.replace("RATE", RATE)


def test_batches_are_not_departures() -> None:
    """Goroutines that leak three at a time vary the count as departures do, but the count never falls."""
    arrivals = np.cumsum(np.random.default_rng(4).exponential(HOUR / 40, 2000))
    pipeline, _ = play(lambda at: {"leak": 2 + 3 * int(np.searchsorted(arrivals, at)), "busy": 20}, 6)
    (leak,) = pipeline.open_leaks()
    assert "without departures" in leak.reason


def test_departures_in_the_reason() -> None:
    """The reason has the departures per minute: none, the same, or a change."""
    assert departures(0, 0.0005) == " without departures"
    assert departures(1, 2) == " while departures went from 60 to 120 per minute"
