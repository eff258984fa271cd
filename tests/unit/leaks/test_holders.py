"""Holders: what the goroutines of a leak wait for."""

from collections.abc import Mapping

import pytest

from leakwatch.detect.history import History
from leakwatch.leaks.holders import holders
from leakwatch.model import Sample, Stack
from tests.support.simulated import INTERVAL, START
from tests.support.stacks import IDENTIFIER, stack_of

GAUGE = "example.com/shop/stats.(*Gauge)"
READER = stack_of("sync.(*RWMutex).RLock", f"{GAUGE}.Read", wait="sync.RWMutex.RLock")
SLOW = stack_of("net/http.(*Client).do", f"{GAUGE}.Slow")
SENDER = stack_of("example.com/shop/stats.(*Sender).Put", "example.com/shop/web.handle", wait="chan send")
LOOP = stack_of("net/http.(*Client).do", "example.com/shop/stats.(*Sender).loop")
OTHER = stack_of("example.com/shop/stats.report", wait="sleep")
ELSEWHERE = stack_of("example.com/shop/web.serve", wait="IO wait")


def history_of(counts: Mapping[Stack, tuple[int, int]]) -> History:
    """Return a history in which the number of each stack alternates between two values for four blocks."""
    history = History(300.0)
    for number in range(int(4 * 300 / INTERVAL) + 2):
        samples = {
            stack.fingerprint: Sample(stack, pair[number % 2])
            for stack, pair in counts.items()
            if pair[number % 2]
        }
        history.record(START + number * INTERVAL, samples)
    return history


def found(waiting: Stack, counts: Mapping[Stack, tuple[int, int]]) -> list[tuple[str, int]]:
    """Return function and goroutines of the holders of a leak."""
    result = holders([waiting], [history_of(counts)], IDENTIFIER.is_own)
    return [(holder.stack.blamed.function, holder.goroutines) for holder in result]


def test_the_holder_of_a_lock() -> None:
    """A goroutine inside a method of the same receiver that does not move is the holder."""
    counts = {READER: (40, 41), SLOW: (1, 1), OTHER: (1, 1), ELSEWHERE: (2, 2)}
    assert found(READER, counts) == [(f"{GAUGE}.Slow", 1)]


def test_a_receiver_that_stalls() -> None:
    """The receiver of a channel is in the same package, or has the same receiver."""
    assert found(SENDER, {SENDER: (40, 41), LOOP: (1, 1)}) == [("example.com/shop/stats.(*Sender).loop", 1)]
    assert found(SENDER, {SENDER: (40, 41), OTHER: (3, 3)}) == [("example.com/shop/stats.report", 3)]


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param({SLOW: (4, 4)}, id="too many"),
        pytest.param({SLOW: (1, 2)}, id="moves"),
        pytest.param({SLOW: (0, 1)}, id="comes and goes"),
        pytest.param({ELSEWHERE: (1, 1)}, id="another package"),
        pytest.param({}, id="the holder is gone"),
    ],
)
def test_goroutines_that_hold_nothing(counts: Mapping[Stack, tuple[int, int]]) -> None:
    """Only one to three goroutines of the same receiver or package that do not move can be the holder."""
    assert found(READER, {READER: (40, 41), **counts}) == []


def test_the_one_call_of_a_singleflight() -> None:
    """Callers of a singleflight group wait for the goroutine that runs the call, in whatever package."""
    group = "golang.org/x/sync/singleflight.(*Group)"
    waiting = stack_of("sync.(*WaitGroup).Wait", f"{group}.Do", "main.load", wait="sync.WaitGroup.Wait")
    running = stack_of("net/http.(*Client).do", "main.fetch", f"{group}.doCall", f"{group}.Do", "main.load")
    assert found(waiting, {waiting: (40, 40), running: (1, 1), ELSEWHERE: (1, 1)}) == [("main.fetch", 1)]


def test_waits_without_a_holder() -> None:
    """A goroutine that waits for the network waits for no other goroutine."""
    assert found(SLOW, {SLOW: (40, 41), OTHER: (1, 1)}) == []
