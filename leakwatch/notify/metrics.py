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
            "leakwatch_notifications_sent",
            "Alerts that leakwatch delivered to an Alertmanager.",
            labels=ALERTMANAGER,
        )
        failed = CounterMetricFamily(
            "leakwatch_notifications_failed",
            "Alerts in requests to an Alertmanager that failed; the alerts stay queued.",
            labels=ALERTMANAGER,
        )
        dropped = CounterMetricFamily(
            "leakwatch_notifications_dropped",
            "Alerts that leakwatch dropped because an Alertmanager rejected them as invalid.",
            labels=ALERTMANAGER,
        )
        due = GaugeMetricFamily(
            "leakwatch_notifications_due",
            "Alerts that are queued for an Alertmanager and not delivered yet.",
            labels=ALERTMANAGER,
        )
        latency = SummaryMetricFamily(
            "leakwatch_notifications_latency_seconds",
            "Duration of the requests that deliver alerts to an Alertmanager, in seconds.",
            labels=ALERTMANAGER,
        )
        for name, client in self._clients.items():
            queue = client.queue
            sent.add_metric((name,), queue.sent)
            failed.add_metric((name,), queue.failed)
            dropped.add_metric((name,), queue.dropped)
            due.add_metric((name,), len(queue))
            latency.add_metric((name,), client.requests, client.seconds)
        yield GaugeMetricFamily(
            "leakwatch_alertmanagers_discovered",
            "Number of Alertmanagers that leakwatch sends alerts to.",
            len(self._clients),
        )
        yield from (sent, failed, dropped, due, latency)
