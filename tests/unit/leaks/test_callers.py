"""Callers of leaks without own code: by labels, full dumps, the heap profile and other stacks; their order."""

import pytest

from leakwatch.leaks.callers import CLEAR_OBJECTS, is_clear
from leakwatch.leaks.findings import FullDump
from leakwatch.leaks.model import Caller, Certainty, Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Frame, Sample, Target, Trace, Waiting
from leakwatch.pipeline import Pipeline
from leakwatch.profile.own_calls import (
    ANCESTOR,
    CREATOR,
    FAR_ANCESTOR,
    PARENT,
    PARENT_INSIDE,
    HeapCaller,
    HeapPart,
    Starter,
)
from leakwatch.profile.stacks import Identifier
from tests.support.simulated import START, TARGET

BUS = "example.org/bus"
IDENTIFIER = Identifier()
LEAKED = IDENTIFIER.stack(Trace((Frame(f"{BUS}.(*Client).loop", f"/go/pkg/mod/{BUS}@v1.0.0/bus.go", 7),)))
OPEN = Frame(f"{BUS}.Open", f"/go/pkg/mod/{BUS}@v1.0.0/bus.go", 3)
READ_LOOP = IDENTIFIER.stack(
    Trace((Frame("net/http.(*persistConn).readLoop", "/usr/local/go/src/net/http/t.go", 1),))
)
DO = Frame("net/http.(*Client).Do", "/usr/local/go/src/net/http/client.go", 2)


def own(name: str) -> Frame:
    """Return a frame of own code."""
    return Frame(f"main.{name}", "/src/main.go", 4)


def leaking(*others: Trace, leaked: Trace | None = None, targets: int = 1) -> Pipeline:
    """Return a pipeline after three hours in which a library leaks, beside other stacks that come and go."""
    pipeline = Pipeline(DetectionSettings())
    stack = pipeline.identifier.stack(leaked or Trace(LEAKED.frames))
    for minute in range(180):
        for number in range(targets):
            state = pipeline.add_target(Target("shop", f"10.0.0.{1 + number}:6060"))
            samples = {stack.fingerprint: Sample(stack, 2 + minute)}
            for other in others if minute % 9 == 0 else ():
                seen = pipeline.identifier.stack(other)
                samples[seen.fingerprint] = Sample(seen, 1)
            pipeline.observe(state, START + minute * 60, 2 + minute, samples)
    return pipeline


def leak_of(pipeline: Pipeline) -> Leak:
    """Return the only open leak, built from the latest results."""
    for state in pipeline.targets.values():
        pipeline.probe_recorded(state)
    (leak,) = pipeline.open_leaks()
    return leak


def state_of(pipeline: Pipeline) -> TargetState:
    """Return the state of the first target."""
    return pipeline.add_target(TARGET)


def names(leak: Leak) -> list[tuple[str, str, str]]:
    """Return way, certainty and function or value of each caller."""
    return [
        (caller.way, caller.certainty, caller.function.function if caller.function else caller.value)
        for caller in leak.callers
    ]


def dumped(*starters: Starter, goroutines: int = 10) -> FullDump:
    """Return a full dump with the starters of the leak's goroutines."""
    key = LEAKED.fingerprint
    return FullDump(START, {key: Waiting({}, {"select": goroutines}, {})}, {key: starters})


def test_a_leak_without_any_result_has_no_caller() -> None:
    """Without evidence there is not any caller."""
    assert leak_of(leaking(Trace((own("idle"),)))).callers == ()


def test_own_code_needs_no_caller() -> None:
    """The stack of a leak with own code names it already: the results of the probes are not shown."""
    pipeline = leaking(leaked=Trace((OPEN, own("wait"))))
    state_of(pipeline).probe_results.heap[BUS] = HeapPart(10.0, 5, (HeapCaller(own("dial"), 10.0, 9),))
    assert leak_of(pipeline).callers == ()


@pytest.mark.parametrize(
    ("relation", "way", "certainty"),
    [
        (CREATOR, "creator", "certain"),
        (ANCESTOR, "ancestors", "certain"),
        (FAR_ANCESTOR, "ancestors", "likely"),
        (PARENT_INSIDE, "creator", "likely"),
        (PARENT, "creator", "possible"),
    ],
)
def test_a_full_dump_names_the_caller(relation: str, way: str, certainty: Certainty) -> None:
    """Own code that started the goroutines is certain if it is an ancestor or the creator itself."""
    pipeline = leaking()
    state_of(pipeline).probe_results.full_dump = dumped(
        Starter(own("dial"), relation, 9), Starter(own("rare"), relation, 0)
    )
    leak = leak_of(pipeline)
    assert names(leak) == [(way, certainty, "main.dial")]
    assert leak.callers[0].share == 0.9


@pytest.mark.parametrize(
    ("sizes", "objects", "certainty"),
    [((60.0, 40.0), CLEAR_OBJECTS, "likely"), ((59.0, 41.0), 9, "possible"), ((90.0, 10.0), 4, "possible")],
)
def test_the_heap_names_the_caller(sizes: tuple[float, float], objects: int, certainty: str) -> None:
    """A caller is likely with 60 % of the bytes and 5 samples: with fewer, chance decides."""
    pipeline = leaking()
    callers = HeapCaller(own("dial"), sizes[0], objects), HeapCaller(own("other"), sizes[1], objects)
    part = state_of(pipeline).probe_results.heap[BUS] = HeapPart(100.0, 5, callers)
    state_of(pipeline).probe_results.heap["example.org/else"] = HeapPart(1.0, 5, (HeapCaller(own("no"), 1.0, 9),))
    leak = leak_of(pipeline)
    assert names(leak) == [("heap", certainty, "main.dial"), ("heap", "possible", "main.other")]
    assert [caller.share for caller in leak.callers] == [sizes[0] / 100, sizes[1] / 100]
    assert (leak.callers[0].part, is_clear(part)) == (BUS, certainty == "likely")


