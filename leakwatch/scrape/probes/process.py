"""Identifies the process of a target with a request of 250 bytes.

The table of mappings in `threadcreate?debug=0` has the address of the [vdso], which differs between two starts of
a program. From Go 1.24 on, it also has the build.
"""

from typing import Final

from leakwatch.errors import ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.model import Process
from leakwatch.profile import proto

NAME: Final = "process"
SIZE_LIMIT: Final = 1 << 20
PAUSE: Final = 60.0  # seconds between requests over the same connection
FELL: Final = 0.8  # share of the previous total below which the process may have restarted
LEAST: Final = 10  # goroutines; a smaller fall is ignored


class ProcessProbe:
    """Requests the process when it may have changed; `fetcher`: of the thread profile."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def is_due(
        self, schedule: ProbeSchedule, now: float, *, before: int, total: int, new_connection: bool
    ) -> bool:
        """Return whether the process may have changed, given the totals of the previous and the latest profile."""
        if new_connection:
            return True
        if total <= FELL * before and before - total >= LEAST:  # also after a lasting failure, of another process
            return now >= schedule.last_request_at + PAUSE
        return schedule.failures > 0 and schedule.allows(now, PAUSE)

    async def request(self, schedule: ProbeSchedule, now: float) -> Process | None:
        """Return the process, None if it is unknown: restarts are then derived from falling counts."""
        parser = proto.Parser(size_limit=SIZE_LIMIT)
        try:
            await self._fetcher.fetch(parser.feed_steps)
            process = parser.process
        except ScrapeError as error:
            schedule.failed(error, now)
            return None
        schedule.succeeded(now)
        return process if process.start else None
