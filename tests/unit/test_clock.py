"""The clock, and the lag of the event loop in virtual time."""

import asyncio
from collections.abc import Iterator

import pytest

from leakwatch.clock import Clock, Lag, Turns
from tests.support.virtual_time import VirtualLoop, run_virtual


def test_lag_of_a_blocked_loop() -> None:
    """A loop that is blocked for half a second is half a second late, before and after the next heartbeat."""
    loop = VirtualLoop()

    async def run() -> list[float]:
        lag = Lag()
        lag.start()
        await asyncio.sleep(0.35)
        idle = lag.total()
        loop.block(0.5)
        blocked = lag.total()
        await asyncio.sleep(0.2)
        lag.stop()
        return [idle, blocked, lag.total()]

    assert run_virtual(loop, run()) == pytest.approx([0.0, 0.45, 0.45])


def test_time_is_monotonic() -> None:
    """The time never decreases, and differs from the wall clock only after the wall clock was set."""
    clock = Clock()
    first = clock.time()
    assert clock.time() >= first
    assert clock.wall(first) == pytest.approx(first, abs=0.5)


def test_turns_of_long_work() -> None:
    """Another task runs after each 5 ms of work, not after each step."""
    loop = VirtualLoop()

    async def run() -> int:
        ran, done = 0, 0

        async def other() -> None:
            nonlocal ran
            while True:
                await asyncio.sleep(0)
                ran += 1

        def steps() -> Iterator[None]:
            nonlocal done
            while done < 12:
                done += 1
                loop.block(0.002)
                yield

        task = asyncio.create_task(other())
        await Turns().run(steps())
        task.cancel()
        assert done == 12
        return ran

    assert run_virtual(loop, run()) in {3, 4}
