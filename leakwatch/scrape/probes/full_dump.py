"""Asks for a full dump, `goroutine?debug=2`: how long each goroutine waits, in which state, created by whom.

The service stands still for it: 27 ms at 1,000 goroutines, 10 s at 100,000. So only small processes are asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from leakwatch.errors import TruncatedProfile
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.findings import Dumped, Suspects
from leakwatch.model import Fingerprint, Waiting
from leakwatch.profile import dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.probe import ProbeContext

PAUSE: Final = 3600.0
When = Literal["off", "suspicion"]
Keep = Callable[[bytes, float, int], Awaitable[None]]
"""Keeps a body as evidence, with its time in unix seconds and its goroutines."""


class FullDumpProbe:
    """Asks one target; `scraper` is pointed at its full dump, `limit`: goroutines that it may have.

    `keep`: keeps the dump, without its secrets.
    """

    name = "age"
    pause = PAUSE

    def __init__(self, fetcher: Fetcher, when: When, limit: int, keep: Keep | None = None) -> None:
        self._scraper = fetcher
        self._when = when
        self._limit = limit
        self._keep = keep

    def wants(self, context: ProbeContext) -> bool:
        """Tell whether something is suspected and the process is small."""
        return self._when != "off" and bool(context.suspects) and context.total <= self._limit

    async def ask(self, context: ProbeContext) -> None:
        """Put down how the suspects wait; raises ScrapeError."""
        body = bytearray()
        await self._scraper.fetch(body.extend)
        found = await asyncio.to_thread(dump.parse, bytes(body))
        if found.truncated:
            raise TruncatedProfile(f"the dump ends early, after {len(found.goroutines)} goroutines")
        told = await asyncio.to_thread(_waiting, found, context.identifier.empty_copy(), context.suspects)
        context.answers.dumped = Dumped(context.time, told)
        if self._keep:
            await self._keep(bytes(body), context.time, len(found.goroutines))


def _waiting(found: dump.Dump, identifier: Identifier, suspects: Suspects) -> dict[Fingerprint, Waiting]:
    """Return how the suspects wait, in a thread: there may be many, and deep ones."""
    waits = DumpIndex(found, identifier)
    told = {key: waits.goroutines_of(stack) for key, stack in suspects.items()}
    return {key: waiting(those) for key, those in told.items() if those}
