"""What Prometheus reads of discovery: what was found, and whether the places that are asked answer."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch.scrape.target_set import Targets


class DiscoveryCollector(Collector):
    """Series about the discovery of `targets`; `wall`: turns the daemon's time into the wall clock's."""

    def __init__(self, targets: Targets, wall: Callable[[float], float]) -> None:
        self._targets = targets
        self._wall = wall

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        discovered = GaugeMetricFamily(
            "leakwatch_discovered_targets", "Addresses found, by what became of them.", labels=("job", "state")
        )
        for job, found in self._targets.counts().items():
            discovered.add_metric((job, "kept"), len(found.endpoints))
            discovered.add_metric((job, "dropped"), found.dropped)
            discovered.add_metric((job, "invalid"), found.invalid)
        failures = CounterMetricFamily(
            "leakwatch_discovery_failures",
            "Times that a place where targets are found gave no good answer.",
            labels=("job", "mechanism"),
        )
        success = GaugeMetricFamily(
            "leakwatch_discovery_last_success_timestamp_seconds",
            "When all places of the mechanism gave a good answer last.",
            labels=("job", "mechanism"),
        )
        number: Counter[tuple[str, str]] = Counter()
        succeeded: dict[tuple[str, str], float] = {}
        for those in self._targets.outlook():
            key = those.job, those.mechanism
            number[key] += those.failures
            # Of several of a kind the one that has been failing for longest; 0 for one that never worked.
            succeeded[key] = min(succeeded.get(key, float("inf")), those.succeeded or 0.0)
        for key, count in number.items():
            failures.add_metric(key, count)
        for key, time in succeeded.items():
            success.add_metric(key, self._wall(time) if time else 0.0)
        yield from (discovered, failures, success)
