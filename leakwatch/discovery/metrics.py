"""Metrics of discovery, computed from the state at each request."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch.discovery.status import DiscovererStatus
from leakwatch.discovery.target_builder import RelabeledTargets

SCRAPE_JOB: Final = "scrape_job"
"""Label with the `job_name` of a job of leakwatch. The label `job` is that of leakwatch's own scrape."""


class DiscoveryCollector(Collector):
    """Metrics of discovery.

    `targets`: returns the targets of each job, `discoverers` the status of each discoverer; `wall`: converts the
    daemon's time to the wall clock's.
    """

    def __init__(
        self,
        targets: Callable[[], Mapping[str, RelabeledTargets]],
        discoverers: Callable[[], Iterable[DiscovererStatus]],
        wall: Callable[[float], float],
    ) -> None:
        self._targets = targets
        self._discoverers = discoverers
        self._wall = wall

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        discovered = GaugeMetricFamily(
            "leakwatch_discovered_targets",
            "Addresses that discovery returns for a job, by state: kept, dropped by a relabel rule, or invalid.",
            labels=(SCRAPE_JOB, "state"),
        )
        for job, built in self._targets().items():
            discovered.add_metric((job, "kept"), len(built.endpoints))
            discovered.add_metric((job, "dropped"), built.dropped)
            discovered.add_metric((job, "invalid"), built.invalid)
        failures = CounterMetricFamily(
            "leakwatch_discovery_failures",
            "Failed reads of a source of targets (file, server or name) by discovery; the last targets stay.",
            labels=(SCRAPE_JOB, "mechanism"),
        )
        success = GaugeMetricFamily(
            "leakwatch_discovery_last_success_timestamp_seconds",
            "Unix time at which discovery last read all sources of a mechanism of a job successfully; 0 if never.",
            labels=(SCRAPE_JOB, "mechanism"),
        )
        number: Counter[tuple[str, str]] = Counter()
        succeeded: dict[tuple[str, str], float] = {}
        for status in self._discoverers():
            key = status.job, status.mechanism
            number[key] += status.failures
            # Of several discoverers of one mechanism, the oldest success counts; 0 means never.
            succeeded[key] = min(succeeded.get(key, float("inf")), status.succeeded or 0.0)
        for key, count in number.items():
            failures.add_metric(key, count)
        for key, time in succeeded.items():
            success.add_metric(key, self._wall(time) if time else 0.0)
        yield from (discovered, failures, success)
