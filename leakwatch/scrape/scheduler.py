"""Calls functions at fixed intervals. It wraps APScheduler, which no other module imports.

A late call is not dropped. A call that is due while the previous one is in progress is skipped.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from leakwatch.clock import Clock

SPREAD: Final = 0.01  # seconds per target

Run = Callable[[], Awaitable[None]]


class ClockZone(tzinfo):
    """A time zone in which the current time is that of a `Clock`.

    APScheduler reads the wall clock, by `datetime.now(timezone)` only. With this time zone it reads a clock that
    is never set, and tests provide their own clock. No other conversion to this time zone is meaningful.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def fromutc(self, _wall_time: datetime) -> datetime:
        """Return the time of the clock."""
        return datetime.fromtimestamp(self._clock.time(), UTC).replace(tzinfo=self)

    def utcoffset(self, _time: datetime | None) -> timedelta:
        """Return 0."""
        return timedelta()

    def dst(self, _time: datetime | None) -> None:
        """Return None."""

    def tzname(self, _time: datetime | None) -> str:
        """Return the name."""
        return "leakwatch"


class FixedInterval(BaseTrigger):  # type: ignore[misc]  # apscheduler ships no types
    """Due every `interval` since the first run. Missed times count as one, however many there are."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the first time after `now` that is due, given the previous one."""
        if previous is None:
            return now
        return previous + self._interval * max(1, (now - previous) // self._interval + 1)


class Scheduler:
    """Calls named functions at intervals; `clock`: its time decides when a call is due."""

    def __init__(self, clock: Clock) -> None:
        # A run that overlaps the previous one is usual for a slow target, and is part of its health.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._zone = ClockZone(clock)
        self._scheduler = AsyncIOScheduler(
            timezone=self._zone, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    def start(self) -> None:
        """Start the calls, in the running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Start no further calls."""
        self._scheduler.shutdown(wait=False)

    def every(self, name: str, interval: float, first: float, run: Run) -> None:
        """Call `run` every `interval` seconds, first in `first` seconds, instead of an earlier function `name`."""
        start = datetime.now(self._zone) + timedelta(seconds=first)
        trigger = FixedInterval(timedelta(seconds=interval))
        self._scheduler.add_job(run, trigger, id=name, replace_existing=True, next_run_time=start)

    def cancel(self, name: str) -> None:
        """Stop the calls of this name, if there are any."""
        try:
            self._scheduler.remove_job(name)
        except JobLookupError:
            return


def offset(name: str, interval: float, targets: int) -> float:
    """Return the seconds until the first scrape of the target `name`, spread by a hash.

    A single target is scraped at once. Thousands of targets are spread over the whole interval.
    """
    share = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest()) / 2**32
    return share * min(interval, SPREAD * (targets - 1))
