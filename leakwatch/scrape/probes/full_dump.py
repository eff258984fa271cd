"""Requests a full dump, `goroutine?debug=2`: ID, wait time, state and creator of each goroutine.

A full dump stops the service: for 27 ms at 1,000 goroutines, for 10 s at 100,000. So only small processes get it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from leakwatch.detect.dumped import DumpedStacks
from leakwatch.errors import TruncatedProfile
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.dump_reader import dumped_stacks
from leakwatch.leaks.dump_schedule import LEAK_PAUSE
from leakwatch.leaks.findings import FullDump
from leakwatch.profile import dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.own_calls import starters
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.probe import ProbeContext
from leakwatch.settings.types import Duration

NAME: Final = "age"
When = Literal["off", "suspicion", "growth"] | Annotated[Duration, Field(ge=LEAK_PAUSE)]
"""Never; on suspicion; also if a stack grows, and every two hours; or on suspicion and at an interval."""
Keep = Callable[[bytes, float, int], Awaitable[None]]
"""Stores a body as evidence, with its time in unix seconds and its number of goroutines."""


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """The outcome of one request; `pause`: seconds until the response began, in which the service was stopped."""

    body: bytes
    pause: float


class FullDumpProbe:
    """Requests full dumps; `fetcher`: of the dump, `limit`: largest number of goroutines of the process.

    `stopwatch`: returns seconds; `keep`: stores the dump.
    """

    name = NAME

    def __init__(
        self,
        fetcher: Fetcher,
        when: When,
        limit: int,
        stopwatch: Callable[[], float],
        keep: Keep | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._when = when
        self._limit = limit
        self._stopwatch = stopwatch
        self._keep = keep
        self.is_scheduled = when not in {"off", "suspicion"}
        self.pause = 0.0 if when == "growth" else LEAK_PAUSE

    def is_wanted(self, context: ProbeContext) -> bool:
        """Return whether there is a reason for a dump, and the process is small."""
        if self._when == "off" or context.total > self._limit:
            return False
        if self._when == "growth":
            return context.wants_dump()
        if context.suspects:
            return True
        return not isinstance(self._when, str) and context.schedule(NAME).allows(context.now, self._when)

    async def request(self, context: ProbeContext) -> None:
        """Record the dump, the wait times of the suspects, and the starters of those without own code.

        Raises ScrapeError.
        """
        response = await self._fetch()
        parsed = await asyncio.to_thread(dump.parse, response.body)
        if parsed.truncated:
            raise TruncatedProfile(f"the dump ends early, after {len(parsed.goroutines)} goroutines")
        identifier = context.identifier.empty_copy()
        results = context.state.probe_results
        results.longest_pause = max(results.longest_pause, response.pause)
        results.full_dump, stacks = await asyncio.to_thread(_full_dump, parsed, identifier, context)
        context.on_dump(stacks)
        if self._keep:
            await self._keep(response.body, context.time, len(parsed.goroutines))

    async def _fetch(self) -> DumpRequest:
        """Return the dump. The handler writes nothing until it has stopped the service and collected the dump."""
        body, first = bytearray(), float("inf")
        begin = self._stopwatch()

        def feed(piece: bytes) -> None:
            nonlocal first
            first = min(first, self._stopwatch())
            body.extend(piece)

        await self._fetcher.fetch(feed)
        return DumpRequest(bytes(body), max(min(first, self._stopwatch()) - begin, 0.0))


def _full_dump(parsed: dump.Dump, identifier: Identifier, context: ProbeContext) -> tuple[FullDump, DumpedStacks]:
    """Return the findings about the suspects, and all stacks; runs in a thread: stacks may be many and deep."""
    index = DumpIndex(parsed, identifier)
    goroutines = {key: index.goroutines_of(stack) for key, stack in context.suspects.items()}
    full_dump = FullDump(
        context.time,
        {key: waiting(members) for key, members in goroutines.items() if members},
        {
            key: tuple(starters(stack, goroutines[key], index.by_number.get, identifier.is_own))
            for key, stack in context.without_own_code.items()
            if goroutines.get(key)
        },
    )
    return full_dump, dumped_stacks(index)
