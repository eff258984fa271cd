"""Asks a target what memory it uses: its own /metrics, and this machine where it is the same.

Only while a leak is suspected on it, once per block. Who has no such metrics is not asked again.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from leakwatch.errors import MalformedProfile, ScrapeError
from leakwatch.memory import Usage
from leakwatch.profile.gauges import Gauges, Parser
from leakwatch.scrape import Scraper

SIZE_LIMIT: Final = 16 << 20
PAUSE: Final = 900.0  # seconds after a question without an answer
LASTING: Final = {"status", "not_a_profile"}
"""Reasons for which the same process would give the same answer."""
ALIKE: Final = 2.0  # times as many goroutines are those of another process
FEW: Final = 100  # goroutines that may come or go between a profile and an answer

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

    async def ask(self, now: float, goroutines: int, start: str) -> tuple[Usage, ScrapeError | None]:
        """Return what a process of so many goroutines uses, and why its metrics do not tell, if that is news.

        `start`: where its [vdso] is, "" where that is not known.
        """
        self._asked = now
        gauges, error = Gauges(None, None, None), None
        if self._scraper and now >= self._refused_until:
            try:
                gauges = await self._gauges(self._scraper, goroutines)
                self.missing = self._said = ""
            except ScrapeError as refusal:
                self._refused_until = float("inf") if refusal.reason in LASTING else now + PAUSE
                self.missing = f"no metrics of the process, {refusal}"
                error = refusal if self._said != refusal.reason else None
                self._said = refusal.reason
        here = await asyncio.to_thread(self._local, start) if self._local and start else Usage()
        resident = here.resident if gauges.resident is None else gauges.resident
        if self._limit is not None:
            return Usage(gauges.stacks, resident, self._limit), error
        return Usage(gauges.stacks, resident, here.limit, here.used), error

    async def _gauges(self, scraper: Scraper, goroutines: int) -> Gauges:
        """Return what the metrics say; raises ScrapeError, also when they are another process's."""
        parser = Parser()
        await scraper.fetch(parser.feed)
        found = parser.close()
        said = found.goroutines
        if said is not None and not goroutines / ALIKE - FEW <= said <= goroutines * ALIKE + FEW:
            raise MalformedProfile(f"{said:.0f} goroutines there, {goroutines} in the profile: another process")
        return found
