"""Runs something every so often, by APScheduler: the only place that knows it.

A run that is late is late, never dropped; a run that is not over when the next is due skips it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from leakwatch.clock import Clock

WATCH_CLOCK = 30.0  # seconds
STEP = 2.0  # seconds
SPREAD = 0.01  # seconds per target

Run = Callable[[], Awaitable[None]]


class Every(BaseTrigger):  # type: ignore[misc]  # apscheduler ships no types
    """Due each interval, at the same offset; counts what was missed instead of listing it, be it a month."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return when it is due after `previous`, which is the first after `now`."""
        if previous is None:
            return now
        return previous + self._interval * max(1, (now - previous) // self._interval + 1)


class Scheduler:
    """Interval jobs by name."""

    def __init__(self, clock: Clock) -> None:
        # A run that overlaps the one before is normal for a slow target: the health of the target tells it.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._clock = clock
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._step = clock.wall(0.0)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start running; needs the event loop."""
        self._scheduler.start()
        self._watch_clock()

    def stop(self) -> None:
        """Stop running; what runs is cancelled with the loop."""
        if self._timer:
            self._timer.cancel()
        self._scheduler.shutdown(wait=False)

    def every(self, name: str, interval: float, offset: float, run: Run) -> None:
        """Run every `interval` seconds, the first time in `offset` seconds."""
        start = datetime.now(UTC) + timedelta(seconds=offset)
        trigger = Every(timedelta(seconds=interval))
        self._scheduler.add_job(run, trigger, id=name, replace_existing=True, next_run_time=start)

    def cancel(self, name: str) -> None:
        """Run it no more."""
        try:
            self._scheduler.remove_job(name)
        except JobLookupError:
            return

    def _watch_clock(self) -> None:
        """Bring all jobs along when somebody sets the wall clock, by which APScheduler waits."""
        self._timer = asyncio.get_running_loop().call_later(WATCH_CLOCK, self._watch_clock)
        step = self._clock.wall(0.0)
        if abs(step - self._step) < STEP:
            return
        moved = timedelta(seconds=step - self._step)
        self._step = step
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=max(job.next_run_time + moved, datetime.now(UTC)))


def offset(name: str, interval: float, targets: int) -> float:
    """Return when, in seconds, the first scrape of `name` is due: spread by hash, over no longer than needed.

    One target is scraped at once; thousands are spread over the whole interval.
    """
    share = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest()) / 2**32
    return share * min(interval, SPREAD * (targets - 1))
