"""Starts due scrapes in order and a few at a time, and reports whether leakwatch is overloaded.

Without a limit, all due scrapes start at once, and their timeouts run while leakwatch processes the others. With
more targets than a core can scrape, most scrapes then fail although the services answer. With the limit, every
target is scraped at a longer interval instead, because scrapes start in the order in which they became due.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from leakwatch.clock import CpuMeter, Delays

log = structlog.get_logger()

SLOTS: Final = 8
"""With 4,000 targets on 0.1 to 0.4 of a core, 92 % and 100 % of the scrapes failed in two runs without a limit.

25 and 0 scrapes failed in two runs with 32 slots, none in two runs with 2, and 1 in six runs with 8. The load of
the machine differed, so the runs do not show which of these numbers is best. A scrape takes 3-8 ms of CPU, so 8
slots take at most 0.6 s with a tenth of a core, far below the timeout.
"""
SMOOTH: Final = 100  # scrapes of the moving average
SHORTEST: Final = 0.005  # seconds between two checks of a slot

PERIOD: Final = 60.0  # seconds between two calls of `judge`
MISSED: Final = 0.01  # share of the due scrapes
BEGINS: Final = 2  # periods in a row
ENDS: Final = 5  # periods in a row


@dataclass(frozen=True, slots=True)
class Started:
    """A scrape that has ended.

    `missed`: scrapes of the target that were due meanwhile, because this one had to wait; `cpu`: CPU seconds of
    leakwatch.
    """

    missed: int
    cpu: float


class StartQueue:
    """Runs a scrape when one of SLOTS slots is free; the first to wait is the first to start.

    A scrape gives up its slot when the event loop has been idle for as long as it takes to process one scrape. So
    targets that answer slowly, or not at all, do not delay the others. If targets answer after L seconds,
    leakwatch waits for responses that take at most SLOTS x L seconds to process.

    `stopwatch`: seconds; `idle`: seconds that advance only while the event loop is idle; `cpu`: CPU seconds of the
    thread.
    """

    def __init__(
        self, stopwatch: Callable[[], float], *, idle: Callable[[], float], cpu: Callable[[], float]
    ) -> None:
        self.delays = Delays()
        """Times between due and start of the scrapes."""
        self.missed = 0
        """Due scrapes that were skipped because the previous one of the target waited to start, so far."""
        self.overloaded = False
        """Whether leakwatch has more targets than it can scrape at their intervals."""
        self._stopwatch = stopwatch
        self._idle = idle
        self._cpu = cpu
        self._slots = asyncio.Semaphore(SLOTS)
        self._mean_cpu = 0.0
        """CPU seconds of a scrape: moving average."""
        self._ended = 0
        self._judged = (0, 0)
        """Ended and missed scrapes at the latest call of `judge`."""
        self._periods = 0
        """Periods in a row that contradict `overloaded`."""

    async def run(self, interval: float, scrape: Callable[[], Coroutine[Any, Any, None]]) -> Started:
        """Wait for a slot, then scrape; `interval`: seconds between two due scrapes of the target."""
        due = self._stopwatch()
        await self._slots.acquire()
        begin = self._stopwatch()
        slot = _Slot(self._slots, self._idle, max(self._mean_cpu, SHORTEST))
        meter = CpuMeter(scrape(), self._cpu)
        try:
            await meter
        finally:
            slot.release()
        end = self._stopwatch()
        self.delays.add(begin - due)
        missed = int((end - due) // interval) - int((end - begin) // interval)
        self.missed += missed
        self._ended += 1
        self._mean_cpu += (meter.seconds - self._mean_cpu) / SMOOTH
        return Started(missed, meter.seconds)

    def judge(self) -> None:
        """Judge a period: set `overloaded`, and log when it changes."""
        ended, missed = self._ended - self._judged[0], self.missed - self._judged[1]
        self._judged = self._ended, self.missed
        over = missed > MISSED * (ended + missed)
        self._periods = self._periods + 1 if over != self.overloaded else 0
        if self._periods < (ENDS if self.overloaded else BEGINS):
            return
        self.overloaded, self._periods = over, 0
        if over:
            share = round(missed / (ended + missed), 2)
            log.warning("overloaded, scrapes are late: watch fewer targets or add a shard", missed_ratio=share)
        else:
            log.info("no longer overloaded")


class _Slot:
    """A slot of a scrape. It is released once: at the end, or when `idle` has advanced by `patience` seconds."""

    def __init__(self, slots: asyncio.Semaphore, idle: Callable[[], float], patience: float) -> None:
        self._slots = slots
        self._idle = idle
        self._until = idle() + patience
        self._timer: asyncio.TimerHandle | None = None
        self._wait(patience)

    def release(self) -> None:
        """Free the slot, unless the scrape has given it up."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
            self._slots.release()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(seconds, SHORTEST), self._check)

    def _check(self) -> None:
        remaining = self._until - self._idle()
        if remaining > 0:  # the event loop was busy meanwhile
            self._wait(remaining)
        else:
            self.release()
