"""Requests the heap profile, `heap?debug=1`: for which own code a library holds memory.

The runtime always keeps this profile. The request causes no garbage collection, and stops the service only to
read its memory statistics. It is sent for leaks without own code, once per leak and process. If the result is not
clear, it is sent again when the leak has MORE times as many goroutines: Go samples one allocation per 512 KiB.
"""

from collections.abc import Iterator
from typing import Final, Literal

from leakwatch.errors import ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.callers import is_clear
from leakwatch.profile import heap
from leakwatch.profile.blame import part_of
from leakwatch.profile.own_calls import HeapTally
from leakwatch.scrape.probes.probe import ProbeContext

PAUSE: Final = 900.0
MORE: Final = 4
When = Literal["off", "suspicion"]


class HeapProfileProbe:
    """Requests heap profiles; `fetcher`: of the profile, with its size limit."""

    name = "heap"
    pause = PAUSE
    is_scheduled = False

    def __init__(self, fetcher: Fetcher, when: When) -> None:
        self._fetcher = fetcher
        self._when = when

    def is_wanted(self, context: ProbeContext) -> bool:
        """Return whether a leak without own code has no result, or an unclear one of when it was smaller."""
        if self._when == "off":
            return False
        results = context.state.probe_results.heap
        return any(
            part not in results or (number >= MORE * results[part].goroutines and not is_clear(results[part]))
            for part, number in _goroutines(context).items()
        )

    async def request(self, context: ProbeContext) -> None:
        """Record the own code for which the parts with leaks hold memory; raises ScrapeError."""
        goroutines = _goroutines(context)
        parser, tally = heap.Parser(), HeapTally(goroutines, context.identifier.is_own)

        def feed(data: bytes) -> Iterator[None]:
            for records in parser.feed_steps(data):
                tally.add(records)
                yield

        try:
            await self._fetcher.fetch(feed)
        except ScrapeError as error:
            if error.reason == "too_large":
                message = f"the body is larger than {self._fetcher.size_limit} bytes (heap_profile_size_limit)"
                raise ScrapeError("too_large", message) from error
            raise
        parser.close()
        context.state.probe_results.heap |= tally.parts(goroutines)


def _goroutines(context: ProbeContext) -> dict[str, int]:
    """Return part -> the goroutines of its largest stack, for the leaks without own code."""
    goroutines: dict[str, int] = {}
    for key, stack in context.without_own_code.items():
        part = part_of(stack.blamed.function)
        goroutines[part] = max(goroutines.get(part, 0), context.state.count(key))
    return goroutines
