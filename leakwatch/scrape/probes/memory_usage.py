"""Measures the memory of a process: by its own /metrics, and by the kernel if it runs on this machine."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from leakwatch.discovery.target_builder import PORTS, Endpoint
from leakwatch.errors import ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.memory import Look, Usage
from leakwatch.scrape.probes.go_metrics import GoMetrics, GoMetricsParser
from leakwatch.scrape.probes.local_process import LocalProcesses, is_loopback
from leakwatch.scrape.probes.probe import ProbeContext, record

SIZE_LIMIT: Final = 16 << 20
METRICS: Final = "metrics"
ALIKE: Final = 2.0  # factor between two counts of goroutines from which on they are of two processes
FEW: Final = 100  # goroutines that may come or go between the profile and the metrics
NO_METRICS: Final = GoMetrics(None, None, None)

LocalUsage = Callable[[str], Usage]
"""Start of a process -> its usage as this machine knows it; blocks."""


class MemoryProbe:
    """Measures the memory of a process; `fetcher`: of its metrics, None if they are not requested.

    `limit`: configured memory limit in bytes, else the limit that this machine knows applies; `local`: None if the
    target runs elsewhere. Without metrics, the goroutines alone are recorded.
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
        """Record the memory usage of the process, as far as it is known."""
        metrics = await self._metrics(context)
        local = Usage()
        if self._local and context.start:
            local = await asyncio.to_thread(self._local, context.start)
        resident = local.resident if metrics.resident is None else metrics.resident
        if self._limit is None:
            usage = Usage(metrics.stacks, resident, local.limit, local.used)
        else:
            usage = Usage(metrics.stacks, resident, self._limit)
        results = context.state.probe_results
        results.looks.missing = results.unavailable.get(METRICS, "")
        held = {key: context.state.count(key) for key in context.suspects}
        results.looks.add(Look(usage, context.total, held))

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
            record(METRICS, context, error)
            return NO_METRICS
        record(METRICS, context, None)
        return metrics


async def _metrics(fetcher: Fetcher, goroutines: int) -> GoMetrics:
    """Return the metrics of the process that has so many `goroutines`; raises ScrapeError."""
    parser = GoMetricsParser()
    await fetcher.fetch(parser.feed)
    metrics = parser.close()
    count = metrics.goroutines
    if count is not None and not goroutines / ALIKE - FEW <= count <= goroutines * ALIKE + FEW:
        message = f"go_goroutines is {count:.0f}, the profile has {goroutines}: another process answered"
        raise ScrapeError("connection", message)
    return metrics


def memory_probe(fetcher: Fetcher, endpoint: Endpoint) -> MemoryProbe:
    """Return the memory probe of the process at `endpoint`; `fetcher`: of its profile, shares the connection."""
    path, url, local = endpoint.metrics_path, endpoint.url, None
    if not endpoint.socket and is_loopback(url.host):
        local = partial(LocalProcesses().usage, url.host, url.port or PORTS[url.scheme])
    return MemoryProbe(fetcher.with_path(path, SIZE_LIMIT) if path else None, endpoint.memory_limit, local)
