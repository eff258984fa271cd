"""Requests a full dump, `goroutine?debug=2`: wait time, state and creator of each goroutine.

A full dump stops the service: for 27 ms at 1,000 goroutines, for 10 s at 100,000. So only small processes get it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from leakwatch.errors import TruncatedProfile
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.findings import FullDump
from leakwatch.profile import dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.own_calls import starters
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.probe import ProbeContext

PAUSE: Final = 3600.0
When = Literal["off", "suspicion"]
Keep = Callable[[bytes, float, int], Awaitable[None]]
"""Stores a body as evidence, with its time in unix seconds and its number of goroutines."""


class FullDumpProbe:
    """Requests full dumps; `fetcher`: of the dump, `limit`: largest number of goroutines of the process.

    `keep`: stores the dump.
    """

    name = "age"
    pause = PAUSE
    is_scheduled = False

    def __init__(self, fetcher: Fetcher, when: When, limit: int, keep: Keep | None = None) -> None:
        self._fetcher = fetcher
        self._when = when
        self._limit = limit
        self._keep = keep

    def is_wanted(self, context: ProbeContext) -> bool:
        """Return whether a stack is suspected and the process is small."""
        return self._when != "off" and bool(context.suspects) and context.total <= self._limit

    async def request(self, context: ProbeContext) -> None:
        """Record the wait times of the suspects, and who started those without own code; raises ScrapeError."""
        body = bytearray()
        await self._fetcher.fetch(body.extend)
        parsed = await asyncio.to_thread(dump.parse, bytes(body))
        if parsed.truncated:
            raise TruncatedProfile(f"the dump ends early, after {len(parsed.goroutines)} goroutines")
        identifier = context.identifier.empty_copy()
        context.state.probe_results.full_dump = await asyncio.to_thread(_full_dump, parsed, identifier, context)
        if self._keep:
            await self._keep(bytes(body), context.time, len(parsed.goroutines))


def _full_dump(parsed: dump.Dump, identifier: Identifier, context: ProbeContext) -> FullDump:
    """Return the findings about the suspects; runs in a thread, because stacks may be many and deep."""
    index = DumpIndex(parsed, identifier)
    goroutines = {key: index.goroutines_of(stack) for key, stack in context.suspects.items()}
    return FullDump(
        context.time,
        {key: waiting(members) for key, members in goroutines.items() if members},
        {
            key: tuple(starters(stack, goroutines[key], index.by_number.get, identifier.is_own))
            for key, stack in context.without_own_code.items()
            if goroutines.get(key)
        },
    )
