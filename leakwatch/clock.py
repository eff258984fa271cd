"""The daemon's time, and the lag of its event loop. No other module reads clocks."""

import asyncio
import time

HEARTBEAT = 0.1  # seconds between two measurements of the lag


def thread_seconds() -> float:
    """Return the CPU seconds that this thread has used."""
    return time.thread_time()


class Clock:
    """A clock of unix seconds that is never set: it includes the time of a suspend, and ignores clock steps."""

    def __init__(self) -> None:
        self._start = time.time() - self._elapsed()

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return self._start + self._elapsed()

    def stopwatch(self) -> float:
        """Return monotonic seconds that do not include the time of a suspend, to measure durations."""
        return time.monotonic()

    def wall(self, moment: float) -> float:
        """Return the time `moment` by the wall clock, which may have been set since.

        The difference is rounded to 0.1 s, so that exported times do not change by microseconds at each request.
        """
        return moment + round(time.time() - self.time(), 1)

    @staticmethod
    def _elapsed() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lag:
    """Total lag of the event loop: the part of the duration of a scrape that is not work of the target."""

    def __init__(self) -> None:
        self._total = 0.0
        self._expected = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the heartbeat in the running event loop."""
        loop = asyncio.get_running_loop()
        self._expected = loop.time() + HEARTBEAT
        self._timer = loop.call_later(HEARTBEAT, self._beat)

    def stop(self) -> None:
        """Stop the heartbeat."""
        if self._timer:
            self._timer.cancel()

    def total(self) -> float:
        """Return the total lag so far, in seconds."""
        overdue = asyncio.get_running_loop().time() - self._expected if self._timer else 0.0
        return self._total + max(overdue, 0.0)

    def _beat(self) -> None:
        self._total = self.total()
        self.start()
