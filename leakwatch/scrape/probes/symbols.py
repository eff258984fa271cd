"""Requests the names of functions that text profiles hide: wait reasons at the price of debug=1.

Goroutines that wait for a channel or a select are parked in runtime functions. A text profile has their addresses
but not their names. A program has about fifteen such addresses, so one small request per process names them all.
"""

from collections.abc import Container
from typing import Final

from leakwatch.errors import MalformedProfile, ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.model import Fingerprint, Samples, Trace
from leakwatch.profile import symbols as symbol
from leakwatch.profile.text import UNKNOWN

NAME: Final = "symbols"
SIZE_LIMIT: Final = 1 << 20
AT_ONCE: Final = 100
"""Addresses in one request: its URL stays below 2,000 characters."""
MOST: Final = 300  # addresses of one process; a program has fewer than twenty
RENEWED: Final = 60.0  # seconds after which an unidentified process on a new connection may be another one


class SymbolProbe:
    """Hidden functions of the process of one target; `fetcher`: of `/debug/pprof/symbol`."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.names: dict[int, str] = {}
        """Address -> function, "" if the address has no name."""
        self._fetcher = fetcher
        self._process = ""

    def follow(self, schedule: ProbeSchedule, process: str, now: float, *, new_connection: bool) -> None:
        """Drop all names if the process changed; on a new connection an unidentified one may have."""
        renewed = new_connection and not process and now - schedule.last_request_at >= RENEWED
        if process != self._process or renewed:
            self._process = process
            self.names = {}
            schedule.restart()

    def hidden(self, samples: Samples, first: Container[Fingerprint]) -> list[Trace]:
        """Return a trace per address without a name: those of `first`, then those of the largest stacks."""
        if len(self.names) >= MOST:
            return []
        traces: dict[int, tuple[bool, int, Trace]] = {}
        for fingerprint, sample in samples.items():
            trace = sample.trace
            if trace and trace.parked_at and trace.parked_at not in self.names:
                rank = fingerprint in first, sample.goroutines, trace
                traces[trace.parked_at] = max(traces.get(trace.parked_at, rank), rank, key=lambda each: each[:2])
        ranked = sorted(traces.values(), key=lambda each: each[:2], reverse=True)
        return [trace for *_, trace in ranked[:AT_ONCE]]

    async def request(self, schedule: ProbeSchedule, traces: list[Trace], now: float) -> ScrapeError | None:
        """Request the names that `traces` hide; return an error that differs from the previous one."""
        try:
            self.names |= await self.fetch(traces)
        except ScrapeError as error:
            return error if schedule.failed(error, now) else None
        schedule.succeeded(now)
        return None

    async def fetch(self, traces: list[Trace]) -> dict[int, str]:
        """Return address -> function; raises ScrapeError.

        The request also has the address of a visible call, as the last one. A response that is cut, invented or of
        another process does not have its name.
        """
        addresses = [trace.parked_at for trace in traces]
        visible = next((trace for trace in traces if trace.frames[0] is not UNKNOWN), None)
        checked = [visible_at(visible)] if visible else []
        body = bytearray()
        query = symbol.query(addresses + checked)
        if self._fetcher.url.query:
            query += (
                b"+"  # Go splits the query at each plus; without it, the last address would include "&name=value"
            )
        await self._fetcher.fetch(body.extend, query=query)
        names = symbol.parse(bytes(body))
        if visible and names.get(checked[0]) != visible.frames[0].function:
            raise MalformedProfile(
                f"{checked[0]:#x} is {visible.frames[0].function} in the profile, not {names.get(checked[0])!r}"
            )
        return {address: names.get(address, "") for address in addresses}


def visible_at(trace: Trace) -> int:
    """Return the address of the innermost visible call of a trace that hides one."""
    counters = [int(counter, 16) for counter in trace.counters.split()]
    return counters[counters.index(trace.parked_at + 1) + 1] - 1
