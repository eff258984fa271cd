"""The state of a service as plain values."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from leakwatch.detect.plain import Plain, PlainWriter, SharedValues
from leakwatch.errors import StateError
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.service_state import ServicePlain, ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.plain import from_plain, stored, to_plain
from tests.support.simulated import HOUR, START, samples, stack

RULE = IgnoreRule(function="main.pool", at_most=500)
SETTINGS = DetectionSettings(ignore=(RULE,))
A, B, C = (Target("shop", name) for name in "abc")
LEAK = stack("leak", "main.goleak").fingerprint
POOL = stack("pool", "main.gopool").fingerprint


@pytest.fixture(name="pipeline", scope="module")
def play() -> Pipeline:
    """Return a pipeline with two targets, an open and an ignored leak, and a target that was removed."""
    pipeline = Pipeline(SETTINGS)
    for minute in range(240):
        time = START + minute * 60
        for target in (A, B, C):
            counts = {"leak": 2 + minute * (target is A), "pool": 2 + minute * (target is B), "idle": 9}
            pipeline.observe(pipeline.add_target(target), time, 0, samples(counts))
    pipeline.remove_target(C, START + 4 * HOUR)
    return pipeline


def converted(pipeline: Pipeline) -> ServicePlain:
    """Return the plain values of the only service, after a round trip through JSON."""
    (service,) = to_plain(pipeline)
    return from_plain(stored(service))


def test_targets_come_back(pipeline: Pipeline) -> None:
    """Current targets are current, removed ones are removed, in the same order."""
    service = ServiceState.from_plain(converted(pipeline), SETTINGS, 0.0)
    assert list(service.targets) == ["a", "b"]
    assert {target: departed.time for target, departed in service.departed.items()} == {C: START + 4 * HOUR}
    assert all(state.sites._functions is service.functions for state in service.states)


def test_leaks_come_back(pipeline: Pipeline) -> None:
    """Candidates, groups and the rules that ignore them are the same; groups refer to the candidates."""
    old = pipeline.services["shop"].leaks
    new = ServiceState.from_plain(converted(pipeline), SETTINGS, 0.0).leaks
    assert repr(new.candidates) == repr(old.candidates)  # the pooled judgements have nan
    assert repr(new.groups) == repr(old.groups)
    assert new.groups[LEAK].head is new.candidates[LEAK]
    assert new.rules == {POOL: RULE}
    assert new.candidates[POOL].exceeded == old.candidates[POOL].exceeded
    assert new.candidates[LEAK].transitions.maxlen == old.candidates[LEAK].transitions.maxlen


def test_rules_that_were_removed_no_longer_ignore(pipeline: Pipeline) -> None:
    """A stored rule that the new settings do not have is dropped."""
    service = ServiceState.from_plain(converted(pipeline), DetectionSettings(), 0.0)
    assert service.leaks.rules == {}


def test_the_pool_continues_with_the_histories_of_the_targets(pipeline: Pipeline) -> None:
    """Members of the pool read the restored histories; a missing target is not a member."""
    plain = converted(pipeline)
    restored = ServiceState.from_plain(replace(plain, targets=plain.targets[1:]), SETTINGS, 0.0)
    assert restored._pooled is not None
    for detector, name in zip(restored._pooled, ("history", "sites"), strict=True):
        members = detector._pool.members
        assert {key: member.history for key, member in members.items()} == {
            key: getattr(state, name) for key, state in restored.targets.items()
        }


def test_a_service_without_pool() -> None:
    """The only target of a service is not pooled, before and after."""
    pipeline = Pipeline(SETTINGS)
    pipeline.observe(pipeline.add_target(A), START, 0, samples({"a": 1}))
    assert ServiceState.from_plain(converted(pipeline), SETTINGS, 0.0)._pooled is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda service, _: service.update(version="x"), "service.version is str, not int"),
        (lambda service, _: service["state"].pop("functions"), "service 'shop' has no 'functions'"),
        (lambda service, _: service["state"]["pooled"].pop(), "service 'shop'.pooled has 1 elements, not 2"),
        (
            lambda service, _: service["state"]["leaks"]["candidates"].clear(),
            "service 'shop'.leaks.groups have members that are not candidates",
        ),
        (
            lambda _, target: target["state"]["target"].update(service="b"),
            "target 'c' is of service 'b', not shop",
        ),
        (lambda _, c: c["state"]["history"].pop("closed"), "target 'c'.history has no 'closed'"),
    ],
)
def test_other_values_are_rejected(pipeline: Pipeline, change: Callable[[Any, Any], Any], message: str) -> None:
    """A value of another version or shape raises an error with its place."""
    plain = converted(pipeline)
    change(plain.service, plain.targets[0])
    with pytest.raises(StateError) as error:
        ServiceState.from_plain(plain, SETTINGS, 0.0)
    assert str(error.value) == message


NO_STATE: dict[str, set[str]] = {
    "Columns": {"blocks"},
    "Detector": {"_score_blocks", "_score_hours"},
    "History": {"_configured_block", "liveness"},
    "OpenBlock": {"_usual", "_before", "_batch", "_batch_changes", "_batch_regular"},
    "Pool": {"block", "members", "rows", "last", "liveness", "dumps", "_stack_pool"},
    "PoolMember": {"history", "history_rows", "pool_rows", "version"},
    "SeriesTable": {"limit", "rows", "origins", "version", "_origin_numbers"},
    "ServiceState": {"name", "targets", "departed", "leaks", "_pooled"},
    "Sites": {"_configured_block", "liveness", "_history", "_functions"},
    "TargetState": {"_settings", "_lows", "_lows_block", "labels", "grown_within"},
}
"""Class -> attributes outside STATE: configuration, caches, and attributes that other methods convert."""


class Recorder(PlainWriter):
    """Records the attributes of each class that are not in its STATE."""

    def __init__(self) -> None:
        super().__init__(SharedValues())
        self.missing: dict[str, set[str]] = {}

    def state(self, value: Any) -> Plain:
        """Return the state of an object."""
        if hasattr(value, "STATE"):
            attributes = set(getattr(value, "__slots__", None) or vars(value))
            self.missing[type(value).__name__] = attributes - value.STATE.keys()
        return super().state(value)


def test_each_attribute_is_state_or_listed(pipeline: Pipeline) -> None:
    """A new attribute is in STATE or in the list above, so that a restart of leakwatch does not lose it."""
    recorder, service = Recorder(), pipeline.services["shop"]
    recorder.state(service)
    for state in service.states:
        recorder.state(state)
    for detector in service._pooled or ():
        detector.to_plain(recorder, {name: state.history for name, state in service.targets.items()})
    assert {name: attributes for name, attributes in recorder.missing.items() if attributes} == NO_STATE
    assert {"OpenBlock", "PastLifetimes", "DailyScorer", "MemoryHistory", "Functions"} <= recorder.missing.keys()


def test_candidates_follow_their_judgements(pipeline: Pipeline) -> None:
    """A restored candidate derives the verdict from its judgements, as the original does."""
    service = ServiceState.from_plain(converted(pipeline), SETTINGS, 0.0)
    candidate = service.leaks.candidates[Fingerprint(LEAK)]
    assert not candidate.update_verdict(START)
    for target in list(candidate.judgements):
        candidate.set_judgement(target, None)
    assert candidate.update_verdict(START)
    assert candidate.verdict is Verdict.NORMAL
