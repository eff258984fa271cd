"""Restarts: a process that reports its start, one that does not, and several that answer in turn."""

from collections.abc import Mapping, Sequence

import pytest

from leakwatch.detect.history import History
from leakwatch.detect.restarts import MIXED, ProcessTracker, has_fallen
from leakwatch.model import Process
from tests.support.blocks import BLOCK, Counts, line, record
from tests.support.simulated import samples

A, B, C = Process("a", "1"), Process("b", "1"), Process("c", "2")
UNKNOWN = Process("d")


def track(tracker: ProcessTracker, processes: Sequence[Process | None], step: float = 15.0) -> list[bool]:
    """Return whether each of these processes is another one than before."""
    history = History(BLOCK)
    return [tracker.changed(i * step, process, history, {}) for i, process in enumerate(processes)]


@pytest.mark.parametrize(
    ("processes", "changes", "mixed"),
    [
        pytest.param([A, A, A], [False, False, False], False, id="the same"),
        pytest.param([A, B, B], [False, True, False], False, id="a restart"),
        pytest.param([A, B, A], [False, True, True], True, id="an earlier process answers again"),
        pytest.param([A, None, A], [False, False, False], False, id="unknown for one scrape"),
        pytest.param([None, A], [False, False], False, id="known at last"),
    ],
)
def test_changes(processes: Sequence[Process | None], changes: list[bool], *, mixed: bool) -> None:
    """A process with another start is a restart; an earlier start means several processes."""
    tracker = ProcessTracker()
    assert track(tracker, processes) == changes
    assert tracker.mixed is mixed


def test_a_target_is_mixed_for_an_hour() -> None:
    """An hour after an earlier process answered again, the target is judged again."""
    tracker = ProcessTracker()
    history = History(BLOCK)
    for time, process in ((0.0, A), (15.0, B), (30.0, A), (30 + MIXED - 1, A)):
        tracker.changed(time, process, history, {})
    assert tracker.mixed
    tracker.changed(30 + MIXED, A, history, {})
    assert not tracker.mixed


@pytest.mark.parametrize(
    ("processes", "build", "rebuilt"),
    [([A, B], "1", False), ([A, C], "2", True), ([A, UNKNOWN], "1", False), ([A, UNKNOWN, C], "2", True)],
)
def test_builds(processes: Sequence[Process], build: str, *, rebuilt: bool) -> None:
    """A restart with another build is a deploy; a process without a build has the last known one."""
    tracker = ProcessTracker()
    track(tracker, processes)
    assert (tracker.build, tracker.rebuilt) == (build, rebuilt)


@pytest.mark.parametrize("early", [False, True])
def test_a_replacement_compares_its_build(early: bool) -> None:
    """A replacement is rebuilt if its build differs from that of the old target, whenever it becomes known."""
    old, new = ProcessTracker(), ProcessTracker()
    track(old, [A])
    if early:
        track(new, [C])
        new.take_over(old)
    else:
        new.take_over(old)
        track(new, [C])
    assert (new.build, new.rebuilt) == ("2", True)


MOVING = {name: line(20, 1, 24) for name in "abcd"}
SWINGS = {name: [50 + 30 * (i % 2) for i in range(24 * 5 + 1)] for name in "abcd"}
BUSY = {"a": line(3, 1, 24), "b": [50 + 30 * (i % 2) for i in range(24 * 5 + 1)]}


@pytest.mark.parametrize(
    ("before", "after", "fallen"),
    [
        pytest.param(MOVING, {"a": 4, "b": 4, "c": 4, "d": 4}, True, id="all moving stacks fell"),
        pytest.param(MOVING, {"a": 4, "b": 4, "c": 4, "d": 44}, False, id="three of four fell"),
        pytest.param(MOVING, {"a": 30, "b": 30, "c": 30, "d": 30}, False, id="all fell by less than half"),
        pytest.param(MOVING, {"a": 44, "b": 44, "c": 44, "d": 44}, False, id="nothing fell"),
        pytest.param(BUSY, {"a": 3, "b": 80}, True, id="a stack that only gained lost all"),
        pytest.param(BUSY, {"a": 20, "b": 80}, False, id="a stack that only gained lost some"),
        pytest.param(BUSY, {"a": 27, "b": 0}, False, id="a busy stack fell"),
        pytest.param(SWINGS, dict.fromkeys("abcd", 10), True, id="busy stacks fell"),
        pytest.param(
            {**SWINGS, "e": line(2000, 0, 24)},
            {**dict.fromkeys("abcd", 10), "e": 2000},
            False,
            id="the total stays",
        ),
        pytest.param({"a": line(2, 0, 24)}, {}, False, id="a small total"),
    ],
)
def test_counts_that_fall(before: Mapping[str, Counts], after: Mapping[str, int], *, fallen: bool) -> None:
    """Without an identity, the fall of most moving stacks, or of all that only gained, is a restart."""
    history = History(BLOCK)
    record(history, before)
    assert has_fallen(history, samples(after)) is fallen
    tracker = ProcessTracker()
    tracker.process = A
    assert tracker.changed(0.0, None, history, samples(after)) is fallen
    assert tracker.process is (None if fallen else A)


def test_no_block_no_fall() -> None:
    """Before the first block closes, there are no counts to compare with."""
    history = History(BLOCK)
    record(history, {"a": [100, 100]})
    assert not has_fallen(history, {})
