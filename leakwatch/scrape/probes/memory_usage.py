"""Measures the memory of a process: by its own /metrics, and by the kernel if it runs on this machine."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from leakwatch.discovery.target_builder import PORTS, Endpoint
from leakwatch.errors import MalformedProfile, ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.memory import MemoryMeasurement, MemoryUsage
from leakwatch.scrape.probes.go_metrics import GoMetrics, GoMetricsParser
from leakwatch.scrape.probes.local_process import LocalProcesses, is_loopback
from leakwatch.scrape.probes.probe import ProbeContext, record

SIZE_LIMIT: Final = 16 << 20
METRICS: Final = "metrics"
ALIKE: Final = 2.0  # largest factor between the counts of one process in the profile and in the metrics
FEW: Final = 100  # goroutines that may start or end between the profile and the metrics
NO_METRICS_REASONS: Final = {"status", "not_a_profile"}
"""Reasons for which the same process would fail again; a page of metrics may be damaged once."""
NO_METRICS: Final = GoMetrics(None, None, None)

LocalUsage = Callable[[str], MemoryUsage]
"""Returns the usage of the local process with this start; blocks."""


class MemoryProbe:
    """Measures the memory of a process; `fetcher`: of its metrics, None if they are not requested.

    `limit`: configured memory limit in bytes, None to use the limit of the local process; `local`: usage of the
    local process, None if the target is on another machine. Without metrics, only goroutines are recorded.
    """

    name = "memory"
    is_scheduled = False
    pause = 0.0
    """The pause is a block, see `is_wanted`."""

    def __init__(self, fetcher: Fetcher | None, limit: float | None, local: LocalUsage | None = None) -> None:
        self._fetcher = fetcher
        self._limit = limit
        self._local = local

    def is_wanted(self, context: ProbeContext) -> bool:
        """Return whether a stack is suspected, and a block has passed since the last measurement."""
        block = context.state.history.block
        return bool(context.suspects) and context.schedule(self.name).allows(context.now, block)

    async def request(self, context: ProbeContext) -> None:
        """Record the memory usage of the process; values that cannot be measured are None."""
        metrics = await self._metrics(context)
        local = MemoryUsage()
        if self._local and context.start:
            local = await asyncio.to_thread(self._local, context.start)
        resident = local.resident if metrics.resident is None else metrics.resident
        limit, used = (local.limit, local.used) if self._limit is None else (self._limit, None)
        usage = MemoryUsage(stacks=metrics.stacks, resident=resident, limit=limit, used=used)
        results = context.state.probe_results
        results.memory.unavailable = results.unavailable.get(METRICS, "")
        leaked = {key: context.state.count(key) for key in context.suspects}
        results.memory.add(MemoryMeasurement(usage, context.total, leaked))

    async def _metrics(self, context: ProbeContext) -> GoMetrics:
        """Return the metrics of the process; without values if it has none."""
        if self._fetcher is None:
            context.state.probe_results.unavailable[METRICS] = "metrics_path is empty"
            return NO_METRICS
        if not context.schedule(METRICS).allows(context.now, 0.0):
            return NO_METRICS
        try:
            metrics = await _metrics(self._fetcher, context.total)
        except ScrapeError as error:
            record(METRICS, context, error, NO_METRICS_REASONS)
            return NO_METRICS
        record(METRICS, context, None)
        return metrics


async def _metrics(fetcher: Fetcher, goroutines: int) -> GoMetrics:
    """Return the metrics of the process, which must have about as many `goroutines`; raises ScrapeError."""
    parser = GoMetricsParser()
    await fetcher.fetch(parser.feed)
    metrics = parser.close()
    count = metrics.goroutines
    if count is not None and not goroutines / ALIKE - FEW <= count <= goroutines * ALIKE + FEW:
        message = f"go_goroutines is {count:.0f}, the profile has {goroutines}: another process answered"
        raise MalformedProfile(message)
    return metrics


def memory_probe(fetcher: Fetcher, endpoint: Endpoint) -> MemoryProbe:
    """Return the memory probe of the process at `endpoint`; `fetcher`: of its profile, shares the connection."""
    path, url, local = endpoint.metrics_path, endpoint.url, None
    if not endpoint.socket and is_loopback(url.host):
        local = partial(LocalProcesses().usage, url.host, url.port or PORTS[url.scheme])
    return MemoryProbe(fetcher.with_path(path, SIZE_LIMIT) if path else None, endpoint.memory_limit, local)
