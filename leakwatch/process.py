"""Asks a target which process answers: 250 bytes, and only when there is reason to.

The table of mappings in `threadcreate?debug=0` says where the kernel put the [vdso], which is elsewhere at each
start, and from Go 1.24 on which build it is.
"""

from leakwatch.errors import ScrapeError
from leakwatch.model import Process
from leakwatch.profile import proto
from leakwatch.scrape import Scraper

SIZE_LIMIT = 1 << 20
SECONDS_BETWEEN = 60.0  # questions, unless the connection is new
FELL = 0.8  # of the total before, or less
LEAST = 10  # goroutines; a smaller fall is nothing


class Question:
    """Knows when to ask, and asks; `scraper` fetches the profile of threads."""

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper
        self._asked = float("-inf")

    def is_due(self, now: float, *, before: int, total: int, fresh: bool) -> bool:
        """Tell whether to ask, the total having changed from `before`; `fresh`: over a new connection."""
        fell = total <= FELL * before and before - total >= LEAST
        return fresh or (fell and now - self._asked >= SECONDS_BETWEEN)

    async def ask(self, now: float) -> Process | None:
        """Return which process answers, None if it cannot be known."""
        self._asked = now
        body = bytearray()
        try:
            await self._scraper.fetch(body.extend)
            found = proto.process(bytes(body))
        except ScrapeError:
            return None  # no such profile behind this wrapper, or no mappings: falling counts must do
        return found if found.start else None
