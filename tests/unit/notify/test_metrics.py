"""Metrics of the alerts that leakwatch sends."""

from prometheus_client import CollectorRegistry

from leakwatch.notify.metrics import NotificationCollector
from tests.support.all_metrics import alertmanager_client
from tests.support.leaking import START, Play, leak


def test_deliveries_are_counted_per_alertmanager() -> None:
    """Sent, failed, dropped and queued alerts and requests are exported from the start."""
    client = alertmanager_client()
    registry = CollectorRegistry()
    registry.register(NotificationCollector({client.address.name: client}))

    def values() -> list[float | None]:
        labels = {"alertmanager": "http://am:9093/api/v2/alerts"}
        names = ("sent_total", "failed_total", "dropped_total", "due", "latency_seconds_count")
        return [registry.get_sample_value(f"leakwatch_notifications_{name}", labels) for name in names]

    assert values() == [0, 0, 0, 0, 0]
    one, two, three = Play().at(0, [leak(function=f"main.{name}") for name in ("a", "b", "c")])
    client.queue.put([one, two, three], START)
    client.queue.mark_failed([one, two], START)
    client.requests = 1
    assert values() == [0, 2, 0, 3, 1]
    client.queue.mark_delivered([one])
    client.queue.mark_refused(two, START)
    client.requests = 3
    assert values() == [1, 2, 1, 1, 3]
    assert registry.get_sample_value("leakwatch_alertmanagers_discovered") == 1
