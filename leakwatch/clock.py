"""What time it is, evenly; and how late we are. The only place that reads clocks."""

import asyncio
import time

HEARTBEAT = 0.1  # seconds


def thread_seconds() -> float:
    """Return the seconds of a core that this thread has used."""
    return time.thread_time()


class Clock:
    """Unix seconds that go on evenly from when it was made, through clock steps and through a laptop's sleep."""

    def __init__(self) -> None:
        self._start = time.time() - self._elapsed()

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return self._start + self._elapsed()

    def stopwatch(self) -> float:
        """Return seconds that stand still while the machine sleeps: for how long something took."""
        return time.monotonic()

    def wall(self, moment: float) -> float:
        """Return `moment` as the wall clock, which may have been set since, shows it: to a tenth of a second.

        Evenly, so that what is exported does not change by microseconds each time.
        """
        return moment + round(time.time() - self.time(), 1)

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await asyncio.sleep(seconds)

    @staticmethod
    def _elapsed() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lag:
    """For how long, in all, the event loop was late: time that a scrape took because of us, not of its target."""

    def __init__(self) -> None:
        self._total = 0.0
        self._expected = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to listen to the loop's heartbeat."""
        loop = asyncio.get_running_loop()
        self._expected = loop.time() + HEARTBEAT
        self._timer = loop.call_later(HEARTBEAT, self._beat)

    def stop(self) -> None:
        """Listen no more."""
        if self._timer:
            self._timer.cancel()

    def total(self) -> float:
        """Return the seconds so far."""
        overdue = asyncio.get_running_loop().time() - self._expected if self._timer else 0.0
        return self._total + max(overdue, 0.0)

    def _beat(self) -> None:
        self._total = self.total()
        self.start()
