"""Metrics of the evidence, computed at each scrape of /metrics."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch.evidence.store import Store


class EvidenceCollector(Collector):
    """Series of the stored bodies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        store = self._store
        yield GaugeMetricFamily(
            "leakwatch_evidence_bodies",
            "Number of profiles of leaking targets that are stored as evidence.",
            len(store),
        )
        yield GaugeMetricFamily(
            "leakwatch_evidence_bytes",
            "Compressed size of the profiles that are stored as evidence, in bytes.",
            store.size,
        )
        yield CounterMetricFamily(
            "leakwatch_evidence_dropped",
            "Profiles of the evidence that were removed because of a limit, or not stored because of an error.",
            store.dropped,
        )
        yield CounterMetricFamily(
            "leakwatch_evidence_write_failures",
            "Failed attempts to write evidence to the folder evidence.path.",
            store.write_failures,
        )
