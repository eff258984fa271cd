"""Clock and lag of the event loop."""

import asyncio
import time

import pytest

from leakwatch.clock import Clock, Lag


def test_lag_is_what_the_loop_was_late() -> None:
    """A loop that is held up for half a second is half a second late, whenever it is asked."""

    async def run() -> tuple[float, float, float]:
        lag = Lag()
        lag.start()
        await asyncio.sleep(0.3)
        idle = lag.total()
        time.sleep(0.5)  # noqa: ASYNC251  holding the loop up is the point
        at_once = lag.total()
        await asyncio.sleep(0.2)
        lag.stop()
        return idle, at_once, lag.total()

    idle, at_once, later = asyncio.run(run())
    assert idle < 0.2
    assert 0.3 < at_once - idle < 0.7
    assert later == pytest.approx(at_once, abs=0.2)


def test_the_clock_goes_on_evenly() -> None:
    """Time only rises, and what was noted is shown by the wall clock of now."""
    clock = Clock()
    first = clock.time()
    assert clock.time() >= first
    assert clock.wall(first) == pytest.approx(first, abs=0.5)
