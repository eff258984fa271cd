"""The state of a target as plain values: what is stored, how much, and which values are rejected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leakwatch.detect.plain import VERSION, Plain, PlainReader, SharedValues
from leakwatch.errors import ScrapeError, StateError
from leakwatch.leaks.findings import FullDump, Proof
from leakwatch.leaks.memory import MemoryMeasurement, MemoryUsage
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.sites import Functions
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Frame, Process, Target, Waiting
from leakwatch.pipeline import Pipeline
from leakwatch.profile.own_calls import HeapCaller, HeapPart, Starter
from tests.support.plain import stored, text
from tests.support.simulated import START, TARGET, samples, stack

SETTINGS = DetectionSettings()


def played(series: int = 3) -> TargetState:
    """Return the state of a target after three hours with a leak in one of so many series."""
    pipeline = Pipeline(SETTINGS)
    for minute in range(180):
        counts = {"leak": 2 + minute} | {f"idle{i}": 5 for i in range(series - 1)}
        process = Process("run1", "build1")
        pipeline.observe(pipeline.add_target(TARGET), START + minute * 60, 9, samples(counts), process)
    return pipeline.add_target(TARGET)


def restored(plain: Any, now: float = 0.0) -> TargetState:
    """Return the state of plain values after a round trip through JSON."""
    plain = stored(plain)
    shared = PlainReader.shared(plain["shared"], "shared values")
    return TargetState.from_plain(plain["target"], shared, SETTINGS, Functions(), now=now)


def to_plain(state: TargetState, now: float = 0.0) -> Plain:
    """Return the plain values of a target, and the values that it shares."""
    shared = SharedValues()
    return {"target": state.to_plain(shared, now), "shared": shared.plain}


def test_target_and_health_come_back() -> None:
    """Labels, health, totals and the process are those of the stored state."""
    state = played()
    state.target = Target("shop", TARGET.name, {"zone": "a"})
    state.health.results["timeout"] += 2
    state.health.error = "no answer"
    state.health.up = False
    new = restored(to_plain(state))
    assert (new.target.labels, new.health, new.total) == ({"zone": "a"}, state.health, 9)
    assert new.process_tracker.process == Process("run1", "build1")
    assert new.judgements == state.judgements
    assert new.judgements


def test_results_of_probes_come_back() -> None:
    """Proofs, full dumps, and the memory measurements with the costs that follow from them."""
    state, key = played(), stack("leak", "main.goleak").fingerprint
    results = state.probe_results
    results.add_proof(Proof(START, {key: 3}))
    results.add_proof(Proof(START + 60, {key: 5}))
    results.convincing.add(key)
    waiting = Waiting({None: 1, 7: 2}, {"chan send": 3}, {Frame("main.start", "/src/main.go", 4): 3})
    starter = Starter(Frame("main.dial", "/src/main.go", 7), "ancestor", 3)
    results.full_dump = FullDump(START + 60, {key: waiting}, {key: (starter,)})
    caller = HeapCaller(Frame("main.dial", "/src/main.go", 8), 4096.0, 2)
    results.heap["example.org/bus"] = HeapPart(8192.0, 300, (caller,))
    results.unavailable["memory"] = "status 404"
    for i in range(6):
        usage = MemoryUsage(stacks=1e6 + 4096 * 10 * i, resident=2e6 + 9000 * 10 * i)
        results.memory.add(MemoryMeasurement(usage, 100 + 10 * i, {key: 10 + 10 * i}))
    new = restored(to_plain(state)).probe_results
    assert (new.proof, new.first_proof, new.convincing) == (results.proof, results.first_proof, {key})
    assert (new.full_dump, new.unavailable) == (results.full_dump, results.unavailable)
    assert new.heap == results.heap
    assert new.memory.measurements == results.memory.measurements
    assert new.memory.cost_of(key) == results.memory.cost_of(key)
    assert new.memory.cost_of(key).is_measured


def test_results_of_the_first_version_come_back() -> None:
    """A document of version 1 has no callers: all other results are restored."""
    state, key = played(), stack("leak", "main.goleak").fingerprint
    state.probe_results.full_dump = FullDump(START, {key: Waiting({None: 1}, {"select": 1}, {})})
    plain = to_plain(state)
    plain["target"]["version"] = 1
    del plain["target"]["state"]["probe_results"]["heap"]
    del plain["target"]["state"]["probe_results"]["full_dump"]["starters"]
    new = restored(plain).probe_results
    assert (new.full_dump, new.heap) == (state.probe_results.full_dump, {})


def test_pauses_of_probes_go_by_the_new_stopwatch() -> None:
    """A probe waits as long as it would have waited without the restart, whatever the stopwatch shows."""
    state = played()
    state.probe_results.schedule("proof").succeeded(1000.0)
    state.probe_results.schedule("dump").failed(ScrapeError("timeout", "no answer"), 1000.0)
    state.probe_results.schedule("memory").failed(ScrapeError("status", "status 404"), 1000.0)
    results = restored(to_plain(state, 1010.0), now=5.0).probe_results
    proof, dump, memory = (results.schedule(name) for name in ("proof", "dump", "memory"))
    assert [proof.allows(now, 30.0) for now in (24.0, 25.0)] == [False, True]
    assert [dump.allows(now, 0.0) for now in (54.0, 55.0)] == [False, True]
    assert (dump.failures, dump.error) == (1, "no answer")
    assert not memory.allows(1e9, 0.0)
    assert results.schedule("never") == ProbeSchedule()


def test_lists_of_limited_length_stay_limited() -> None:
    """The starts of processes and the steps between scrapes are limited after a restart of leakwatch too."""
    new = restored(to_plain(played()))
    assert new.process_tracker._starts.maxlen is not None
    assert new.history.open_block._steps.maxlen is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.update(version=0), f"target.version is 0, not at most {VERSION}"),
        (lambda plain: plain.update(block=60.0), "target.block is '60.0', not 300.0"),
        (lambda plain: plain.update(series_limit=5), "target.series_limit is '5', not 1000"),
        (lambda plain: plain["state"].pop("target"), "target.state has no 'target'"),
        (lambda plain: plain["state"].update(total="9"), "target '10.0.0.1:6060'.total is str, not int"),
        (
            lambda plain: plain["state"]["history"]["_table"]["stacks"].pop(),
            "target '10.0.0.1:6060'.history._table._last_seen is an array <f8 (16,) of 128 bytes",
        ),
        (
            lambda plain: plain["state"]["site_detector"].update(cases=plain["state"]["detector"]["cases"]),
            "target '10.0.0.1:6060'.site_detector has cases without a series",
        ),
    ],
)
def test_other_values_are_rejected(change: Callable[[Any], Any], message: str) -> None:
    """A value of another version, of other settings or of another shape raises an error with its place."""
    plain = stored(to_plain(played()))
    change(plain["target"])
    with pytest.raises(StateError) as error:
        restored(plain)
    assert str(error.value).startswith(message)


def test_conversion_changes_nothing() -> None:
    """The state is as before, and shares no array with its plain value or with the restored state."""
    state = played()
    plain = to_plain(state)
    before, new = text(plain), restored(plain)
    new.restart()
    assert text(to_plain(state)) == before
    assert text(plain) == before


def test_the_size_of_a_series() -> None:
    """A series takes 1.5 KB for its numbers, and its stack; other values are small beside those."""
    state = played(series=1000)
    history = to_plain(state)["target"]["state"]["history"]

    def size(value: Any) -> int:
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return len(value) if isinstance(value, bytes) else sum(map(size, children))

    numbers = np.ceil(size(history) / len(state.history.rows))
    assert 1400 < numbers < 1600
    assert len(text(to_plain(state))) / len(state.history.rows) < 2 * numbers
