"""What one Alertmanager has yet to be told: due until it is delivered, and no more than there are alerts. Pure.

The latest of an alert takes the place of an older one that is still due, so an outage of any length leaves no
queue, and what is sent after it is true then.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from leakwatch.notify.alerts import RETENTION, Alert
from leakwatch.notify.rules import Labels

BATCH: Final = 64  # alerts in one request, as Prometheus sends
FIRST_PAUSE: Final = 1.0  # seconds after the first failure; each further one doubles it
LONGEST_PAUSE: Final = 30.0
REFUSED_FOR: Final = 3600.0  # seconds after which a refused alert may try again


class AlertQueue:
    """The alerts that are due to one Alertmanager, and how it went so far; counts alerts, not requests."""

    def __init__(self) -> None:
        self.sent = 0
        self.failed = 0
        self.dropped = 0
        self._due: dict[Labels, Alert] = {}
        self._refused: dict[Labels, float] = {}
        self._failures = 0
        self._not_before = float("-inf")

    def __len__(self) -> int:
        return len(self._due)

    def put(self, alerts: Iterable[Alert], time: float) -> None:
        """Make `alerts` due, but for those that were refused a short time ago."""
        self._refused = {labels: until for labels, until in self._refused.items() if time < until}
        self._due.update((alert.labels, alert) for alert in alerts if alert.labels not in self._refused)
        # What ended so long ago, Alertmanager has ended by itself meanwhile.
        self._due = {
            labels: alert
            for labels, alert in self._due.items()
            if not alert.resolved or time - alert.ends <= RETENTION
        }

    def batch(self, time: float) -> list[Alert]:
        """Return what is to be sent at `time`, the longest due first; nothing while a failure is recent."""
        return [] if time < self._not_before else list(self._due.values())[:BATCH]

    def pause(self, time: float) -> float | None:
        """Return the seconds until something is to be sent, None if nothing is due."""
        return max(0.0, self._not_before - time) if self._due else None

    def delivered(self, alerts: Sequence[Alert]) -> None:
        """Say that `alerts` have arrived."""
        self.sent += len(alerts)
        self._failures = 0
        self._forget(alerts)

    def failed_at(self, time: float, alerts: Sequence[Alert]) -> None:
        """Say that `alerts` have not arrived; they stay due."""
        self.failed += len(alerts)
        self._not_before = time + min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 10)

    def refused_at(self, time: float, alert: Alert) -> None:
        """Say that Alertmanager cannot take `alert`: it would refuse it for ever."""
        self.dropped += 1
        self._failures = 0
        self._refused[alert.labels] = time + REFUSED_FOR
        self._forget([alert])

    def _forget(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if self._due.get(alert.labels) is alert:  # else a newer one has come meanwhile
                del self._due[alert.labels]
