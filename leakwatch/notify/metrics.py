"""What Prometheus reads of the alerts that we push, computed when asked."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from leakwatch.notify.alertmanager import AlertmanagerClient

ALERTMANAGER = ("alertmanager",)


class NotificationCollector(Collector):
    """Series about deliveries; `senders`: the senders by Alertmanager, as they are when they are read."""

    def __init__(self, senders: Mapping[str, AlertmanagerClient]) -> None:
        self._senders = senders

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        sent = CounterMetricFamily("leakwatch_notifications_sent", "Alerts delivered.", labels=ALERTMANAGER)
        failed = CounterMetricFamily(
            "leakwatch_notifications_failed", "Alerts in attempts that failed; they stay due.", labels=ALERTMANAGER
        )
        dropped = CounterMetricFamily(
            "leakwatch_notifications_dropped", "Alerts that Alertmanager refuses.", labels=ALERTMANAGER
        )
        due = GaugeMetricFamily("leakwatch_notifications_due", "Alerts yet to be delivered.", labels=ALERTMANAGER)
        latency = SummaryMetricFamily(
            "leakwatch_notifications_latency_seconds", "How long requests took.", labels=ALERTMANAGER
        )
        for name, sender in self._senders.items():
            outbox = sender.outbox
            sent.add_metric((name,), outbox.sent)
            failed.add_metric((name,), outbox.failed)
            dropped.add_metric((name,), outbox.dropped)
            due.add_metric((name,), len(outbox))
            latency.add_metric((name,), sender.requests, sender.seconds)
        discovered = len(self._senders)
        yield GaugeMetricFamily("leakwatch_alertmanagers_discovered", "Alertmanagers that are told.", discovered)
        yield from (sent, failed, dropped, due, latency)
