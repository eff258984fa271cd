"""Metrics of the storage, computed at each scrape of /metrics."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch.storage.storage import StorageStatus


class StorageCollector(Collector):
    """Series of the storage; `wall` converts the daemon's time to the wall clock's."""

    def __init__(self, status: StorageStatus, wall: Callable[[float], float]) -> None:
        self._status = status
        self._wall = wall

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series; none if the state is in memory only on purpose."""
        status = self._status
        if status.folder is None:
            return
        yield GaugeMetricFamily(
            "leakwatch_storage_up",
            "Whether the latest attempt to save leakwatch's state succeeded.",
            float(not status.error),
        )
        yield GaugeMetricFamily(
            "leakwatch_storage_bytes", "Size of leakwatch's saved state, without evidence, in bytes.", status.size
        )
        yield GaugeMetricFamily(
            "leakwatch_storage_full",
            "Whether storage.size_limit was reached, so that targets without a leak are not saved.",
            float(status.is_full),
        )
        saved_at = status.saved_at
        yield GaugeMetricFamily(
            "leakwatch_storage_last_save_timestamp_seconds",
            "Unix time at which leakwatch last saved its state; 0 if it never did.",
            0.0 if saved_at is None else self._wall(saved_at),
        )
        yield CounterMetricFamily(
            "leakwatch_storage_failures",
            "Failed attempts to open leakwatch's storage or to save the state.",
            status.failures,
        )
