"""Clocks, and the delays of the event loop. No other module reads clocks."""

import asyncio
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

Result = TypeVar("Result")

HEARTBEAT: Final = 0.1  # seconds between two measurements of the lag
TURN: Final = 0.005  # seconds of work after which other tasks run
SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


thread_cpu_seconds: Final = time.thread_time
"""Returns the CPU seconds that this thread has used. An alias: each step of a scrape calls it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The time of a clock; `boot`: the id of the boot, "" if unknown, `uptime`: seconds since the boot."""

    time: float
    boot: str
    uptime: float


class Clock:
    """Unix time that advances evenly from its creation, also during steps of the wall clock and suspension."""

    def __init__(self, boot_id: Path = BOOT_ID) -> None:
        self._start = self._unix() - self._uptime()
        self._boot = boot_id.read_text().strip() if boot_id.exists() else ""

    def _uptime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def _unix(self) -> float:
        return time.time()

    def time(self) -> float:
        """Return the time, in unix seconds."""
        return self._start + self._uptime()

    def read(self) -> ClockReading:
        """Return the time, as a later process can resume it."""
        uptime = self._uptime()
        return ClockReading(time=self._start + uptime, boot=self._boot, uptime=uptime)

    def resume(self, last: ClockReading) -> None:
        """Continue the clock of an earlier process from its last reading, so that time never goes back.

        Within a boot it continues exactly, also if the wall clock was changed meanwhile. After another boot it is
        the wall clock, or the last reading if that is later.
        """
        if last.boot and last.boot == self._boot:
            self._start = last.time - last.uptime
        else:
            self._start = max(self._unix(), last.time) - self._uptime()

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
        return moment + round(self._unix() - self.time(), 1)


class CpuMeter(Generic[Result]):
    """Awaits a coroutine, and adds up the CPU seconds that the thread uses for it, without those of other tasks.

    `cpu`: CPU seconds of the thread. One step of the coroutine takes 1 µs longer.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Result], cpu: Callable[[], float]) -> None:
        self.seconds = 0.0
        self._coroutine = coroutine
        self._cpu = cpu

    def __await__(self) -> Generator[Any, Any, Result]:
        """Return the result of the coroutine."""
        step = partial(self._coroutine.send, None)
        while True:
            begin = self._cpu()
            try:
                future = step()
            except StopIteration as end:
                result: Result = end.value
                return result
            finally:
                self.seconds += self._cpu() - begin
            try:
                yield future
            except BaseException as error:  # noqa: BLE001  the coroutine handles it
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, None)


class Delays:
    """Numbers of delays by upper bound, and their sum, as a histogram of Prometheus has them."""

    BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))  # seconds

    def __init__(self) -> None:
        self.sum = 0.0
        self._counts = [0] * len(self.BOUNDS)

    def add(self, seconds: float) -> None:
        """Add a delay."""
        self.sum += seconds
        self._counts[bisect_left(self.BOUNDS, seconds)] += 1

    def cumulative(self) -> list[tuple[float, int]]:
        """Return each bound with the number of delays up to it."""
        total, result = 0, []
        for bound, count in zip(self.BOUNDS, self._counts, strict=True):
            total += count
            result.append((bound, total))
        return result


class CpuWait:
    """The time for which the thread that creates it waits for a core. It is 0 if the kernel does not report it."""

    def __init__(self, path: Path = SCHEDSTAT) -> None:
        try:
            self._file: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None

    def total(self) -> float:
        """Return the seconds so far. One call takes 2 µs."""
        return 0.0 if self._file is None else int(os.pread(self._file, 64, 0).split()[1]) / 1e9

    def close(self) -> None:
        """Close the file; the total is 0 from now on."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


class Lag:
    """The delays of the event loop. Scrapes subtract them, because the target did not cause them.

    `schedstat`: file with the time that a thread waits for a core, which may be missing.
    """

    def __init__(self, schedstat: Path = SCHEDSTAT) -> None:
        self.delays = Delays()
        """The lag of each heartbeat."""
        self._schedstat = schedstat
        self._total = 0.0
        self._expected = 0.0
        self._waited = 0.0
        """Seconds that the thread had waited for a core at the latest heartbeat."""
        self._wait: CpuWait | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start measuring the thread that calls this method; needs a running event loop."""
        self._wait = CpuWait(self._schedstat)
        self._next()

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer and self._wait:
            self._timer.cancel()
            self._wait.close()

    def total(self) -> float:
        """Return the seconds by which the event loop was late, or waited for a core, so far.

        A wait for a core between two heartbeats delays a response, but not the heartbeats. With three busy
        processes on the same core, 0.2 s of a scrape were such waits, and the lag was 0.
        """
        if not self._wait:
            return self._total
        return self._total + max(self._late(), self._wait.total() - self._waited, 0.0)

    def idle(self) -> float:
        """Return seconds that advance only while the event loop has nothing to do; needs a running event loop."""
        waited = self._wait.total() if self._wait else 0.0
        return asyncio.get_running_loop().time() - thread_cpu_seconds() - waited

    def _late(self) -> float:
        return asyncio.get_running_loop().time() - self._expected

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        self._waited = self._wait.total() if self._wait else 0.0
        self._expected = loop.time() + HEARTBEAT
        self._timer = loop.call_later(HEARTBEAT, self._beat)

    def _beat(self) -> None:
        self._total = self.total()
        self.delays.add(max(self._late(), 0.0))
        self._next()


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