def test_heap_profiles_of_all_targets_are_added() -> None:
    """Few samples on each of several targets are enough together."""
    pipeline = leaking(targets=2)
    for name, state in zip("ab", pipeline.targets.values(), strict=True):
        callers = HeapCaller(own("dial"), 90.0, 3), HeapCaller(own(name), 10.0, 1)
        state.probe_results.heap[BUS] = HeapPart(100.0, 5, callers)
    leak = leak_of(pipeline)
    assert names(leak) == [("heap", "likely", "main.dial")]
    assert leak.callers[0].share == 0.9


def test_a_heap_profile_without_bytes_names_nobody() -> None:
    """A record of live objects of zero bytes, which no Go process writes, has no shares."""
    pipeline = leaking()
    state_of(pipeline).probe_results.heap[BUS] = HeapPart(0.0, 5, (HeapCaller(own("dial"), 0.0, 9),))
    assert names(leak_of(pipeline)) == []


def test_net_http_is_called_by_healthy_code_too() -> None:
    """Memory and calls of parts of the standard library are only a hint."""
    pipeline = leaking(Trace((DO, own("poll"))), leaked=Trace(READ_LOOP.frames))
    state_of(pipeline).probe_results.heap["net/http"] = HeapPart(10.0, 5, (HeapCaller(own("dial"), 10.0, 9),))
    leak = leak_of(pipeline)
    assert names(leak) == [("heap", "possible", "main.dial"), ("seen", "possible", "main.poll")]
    assert [caller.is_weak for caller in leak.callers] == [True, True]


def test_calls_that_were_seen_in_passing() -> None:
    """Own code that was just then inside the module is possible; own code elsewhere is not."""
    inside = Trace((Frame("net.(*conn).Read"), OPEN, own("dial")))
    beside = Trace((Frame("net.(*conn).Read"), DO, own("poll")))
    above = Trace((DO, own("poll"), OPEN))
    leak = leak_of(leaking(inside, beside, above))
    assert leak.callers == (Caller(way="seen", certainty="possible", function=own("dial"), part=BUS),)


def test_labels_of_the_goroutines() -> None:
    """The most specific key counts: its values with their shares of all goroutines of the leak."""
    pipeline = leaking()
    key, state = LEAKED.fingerprint, state_of(pipeline)
    count = state.count(key)
    state.labels = {key: {("route", "/a"): count, ("span_name", "GET /a"): count - 5, ("span_name", "GET /b"): 5}}
    (caller,) = leak_of(pipeline).callers
    assert (caller.way, caller.certainty, caller.label, caller.value) == (
        "labels",
        "likely",
        "span_name",
        "GET /a",
    )
    assert caller.share == (count - 5) / count
    assert caller.function is None
    state.labels = {key: {("route", "/a"): count // 2, ("route", "/b"): count // 3}}
    assert names(leak_of(pipeline)) == [("labels", "possible", "/a"), ("labels", "possible", "/b")]


def test_the_best_caller_comes_first() -> None:
    """Certain before likely before possible; a function that several ways name occurs once; five are kept."""
    pipeline = leaking(*(Trace((OPEN, own(name))) for name in ("dial", "seen")))
    key, state = LEAKED.fingerprint, state_of(pipeline)
    state.labels = {key: {("route", "/a"): 9999}}
    callers = HeapCaller(own("dial"), 80.0, 9), HeapCaller(own("x"), 15.0, 9), HeapCaller(own("z"), 5.0, 1)
    state.probe_results.heap[BUS] = HeapPart(100.0, 5, callers)
    assert names(leak_of(pipeline)) == [
        ("heap", "likely", "main.dial"),
        ("labels", "likely", "/a"),
        ("heap", "possible", "main.x"),
        ("seen", "possible", "main.seen"),
    ]
    started = Starter(own("y"), PARENT, 5), Starter(own("start"), ANCESTOR, 5)
    state.probe_results.full_dump = dumped(*started)
    assert names(leak_of(pipeline)) == [
        ("ancestors", "certain", "main.start"),
        ("heap", "likely", "main.dial"),
        ("labels", "likely", "/a"),
        ("creator", "possible", "main.y"),
        ("heap", "possible", "main.x"),
    ]


def test_a_restart_drops_the_callers() -> None:
    """The results belong to a process: the next one may be another build."""
    pipeline = leaking()
    state = state_of(pipeline)
    state.labels = {LEAKED.fingerprint: {("route", "/a"): 9999}}
    state.probe_results.heap[BUS] = HeapPart(10.0, 5, (HeapCaller(own("dial"), 10.0, 9),))
    assert len(leak_of(pipeline).callers) == 2
    pipeline.restart(state, START + 4 * 3600)
    assert state.probe_results.heap == {}
    assert leak_of(pipeline).callers == ()
