"""Metrics of the alerts that leakwatch sends, computed at each scrape of /metrics."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from leakwatch.notify.alertmanager import AlertmanagerClient

ALERTMANAGER = ("alertmanager",)


class NotificationCollector(Collector):
    """Series of each Alertmanager; `clients`: the notifier's clients by name, read at each scrape."""

    def __init__(self, clients: Mapping[str, AlertmanagerClient]) -> None:
        self._clients = clients

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        sent = CounterMetricFamily(
            "leakwatch_notifications_sent", "Alerts delivered to the Alertmanager.", labels=ALERTMANAGER
        )
        failed = CounterMetricFamily(
            "leakwatch_notifications_failed",
            "Alerts in failed requests; the alerts stay queued.",
            labels=ALERTMANAGER,
        )
        dropped = CounterMetricFamily(
            "leakwatch_notifications_dropped",
            "Alerts dropped because the Alertmanager refused them.",
            labels=ALERTMANAGER,
        )
        due = GaugeMetricFamily(
            "leakwatch_notifications_due", "Alerts queued for the Alertmanager.", labels=ALERTMANAGER
        )
        latency = SummaryMetricFamily(
            "leakwatch_notifications_latency_seconds", "Duration of requests.", labels=ALERTMANAGER
        )
        for name, client in self._clients.items():
            queue = client.queue
            sent.add_metric((name,), queue.sent)
            failed.add_metric((name,), queue.failed)
            dropped.add_metric((name,), queue.dropped)
            due.add_metric((name,), len(queue))
            latency.add_metric((name,), client.requests, client.seconds)
        yield GaugeMetricFamily(
            "leakwatch_alertmanagers_discovered", "Alertmanagers that alerts are sent to.", len(self._clients)
        )
        yield from (sent, failed, dropped, due, latency)
