"""Asks a target what memory it uses: its own /metrics, and this machine where it is the same.

Only while a leak is suspected on it, once per block. Who has no such metrics is not asked again.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from leakwatch.discovery.resolve import PORTS, Endpoint
from leakwatch.errors import MalformedProfile, ScrapeError
from leakwatch.local import Local, is_loopback
from leakwatch.memory import Usage
from leakwatch.profile.gauges import Gauges, Parser
from leakwatch.scrape import Scraper

SIZE_LIMIT: Final = 16 << 20
PAUSE: Final = 900.0  # seconds after a question without an answer
LASTING: Final = {"status", "not_a_profile"}
"""Reasons for which the same process would give the same answer."""
ALIKE: Final = 2.0  # times as many goroutines are those of another process
FEW: Final = 100  # goroutines that may come or go between a profile and an answer

UNTOLD: Final = Gauges(None, None, None)

Look = Callable[[str], Usage]
"""Start of a process -> what its machine knows of it; takes a while."""


class Meter:
    """What one target's process uses; `scraper` is pointed at its metrics, None where it is not to be asked.

    `limit`: of its memory in bytes, as configured; else the machine's counts. `local`: None where the target is
    elsewhere.
    """

    def __init__(self, scraper: Scraper | None, limit: float | None, local: Look | None = None) -> None:
        self.missing = "" if scraper else "it is not asked for metrics"
        """Why its metrics do not tell."""
        self._scraper = scraper
        self._limit = limit
        self._local = local
        self._lifetime = 0
        self._asked = float("-inf")
        self._refused_until = float("-inf")
        self._said = ""

    def follow(self, lifetime: int) -> None:
        """Say in which of its lifetimes the target is: another process is asked anew."""
        if lifetime != self._lifetime:
            self._lifetime = lifetime
            self._refused_until = float("-inf")

    def is_due(self, now: float, block: float) -> bool:
        """Tell whether to ask now, in seconds; once per block of so many."""
        return now - self._asked >= block

    async def ask(self, now: float, goroutines: int) -> tuple[Gauges, ScrapeError | None]:
        """Return what the metrics of a process of so many goroutines say, and why nothing, if that is news."""
        self._asked = now
        if self._scraper and now >= self._refused_until:
            try:
                found = await self._gauges(self._scraper, goroutines)
            except ScrapeError as error:
                self._refused_until = float("inf") if error.reason in LASTING else now + PAUSE
                self.missing = f"no metrics of the process, {error}"
                before, self._said = self._said, error.reason
                return UNTOLD, error if before != error.reason else None
            self.missing = self._said = ""
            return found, None
        return UNTOLD, None

    async def usage(self, gauges: Gauges, start: str) -> Usage:
        """Return all that is known of a process, by its metrics and its machine.

        `start`: where its [vdso] is, "" where that is not known.
        """
        here = await asyncio.to_thread(self._local, start) if self._local and start else Usage()
        resident = here.resident if gauges.resident is None else gauges.resident
        if self._limit is not None:
            return Usage(gauges.stacks, resident, self._limit)
        return Usage(gauges.stacks, resident, here.limit, here.used)

    async def _gauges(self, scraper: Scraper, goroutines: int) -> Gauges:
        """Return what the metrics say; raises ScrapeError, also when they are another process's."""
        parser = Parser()
        await scraper.fetch(parser.feed)
        found = parser.close()
        said = found.goroutines
        if said is not None and not goroutines / ALIKE - FEW <= said <= goroutines * ALIKE + FEW:
            raise MalformedProfile(f"{said:.0f} goroutines there, {goroutines} in the profile: another process")
        return found


def make_meter(scraper: Scraper, endpoint: Endpoint) -> Meter:
    """Return what asks the process behind `endpoint`, over the connection of `scraper`."""
    path, url, local = endpoint.metrics_path, endpoint.url, None
    if not endpoint.socket and is_loopback(url.host):
        local = partial(Local().usage, url.host, url.port or PORTS[url.scheme])
    return Meter(scraper.at(path, SIZE_LIMIT) if path else None, endpoint.memory_limit, local)
