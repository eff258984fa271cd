"""Asks what memory a process uses: its own /metrics, and this machine where it runs on the same."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from leakwatch.discovery.target_builder import PORTS, Endpoint
from leakwatch.errors import MalformedProfile, ScrapeError
from leakwatch.http.fetch import Fetcher
from leakwatch.leaks.memory import Look, Usage
from leakwatch.scrape.probes.go_metrics import GoMetrics, GoMetricsParser
from leakwatch.scrape.probes.local_process import LocalProcesses, is_loopback
from leakwatch.scrape.probes.probe import ProbeContext

log = structlog.get_logger()

SIZE_LIMIT: Final = 16 << 20
METRICS: Final = "metrics"
PAUSE: Final = 900.0  # seconds after a question without an answer
LASTING: Final = {"status", "not_a_profile"}
"""Reasons for which the same process would give the same answer."""
ALIKE: Final = 2.0  # times as many goroutines are those of another process
FEW: Final = 100  # goroutines that may come or go between a profile and an answer
UNTOLD: Final = GoMetrics(None, None, None)

Here = Callable[[str], Usage]
"""Start of a process -> what this machine knows of it; takes a while."""


class MemoryProbe:
    """Asks one target; `scraper` is pointed at its metrics, None where it is not to be asked for them.

    `limit`: of its memory in bytes, as configured, else that counts which this machine knows; `here`: None where
    the target is elsewhere. Who has no such metrics is looked at all the same: its goroutines are counted.
    """

    name = "memory"
    pause = 0.0
    """A block: one look at each makes a line soon enough."""

    def __init__(self, fetcher: Fetcher | None, limit: float | None, here: Here | None = None) -> None:
        self._scraper = fetcher
        self._limit = limit
        self._here = here

    def wants(self, context: ProbeContext) -> bool:
        """Tell whether something is suspected, and a block has passed since the last look."""
        asked = context.answers.asked.get(self.name, float("-inf"))
        return bool(context.suspects) and context.now >= asked + context.block

    async def ask(self, context: ProbeContext) -> None:
        """Put down what the process uses; what it does not tell is named."""
        gauges = await self._metrics(context)
        here = Usage()
        if self._here and context.start:
            here = await asyncio.to_thread(self._here, context.start)
        resident = here.resident if gauges.resident is None else gauges.resident
        if self._limit is None:
            usage = Usage(gauges.stacks, resident, here.limit, here.used)
        else:
            usage = Usage(gauges.stacks, resident, self._limit)
        looks = context.answers.looks
        looks.missing = context.answers.missing.get(METRICS, "")
        looks.add(Look(usage, context.total, context.held))

    async def _metrics(self, context: ProbeContext) -> GoMetrics:
        """Return what its metrics say, nothing where they do not."""
        answers = context.answers
        if self._scraper is None:
            answers.missing[METRICS] = "it is not asked for metrics"
        if self._scraper is None or context.now < answers.refused.get(METRICS, float("-inf")):
            return UNTOLD
        try:
            found = await _gauges(self._scraper, context.total)
        except ScrapeError as error:
            if context.over():
                raise
            if answers.missing.get(METRICS) != str(error):
                at = {"service": context.target.service, "target": context.target.name}
                log.info("a closer look failed", what=METRICS, reason=error.reason, error=str(error), **at)
            answers.missing[METRICS] = str(error)
            answers.refused[METRICS] = float("inf") if error.reason in LASTING else context.now + PAUSE
            return UNTOLD
        answers.missing.pop(METRICS, None)
        return found


async def _gauges(fetcher: Fetcher, goroutines: int) -> GoMetrics:
    """Return what the metrics of a process of so many goroutines say; raises ScrapeError."""
    parser = GoMetricsParser()
    await fetcher.fetch(parser.feed)
    found = parser.close()
    said = found.goroutines
    if said is not None and not goroutines / ALIKE - FEW <= said <= goroutines * ALIKE + FEW:
        raise MalformedProfile(f"go_goroutines is {said:.0f}, the profile has {goroutines}: not the same process")
    return found


def memory_inquiry(fetcher: Fetcher, endpoint: Endpoint) -> MemoryProbe:
    """Return what asks the process at `endpoint`; `scraper`: of its profile, whose connection is used."""
    path, url, here = endpoint.metrics_path, endpoint.url, None
    if not endpoint.socket and is_loopback(url.host):
        here = partial(LocalProcesses().usage, url.host, url.port or PORTS[url.scheme])
    return MemoryProbe(fetcher.with_path(path, SIZE_LIMIT) if path else None, endpoint.memory_limit, here)
