"""The clock, and the lag of the event loop in virtual time."""

import asyncio
import time

import pytest

from leakwatch.clock import Clock, Lag
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


@pytest.mark.parametrize("step", [120.0, 3600.0, -120.0, -3600.0])
def test_a_step_of_the_wall_clock_does_not_move_samples(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of samples advances as before the wall clock was set; exported times follow the wall clock."""
    clock = Clock()
    before, real = clock.time(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    assert 0 <= clock.time() - before < abs(step) / 2
    assert clock.wall(before) == pytest.approx(before + step, abs=abs(step) / 2)
