"""The past of a service: the maximum over its targets, and its leaks, which another pipeline continues."""

from dataclasses import replace

from leakwatch.detect.past import PastLeak, StackPast
from leakwatch.leaks.past import ServicePast, date_leaks, past_of_service, take_over_past
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.simulated import HOUR, START, samples, stack

ONE, TWO = Target("shop", "10.0.0.1:6060"), Target("shop", "10.0.0.2:6060")
POOL, STUCK = stack("pool").fingerprint, stack("stuck").fingerprint
END = START + 3 * HOUR
LEAK = PastLeak(verdict=Verdict.LEAKING, rate=2.0, first_seen=START - HOUR, detected_at=START - HOUR / 2)


def played(stuck: dict[Target, int]) -> Pipeline:
    """Return a pipeline after three hours with constant counts; `stuck`: of one stack, by target."""
    pipeline = Pipeline(DetectionSettings())
    for minute in range(3 * 60):
        for target, count in stuck.items():
            found = samples({"pool": 30, "stuck": count}, "main.main")
            pipeline.observe(pipeline.add_target(target), START + minute * 60, 0, found)
    return pipeline


def continued(pipeline: Pipeline, past: ServicePast) -> Pipeline:
    """Return the pipeline, which has continued with the past of its service."""
    service = pipeline.services["shop"]
    take_over_past(service, past, {stack(name).fingerprint: stack(name) for name in ("pool", "rare")})
    for state in service.targets.values():
        pipeline.update(state, END)
    date_leaks(service, past.leaks)
    return pipeline


def test_the_past_is_the_maximum_over_targets() -> None:
    """Current and departed targets count."""
    pipeline = played({ONE: 5, TWO: 5})
    for target, drop, ceiling in ((ONE, 40, 0), (TWO, 30, 90)):
        history = pipeline.add_target(target).history
        row = history.rows[POOL]
        history.known_drop[:, row] = drop
        history.past_lifetimes.ceilings[0, row] = ceiling
    expected = {POOL: (stack("pool"), StackPast((40, 40), (90, 0, 0)))}
    assert past_of_service(pipeline.services["shop"]) == expected
    pipeline.remove_target(ONE, END)
    assert past_of_service(pipeline.services["shop"]) == expected


def test_all_targets_take_over_the_past_of_a_stack() -> None:
    """A stack that no target has had a goroutine in is included."""
    rare = stack("rare").fingerprint
    past = {POOL: StackPast((40, 20), (0, 0, 0)), rare: StackPast((0, 0), (90, 0, 0))}
    pipeline = continued(played({ONE: 5, TWO: 5}), ServicePast(past))
    assert {key: value for key, (_, value) in past_of_service(pipeline.services["shop"]).items()} == past
    for target in (ONE, TWO):
        assert rare in pipeline.add_target(target).history.rows
    assert pipeline.open_leaks() == []


def test_a_leak_is_reopened_where_it_has_its_goroutines() -> None:
    """The targets with most of the goroutines leak, each with its part of the rate, with the dates of the leak."""
    pipeline = continued(played({ONE: 400, TWO: 20}), ServicePast(leaks={STUCK: LEAK}))
    (leak,) = pipeline.open_leaks()
    assert (leak.verdict, leak.targets, leak.goroutines) == (Verdict.LEAKING, (ONE.name,), 420)
    assert (leak.first_seen, leak.detected_at) == (LEAK.first_seen, LEAK.detected_at)
    pipeline = continued(played({ONE: 400, TWO: 300}), ServicePast(leaks={STUCK: LEAK}))
    (leak,) = pipeline.open_leaks()
    assert leak.targets == (ONE.name, TWO.name)
    assert leak.grew.rate == LEAK.rate


def test_a_known_verdict_stays() -> None:
    """A leak that a target has already keeps its case; only its dates are set back."""
    pipeline = continued(played({ONE: 400}), ServicePast(leaks={STUCK: LEAK}))
    case = pipeline.add_target(ONE).detector.cases[STUCK]
    older = replace(LEAK, verdict=Verdict.PLATEAU, first_seen=START - 9 * HOUR, rate=7.0)
    (leak,) = continued(pipeline, ServicePast(leaks={STUCK: older})).open_leaks()
    assert pipeline.add_target(ONE).detector.cases[STUCK] is case
    assert (leak.verdict, leak.first_seen) == (Verdict.LEAKING, older.first_seen)


def test_a_leak_without_goroutines_is_not_reopened() -> None:
    """A stack that no target has, or only without goroutines, has no leak."""
    unknown = stack("unknown").fingerprint
    pipeline = continued(played({ONE: 0}), ServicePast(leaks={STUCK: LEAK, unknown: LEAK}))
    assert pipeline.open_leaks() == []
