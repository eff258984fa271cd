"""Full dumps of one process: stuck and lost goroutines, known losses, other processes, missing wait times."""

import numpy as np
import pytest

from leakwatch.detect.dump_history import DumpHistory, all_goroutines
from leakwatch.detect.dumped import UNKNOWN, DumpedStack
from leakwatch.model import Fingerprint

KEY = Fingerprint("00000000000000aa")
MAIN = Fingerprint("00000000000000bb")
START = 1e9


def record(dumps: DumpHistory, minute: float, waits: dict[int, int], *, uptime: int = 1000) -> bool:
    """Record a dump with the goroutines of one stack, ID -> minutes, beside a main goroutine."""
    ids, minutes = np.array([*waits], np.int64), np.array([*waits.values()], np.int64)
    stacks = {
        KEY: DumpedStack(ids, minutes, np.zeros_like(ids)),
        MAIN: DumpedStack(np.array([1]), np.array([uptime]), np.array([0])),
    }
    return dumps.record(START + 60 * minute, stacks, all_goroutines(stacks))


def test_lost_goroutines_are_found_by_id() -> None:
    """A goroutine that ended or moved on is lost, also if others have taken its place."""
    dumps = DumpHistory()
    record(dumps, 0, {10: 6, 11: 12, 12: 20, 13: 7})
    record(dumps, 15, {10: 21, 11: 2, 13: 20, 14: 9, 15: 8})  # 11 moved on, 12 ended; 13 is late by 2 minutes
    count = dumps.records[-1].stacks[KEY]
    assert (count.stuck, count.lost) == ((4, 2), (2, 2))


def test_goroutines_of_a_stack_that_is_no_longer_stuck_are_lost() -> None:
    """If all move on at once, all are lost."""
    dumps = DumpHistory()
    record(dumps, 0, {10: 6, 11: 12, 12: 20})
    record(dumps, 15, {10: 1, 11: UNKNOWN, 12: 2})
    assert dumps.records[-1].stacks[KEY].lost == (3, 2)
    assert KEY not in dumps.waits


def test_few_stuck_goroutines_are_not_recorded() -> None:
    """Each service has stacks with a goroutine or two that wait for ever."""
    dumps = DumpHistory()
    record(dumps, 0, {10: 60, 11: 70})
    assert dumps.records[-1].stacks == {}


def test_the_known_loss_is_the_largest_fall_and_decays() -> None:
    """Stuck goroutines that were given back are remembered, and count half after three days."""
    dumps = DumpHistory()
    record(dumps, 0, dict.fromkeys(range(10, 50), 60), uptime=10_000)
    record(dumps, 60, dict.fromkeys(range(10, 20), 120), uptime=10_060)
    assert dumps.known_loss[KEY] == 30
    record(dumps, 60 + 72 * 60, dict.fromkeys(range(10, 20), 120 + 72 * 60), uptime=20_000)
    assert dumps.known_loss[KEY] == pytest.approx(15)


def test_a_process_without_garbage_collections_has_no_wait_times() -> None:
    """Without wait times nothing is recorded, and nothing is called alive."""
    dumps = DumpHistory()
    assert record(dumps, 0, {10: 6, 11: 12, 12: 20})
    assert not record(dumps, 60, {10: UNKNOWN, 11: UNKNOWN, 12: UNKNOWN}, uptime=UNKNOWN)
    assert (dumps.records, dumps.waits, dumps.liveness.by_stack) == ([], {}, {})
    assert dumps.time == START + 3600, "the next dump is not requested at once"


def test_wait_times_that_are_shorter_than_the_pause_are_not_used() -> None:
    """If no goroutine has waited since the last dump, the wait times are late, or the process is another."""
    dumps = DumpHistory()
    record(dumps, 0, {10: 6, 11: 12, 12: 20})
    assert not record(dumps, 60, {10: 6, 11: 12, 12: 20}, uptime=50)
    assert record(dumps, 75, {10: 21, 11: 27, 12: 35}, uptime=65)


def test_lower_ids_are_another_process() -> None:
    """IDs only rise, so that the dumps of another process are not compared."""
    dumps = DumpHistory()
    record(dumps, 0, {1000: 6, 1001: 12, 1002: 20})
    record(dumps, 15, {10: 30, 11: 30, 12: 30}, uptime=2000)
    assert len(dumps.records) == 1
    assert dumps.records[-1].stacks[KEY].lost == (0, 0)


def test_the_uptime_continues_after_the_dump() -> None:
    """The process has run at least since its longest wait began."""
    dumps = DumpHistory()
    assert dumps.uptime_at(START) == 0
    record(dumps, 0, {}, uptime=59)
    assert [dumps.uptime_at(START + 60 * minute) for minute in (0, 10)] == [59 * 60, 69 * 60]
    record(dumps, 10, {}, uptime=20)
    assert dumps.uptime_at(START + 600) == 69 * 60


def test_arrivals_are_known_from_one_dump() -> None:
    """The wait times show when the stuck goroutines came."""
    dumps = DumpHistory()
    record(dumps, 0, {number: 5 + 10 * number for number in range(1, 7)})
    times, levels = dumps.arrivals(KEY, 300.0)
    assert times[-1] == START - 300
    assert (np.diff(times) == 300).all()
    assert levels[-1] == 6
    assert levels[np.searchsorted(times, START - 60 * 40)] == 3
    assert levels[0] == 0


def test_old_dumps_are_dropped() -> None:
    """Records are kept for 34 hours, and the latest dump is stale after two and a half."""
    dumps = DumpHistory()
    for hour in range(0, 80, 2):
        record(dumps, 60 * hour, dict.fromkeys(range(10, 20), 60 * hour), uptime=1000 + 60 * hour)
    assert len(dumps.records) == 17
    assert not dumps.is_stale(START + 78 * 3600 + 8000)
    assert dumps.is_stale(START + 78 * 3600 + 10_000)
