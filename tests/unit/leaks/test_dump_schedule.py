"""When the targets of a service are asked for full dumps, and which of them."""

import math

import pytest

from leakwatch.detect.case import Case
from leakwatch.detect.windows import P2
from leakwatch.leaks.dump_schedule import wants_dump
from leakwatch.leaks.findings import FullDump
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import LeakOnTarget
from leakwatch.model import Fingerprint, Target, Verdict, Waiting
from tests.support.simulated import START, stack

NOW = START + 86400
MINUTE = 60.0
LEAK = LeakOnTarget(stack("leak"), Verdict.LEAKING, 1.0)


def service(targets: int = 1) -> tuple[ServiceState, list[TargetState]]:
    """Return a service, and its targets, which have been watched for a while and have had no dump."""
    state = ServiceState("shop")
    for i in range(targets):
        target = TargetState(Target("shop", f"10.0.0.{i}:6060"), DetectionSettings(), state.functions)
        target.history.closed = 100
        state.targets[target.target.name] = target
    return state, list(state.targets.values())


def wanted(elapsed: float, *, grown_within: float = math.inf, leaks: float = 0, score: float = 0.0) -> bool:
    """Return whether a target wants a dump `elapsed` minutes after the last one; `score`: of a suspected stack."""
    shop, (target,) = service()
    target.history.dumps.time = NOW - elapsed * MINUTE
    target.grown_within = grown_within * MINUTE
    if score:
        target.detector.cases[Fingerprint("a")] = Case(window=P2, score=score)
    return wants_dump(target, shop, [LEAK] * round(leaks), NOW)


@pytest.mark.parametrize(
    ("reason", "pause"),
    [
        ({}, 120),
        ({"grown_within": 10}, 15),
        ({"grown_within": 160}, 27),
        ({"grown_within": 640}, 107),
        ({"leaks": 1}, 60),
        ({"leaks": 1, "grown_within": 640}, 60),
        ({"score": 0.6}, 15),
        ({"score": 0.4}, 120),
    ],
)
def test_pauses(reason: dict[str, float], pause: float) -> None:
    """The pause between two dumps depends on the reason for the next."""
    assert not wanted(pause - 1, **reason)
    assert wanted(pause, **reason)


def test_a_young_process() -> None:
    """The first dump is requested after a block."""
    shop, (target,) = service()
    target.history.closed = 0
    assert not wants_dump(target, shop, [], NOW)
    target.history.closed = 1
    assert wants_dump(target, shop, [], NOW)


def test_three_targets_of_a_service() -> None:
    """Three targets get dumps, any other only if a stack is suspected there; never more than three at a time."""
    shop, targets = service(10)
    for target in targets[:3]:
        assert wants_dump(target, shop, [], NOW)
        target.history.dumps.time = NOW - 20 * MINUTE
    fourth = targets[3]
    fourth.grown_within = 600.0
    assert not wants_dump(fourth, shop, [], NOW)
    fourth.detector.cases[Fingerprint("a")] = Case(window=P2, score=0.6)
    assert wants_dump(fourth, shop, [], NOW)
    for target in targets[:3]:
        target.history.dumps.time = NOW - 5 * MINUTE
    assert not wants_dump(fourth, shop, [], NOW)


def test_a_new_leak() -> None:
    """A leak that is newer than the latest dump needs another one soon, also with the short blocks of a demo."""
    shop, (target,) = service()
    target.history.block = 1.0
    target.history.dumps.time = NOW - 3
    target.probe_results.full_dump = FullDump(NOW - 3, {})
    assert wants_dump(target, shop, [LEAK], NOW)
    assert not wants_dump(target, shop, [LEAK], NOW - 1)
    target.probe_results.full_dump = FullDump(NOW - 3, {LEAK.stack.fingerprint: Waiting({}, {}, {})})
    assert not wants_dump(target, shop, [LEAK], NOW)
    case = Case(window=P2, verdict=Verdict.LEAKING, verdict_block=100)
    target.detector.cases[LEAK.stack.fingerprint] = case
    target.history.open_block.start = NOW - 1
    assert wants_dump(target, shop, [LEAK], NOW)
    target.probe_results.full_dump = FullDump(NOW - 1, {LEAK.stack.fingerprint: Waiting({}, {}, {})})
    assert not wants_dump(target, shop, [LEAK], NOW)
