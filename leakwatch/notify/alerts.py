"""States of alerts over time, as in Prometheus: pending, firing, resolved. Pure.

A firing alert is sent again every `resend` seconds. Its end time lies 15 minutes ahead, so Alertmanager resolves
the alert if leakwatch no longer sends it. A restart of leakwatch of up to ten minutes does not: the next process
continues with the stored alerts. Only alerts that were sent are resolved.

A Prometheus that evaluates the same rules notices the end of an alert up to one scrape and one evaluation later.
It would fire an alert again that leakwatch has resolved. So leakwatch sends nothing for twice `resend` before it
resolves the alert.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from leakwatch.notify.rules import ActiveCondition, Labels

RETENTION: Final = 900.0  # seconds for which a resolved alert is sent again
VALIDITY: Final = 900.0
"""Seconds from sending an alert to its end time: ten minutes without leakwatch, and five to start and deliver. The
alerts of a leakwatch that never returns end after the same time as those of the rules in Prometheus."""


class AlertState(Enum):
    """The state of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert to send; times in unix seconds.

    `make_annotations` is called when a request is encoded: annotations are long, and many are never sent.
    """

    labels: Labels
    make_annotations: Callable[[], Mapping[str, str]]
    starts_at: float
    ends_at: float
    generator_url: str
    resolved: bool

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, made anew at each access."""
        return self.make_annotations()


@dataclass(slots=True, kw_only=True)
class ActiveAlert:
    """An alert from the time its condition first held; times in unix seconds."""

    condition: ActiveCondition
    """The condition when it last held."""
    active_at: float
    """When the condition began to hold."""
    fired_at: float | None = None
    inactive_since: float | None = None
    """Since when the condition no longer holds; None while it holds."""
    resolved_at: float | None = None
    sent_at: float = float("-inf")
    sent: Alert | None = None
    """The alert as it was sent last."""
    sent_verdict: str = ""
    """The verdict of the condition when the alert was sent last."""

    @property
    def state(self) -> AlertState:
        """The state. An alert also counts as firing between its end and the time it is resolved."""
        if self.resolved_at is not None:
            return AlertState.RESOLVED
        return AlertState.PENDING if self.fired_at is None else AlertState.FIRING

    def has_ended(self, time: float) -> bool:
        """Return whether the condition has not held for at least `keep_firing_for`."""
        keep = self.condition.rule.keep_firing_for
        return self.inactive_since is not None and time - self.inactive_since >= keep


class Alerts:
    """All alerts; `resend`: seconds after which an alert is sent again, `interval`: seconds between updates."""

    def __init__(self, resend: float = 60.0, interval: float = 15.0) -> None:
        self.resend = resend
        self.interval = interval
        self._alerts: dict[Labels, ActiveAlert] = {}

    def __len__(self) -> int:
        return len(self._alerts)

    @property
    def active(self) -> list[ActiveAlert]:
        """All alerts, pending and resolved ones too."""
        return [*self._alerts.values()]

    def restore(self, alerts: Iterable[ActiveAlert]) -> None:
        """Continue with the alerts of an earlier process."""
        self._alerts = {alert.condition.labels: alert for alert in alerts}

    def update(self, conditions: Iterable[ActiveCondition], time: float) -> list[Alert]:
        """Update all alerts from the conditions that hold at `time`; return the alerts to send now."""
        active = {condition.labels: condition for condition in conditions}
        for labels, condition in active.items():
            alert = self._alerts.get(labels)
            if alert is None or alert.has_ended(time):
                alert = self._alerts[labels] = ActiveAlert(condition=condition, active_at=time)
            alert.condition = condition
        self._alerts = {
            labels: alert
            for labels, alert in self._alerts.items()
            if self._update_state(alert, time, holds=labels in active)
        }
        return [self._send(alert, time) for alert in self._alerts.values() if self._is_due(alert, time)]

    def firing(self, time: float) -> set[Labels]:
        """Return the labels of the alerts that fire at `time`."""
        return {
            labels
            for labels, alert in self._alerts.items()
            if alert.fired_at is not None and not alert.has_ended(time)
        }

    def current(self) -> list[Alert]:
        """Return all alerts that are not resolved, as they were sent last: for a new Alertmanager."""
        return [alert.sent for alert in self._alerts.values() if alert.sent and not alert.sent.resolved]

    @property
    def _validity(self) -> float:
        """Seconds from sending an alert to its end time: two lost requests in a row do not end the alert."""
        return max(VALIDITY, 4 * self._period)

    @property
    def _period(self) -> float:
        """Seconds between two sends of an alert."""
        return max(self.resend, self.interval)

    def _update_state(self, alert: ActiveAlert, time: float, *, holds: bool) -> bool:
        """Update the state of an alert; return whether to keep the alert."""
        rule = alert.condition.rule
        if holds:
            alert.inactive_since = None
            if alert.state is AlertState.PENDING and time - alert.active_at >= rule.hold_for:
                alert.fired_at = time if rule.hold_for else alert.condition.since
            return True
        if alert.state is AlertState.PENDING:
            return False
        if alert.inactive_since is None:
            alert.inactive_since = time
        if alert.resolved_at is None and time - alert.inactive_since >= rule.keep_firing_for + 2 * self._period:
            alert.resolved_at = time
        return alert.resolved_at is None or time - alert.resolved_at <= RETENTION

    def _is_due(self, alert: ActiveAlert, time: float) -> bool:
        if alert.state is AlertState.PENDING:
            return False
        resend = time - alert.sent_at >= self.resend
        if alert.resolved_at is not None:
            return resend or alert.sent_at < alert.resolved_at
        return not alert.has_ended(time) and (resend or alert.sent_verdict != alert.condition.verdict)

    def _send(self, alert: ActiveAlert, time: float) -> Alert:
        """Return the alert to send, and record that it is sent at `time`."""
        condition, ends_at = alert.condition, time + self._validity
        if alert.state is AlertState.RESOLVED and alert.inactive_since is not None:
            ends_at = alert.inactive_since + condition.rule.keep_firing_for
        alert.sent_at, alert.sent_verdict = time, condition.verdict
        alert.sent = Alert(
            labels=condition.labels,
            make_annotations=condition.make_annotations,
            starts_at=time if alert.fired_at is None else alert.fired_at,
            ends_at=ends_at,
            generator_url=condition.url,
            resolved=alert.state is AlertState.RESOLVED,
        )
        return alert.sent
