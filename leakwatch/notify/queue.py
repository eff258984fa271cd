"""The alerts that one Alertmanager has not accepted yet. Pure.

A newer form of an alert replaces the queued one. So the queue does not grow during an outage, and the alerts that
are sent after the outage are up to date.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from leakwatch.notify.alerts import RETENTION, Alert
from leakwatch.notify.rules import Labels

BATCH: Final = 64  # alerts per request, as in Prometheus
FIRST_PAUSE: Final = 1.0  # seconds after the first failure; each further failure doubles the pause
LONGEST_PAUSE: Final = 30.0  # seconds
MAX_DOUBLINGS: Final = 10
REFUSED_FOR: Final = 3600.0  # seconds for which a refused alert is not queued again


class AlertQueue:
    """The queue of one Alertmanager, and counts of alerts: `sent`, `failed` (per attempt) and `dropped`."""

    def __init__(self) -> None:
        self.sent = 0
        self.failed = 0
        self.dropped = 0
        self._alerts: dict[Labels, Alert] = {}
        self._refused_until: dict[Labels, float] = {}
        self._failures = 0
        self._not_before = float("-inf")

    def __len__(self) -> int:
        return len(self._alerts)

    def put(self, alerts: Iterable[Alert], time: float) -> None:
        """Add alerts, except those that Alertmanager refused within the last hour."""
        self._refused_until = {labels: until for labels, until in self._refused_until.items() if time < until}
        self._alerts.update((alert.labels, alert) for alert in alerts if alert.labels not in self._refused_until)
        # Alertmanager has resolved alerts by itself that ended longer ago.
        self._alerts = {
            labels: alert
            for labels, alert in self._alerts.items()
            if not alert.resolved or time - alert.ends_at <= RETENTION
        }

    def batch(self, time: float) -> list[Alert]:
        """Return the alerts of the next request, longest queued first; none during the pause after a failure."""
        return [] if time < self._not_before else list(self._alerts.values())[:BATCH]

    def pause(self, time: float) -> float | None:
        """Return the seconds until the next request, None if the queue is empty."""
        return max(0.0, self._not_before - time) if self._alerts else None

    def mark_delivered(self, alerts: Sequence[Alert]) -> None:
        """Remove alerts that Alertmanager has accepted."""
        self.sent += len(alerts)
        self._failures = 0
        self._remove(alerts)

    def mark_failed(self, alerts: Sequence[Alert], time: float) -> None:
        """Count alerts that could not be delivered, and begin a pause; the alerts stay in the queue."""
        self.failed += len(alerts)
        self._not_before = time + min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, MAX_DOUBLINGS)

    def mark_refused(self, alert: Alert, time: float) -> None:
        """Drop an alert that Alertmanager refuses and would refuse again."""
        self.dropped += 1
        self._failures = 0
        self._refused_until[alert.labels] = time + REFUSED_FOR
        self._remove([alert])

    def _remove(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if self._alerts.get(alert.labels) is alert:  # a newer form that was queued meanwhile stays
                del self._alerts[alert.labels]
