"""A clock that a test advances."""

import asyncio

from leakwatch.clock import Clock


class VirtualClock(Clock):
    """A clock that stands still until `advance`, which also ends the sleeps that are over."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self.sleeps: list[float] = []
        """Seconds of each sleep so far."""
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def time(self) -> float:
        """Return the virtual time."""
        return self.now

    def stopwatch(self) -> float:
        """Return the virtual time."""
        return self.now

    def wall(self, moment: float) -> float:
        """Return `moment`: the wall clock is never set."""
        return moment

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock by `seconds`."""
        self.sleeps.append(seconds)
        sleeper = (self.now + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Advance the time, and wake each task that has slept long enough."""
        self.now += seconds
        for end, is_over in self._sleepers:
            if end <= self.now:
                is_over.set()
