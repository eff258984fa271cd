"""A clock that a test moves, a wait for a state, and a run with its log."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from structlog.testing import capture_logs

from leakwatch.clock import Clock, ClockReading

START = 1_700_000_000.0
HANG = 300.0  # seconds; a test that waits longer has hung


class ManualClock(Clock):
    """A clock that stands still until `advance`; `wall_offset`: seconds by which the wall clock is ahead."""

    def __init__(self, start: float = START, wall_offset: float = 0.0) -> None:
        self.now = start
        self.wall_offset = wall_offset
        super().__init__()
        self.sleeps: list[float] = []
        """Seconds of each sleep so far."""
        self._sleepers: dict[asyncio.Future[None], float] = {}

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return self.now

    def stopwatch(self) -> float:
        """Return the time, in seconds."""
        return self.now

    def read(self) -> ClockReading:
        """Return the time, as a later process can resume it."""
        return ClockReading(time=self.now, boot="", uptime=0.0)

    def resume(self, last: ClockReading) -> None:
        """Continue from the last reading of another clock."""
        self.now = max(self.now, last.time)

    def wall(self, moment: float) -> float:
        """Return `moment` by the wall clock."""
        return moment + self.wall_offset

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was advanced by `seconds`."""
        self.sleeps.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = self.now + seconds
        try:
            await sleeper
        finally:
            self._sleepers.pop(sleeper, None)

    def advance(self, seconds: float) -> None:
        """Move the clock, and wake the tasks that have slept long enough."""
        self.now += seconds
        for sleeper, deadline in [*self._sleepers.items()]:
            if deadline <= self.now:
                del self._sleepers[sleeper]
                if not sleeper.done():  # a sleeper that was cancelled just now
                    sleeper.set_result(None)

    async def sleeping(self, tasks: int = 1) -> None:
        """Return when exactly so many tasks sleep."""
        await until(lambda: len(self._sleepers) == tasks)


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition` is true; raise TimeoutError if the test hangs."""
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110  the condition may depend on threads
            await asyncio.sleep(0.005)


def run_logged(main: Callable[[], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """Run a coroutine function; return what it logged. Raise TimeoutError if the test hangs."""
    with capture_logs() as lines:
        asyncio.run(asyncio.wait_for(main(), HANG))
    return [dict(line) for line in lines]
