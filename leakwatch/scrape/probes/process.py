"""Asks a target which process answers: 250 bytes, and only when there is reason to.

The table of mappings in `threadcreate?debug=0` says where the kernel put the [vdso], which is elsewhere at each
start, and from Go 1.24 on which build it is.
"""

from leakwatch.errors import ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.model import Process
from leakwatch.profile import proto

SIZE_LIMIT = 1 << 20
SECONDS_BETWEEN = 60.0  # questions, unless the connection is new
FELL = 0.8  # of the total before, or less
LEAST = 10  # goroutines; a smaller fall is nothing
TRIES = 5  # more, when no answer came
FOR_GOOD = {"status", "not_a_profile", "malformed"}
"""Reasons for which asking again would give the same answer."""


class ProcessProbe:
    """Knows when to ask, and asks; `scraper` fetches the profile of threads."""

    def __init__(self, scraper: Fetcher) -> None:
        self._scraper = scraper
        self._asked = float("-inf")
        self._tries = 0
        """How often it may still be asked again, because an answer did not come."""

    def is_due(self, now: float, *, before: int, total: int, fresh: bool) -> bool:
        """Tell whether to ask, the total having changed from `before`; `fresh`: over a new connection."""
        fell = total <= FELL * before and before - total >= LEAST
        return fresh or ((fell or self._tries > 0) and now - self._asked >= SECONDS_BETWEEN)

    async def ask(self, now: float) -> Process | None:
        """Return which process answers, None if it cannot be known."""
        self._asked = now
        self._tries = self._tries - 1 if self._tries else TRIES
        body = bytearray()
        try:
            await self._scraper.fetch(body.extend)
            found = proto.process(bytes(body))
        except ScrapeError as error:
            if error.reason in FOR_GOOD:
                self._tries = 0
            return None  # no such profile behind this wrapper, or not now: falling counts must do
        self._tries = 0
        return found if found.start else None
