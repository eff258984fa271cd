"""Asks a process for the names that its text profiles hide: the wait reason at debug=1's price.

Channels and select hide in runtime functions that have an address in the text but no name. There are about fifteen
such addresses in a program, so one small question per process names them all; what the profile tells by itself
needs none.
"""

from collections.abc import Container
from typing import Final

from leakwatch.errors import MalformedProfile, ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.model import Fingerprint, Samples, Trace
from leakwatch.profile import symbols as symbol
from leakwatch.profile.text import UNKNOWN

SIZE_LIMIT: Final = 1 << 20
AT_ONCE: Final = 100
"""Addresses in one question: its URL stays below 2,000 characters."""
MOST: Final = 300  # addresses of one process; a program has fewer than twenty
PAUSE: Final = 900.0  # seconds after a question without an answer
RENEWED: Final = 60.0  # seconds after which a process that cannot be told apart may be another one
LASTING: Final = {"status", "not_a_profile", "malformed"}
"""Reasons for which the same process would give the same answer."""


class SymbolProbe:
    """The hidden functions of one target's process; `scraper` is pointed at its `symbol`."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.names: dict[int, str] = {}
        """Address -> function, "" for one that has no name."""
        self._scraper = fetcher
        self._process = ""
        self._asked = float("-inf")
        self._refused_until = float("-inf")
        self._said = ""

    def follow(self, process: str, now: float, *, fresh: bool) -> None:
        """Forget everything if another `process` answers; an unknown one, "", may be another when `fresh`."""
        if process != self._process or (fresh and not process and now - self._asked >= RENEWED):
            self._process = process
            self.names = {}
            self._refused_until = float("-inf")

    def wanted(self, samples: Samples, first: Container[Fingerprint], now: float) -> list[Trace]:
        """Return a trace for each address to ask for: of those `first`, then of the largest stacks."""
        if now < self._refused_until or len(self.names) >= MOST:
            return []
        found: dict[int, tuple[bool, int, Trace]] = {}
        for fingerprint, sample in samples.items():
            trace = sample.trace
            if trace and trace.parked_at and trace.parked_at not in self.names:
                rank = fingerprint in first, sample.goroutines, trace
                found[trace.parked_at] = max(found.get(trace.parked_at, rank), rank, key=lambda one: one[:2])
        ranked = sorted(found.values(), key=lambda one: one[:2], reverse=True)
        return [trace for *_, trace in ranked[:AT_ONCE]]

    async def ask(self, traces: list[Trace], now: float) -> ScrapeError | None:
        """Learn the names that `traces` hide, in one question; return why no good answer came, if that is news."""
        self._asked = now
        try:
            self.names |= await self._answer(traces)
        except ScrapeError as error:
            self._refused_until = float("inf") if error.reason in LASTING else now + PAUSE
            before, self._said = self._said, error.reason
            return error if before != error.reason else None
        return None

    async def _answer(self, traces: list[Trace]) -> dict[int, str]:
        """Return the names; raises ScrapeError.

        A visible call is asked for too, after all others: an answer that is cut, that is made up or that comes
        from another process does not have its name.
        """
        addresses = [trace.parked_at for trace in traces]
        known = next((trace for trace in traces if trace.frames[0] is not UNKNOWN), None)
        checked = [visible_at(known)] if known else []
        body = bytearray()
        await self._scraper.fetch(body.extend, query=symbol.query(addresses + checked))
        names = symbol.parse(bytes(body))
        if known and names.get(checked[0]) != known.frames[0].function:
            raise MalformedProfile(
                f"{checked[0]:#x} is {known.frames[0].function} in the profile, but {names.get(checked[0])!r} here"
            )
        return {address: names.get(address, "") for address in addresses}


def visible_at(trace: Trace) -> int:
    """Return the address of the innermost visible call of a trace that hides one."""
    counters = [int(counter, 16) for counter in trace.counters.split()]
    return counters[counters.index(trace.parked_at + 1) + 1] - 1
