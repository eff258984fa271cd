"""What Prometheus reads of the evidence, computed when asked."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch.evidence.store import Store


class EvidenceCollector(Collector):
    """Series about the bodies that are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        store = self._store
        yield GaugeMetricFamily("leakwatch_evidence_bodies", "Bodies kept as evidence.", len(store))
        yield GaugeMetricFamily("leakwatch_evidence_bytes", "What they take, compressed.", store.size)
        yield CounterMetricFamily(
            "leakwatch_evidence_dropped",
            "Bodies that had to go for more important ones, or not kept.",
            store.dropped,
        )
        yield CounterMetricFamily(
            "leakwatch_evidence_write_failures", "Failed attempts to write to evidence.path.", store.write_failures
        )
