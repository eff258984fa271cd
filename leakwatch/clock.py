"""Clocks, and the lag of the event loop. No other module reads clocks."""

import asyncio
import time
from collections.abc import Iterable

HEARTBEAT = 0.1  # seconds between two measurements of the lag
TURN = 0.005  # seconds of work after which other tasks run


def thread_cpu_seconds() -> float:
    """Return the CPU seconds that this thread has used."""
    return time.thread_time()


class Clock:
    """Unix time that advances evenly from its creation, also during steps of the wall clock and suspension."""

    def __init__(self) -> None:
        self._start = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return self._start + time.clock_gettime(time.CLOCK_BOOTTIME)

    def stopwatch(self) -> float:
        """Return seconds for measuring durations. They do not advance while the machine is suspended."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        await asyncio.sleep(seconds)

    def wall(self, moment: float) -> float:
        """Return `moment`, a result of `time`, as unix seconds of the current wall clock.

        The difference of the two clocks is rounded to 0.1 s. Otherwise exported times would change at each call.
        """
        return moment + round(time.time() - self.time(), 1)


class Lag:
    """The total lag of the event loop. Scrapes subtract it, because the target did not cause it."""

    def __init__(self) -> None:
        self._total = 0.0
        self._expected = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start measuring; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._expected = loop.time() + HEARTBEAT
        self._timer = loop.call_later(HEARTBEAT, self._beat)

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer:
            self._timer.cancel()

    def total(self) -> float:
        """Return the lag so far, in seconds."""
        overdue = asyncio.get_running_loop().time() - self._expected if self._timer else 0.0
        return self._total + max(overdue, 0.0)

    def _beat(self) -> None:
        self._total = self.total()
        self.start()


class Turns:
    """Divides long work of one task into turns, between which other tasks run. Needs a running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()

    async def run(self, steps: Iterable[object]) -> None:
        """Do the work of `steps`."""
        for _ in steps:
            await self.pause()

    async def pause(self) -> None:
        """Let other tasks run if the turn has lasted for TURN seconds. A step before a pause lasts up to 15 ms."""
        if self._loop.time() - self._begin >= TURN:
            await asyncio.sleep(0)
            self._begin = self._loop.time()
