"""The states of alerts as plain values, which a later process continues with. Pure.

A restored alert is sent at once, with the start time that it had.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from leakwatch.detect.plain import Plain
from leakwatch.errors import StateError
from leakwatch.notify.alerts import ActiveAlert, Alerts
from leakwatch.notify.rules import RULES, ActiveCondition, AlertRules

RULE_BY_NAME = {rule.name: rule for rule in RULES}


class SavedAlert(BaseModel):
    """One alert; times in unix seconds of the daemon's clock, as in ActiveAlert and ActiveCondition."""

    model_config = ConfigDict(frozen=True, strict=True)

    rule: str
    labels: list[tuple[str, str]]
    since: float
    verdict: str
    url: str
    annotations: dict[str, str]
    active_at: float
    fired_at: float | None
    inactive_since: float | None
    resolved_at: float | None

    @classmethod
    def of(cls, alert: ActiveAlert) -> "SavedAlert":
        """Return the form of an alert in which it is saved."""
        condition = alert.condition
        return cls(
            rule=condition.rule.name,
            labels=list(condition.labels),
            since=condition.since,
            verdict=condition.verdict,
            url=condition.url,
            annotations=dict(condition.make_annotations()),
            active_at=alert.active_at,
            fired_at=alert.fired_at,
            inactive_since=alert.inactive_since,
            resolved_at=alert.resolved_at,
        )

    def alert(self) -> ActiveAlert:
        """Return the alert."""
        annotations: Mapping[str, str] = self.annotations
        condition = ActiveCondition(
            rule=RULE_BY_NAME[self.rule],
            labels=tuple(self.labels),
            since=self.since,
            verdict=self.verdict,
            url=self.url,
            make_annotations=lambda: annotations,
        )
        return ActiveAlert(
            condition=condition,
            active_at=self.active_at,
            fired_at=self.fired_at,
            inactive_since=self.inactive_since,
            resolved_at=self.resolved_at,
        )


class SavedAlerts(BaseModel):
    """All alerts, and the times at which leaks were leaking: pairs of labels and time, as in AlertRules."""

    model_config = ConfigDict(frozen=True, strict=True)

    alerts: list[SavedAlert]
    leaked_at: list[tuple[list[str], float]]


def to_plain(alerts: Alerts, rules: AlertRules) -> Plain:
    """Return the states of all alerts as plain values."""
    saved = [SavedAlert.of(alert) for alert in alerts.active]
    leaked_at = [(list(labels), time) for labels, time in rules.leaked_at.items()]
    return SavedAlerts(alerts=saved, leaked_at=leaked_at).model_dump(mode="json")


def restore(plain: Any, alerts: Alerts, rules: AlertRules) -> None:
    """Continue with saved alerts. Alerts of rules that no longer exist are dropped. Raise StateError."""
    try:
        saved = SavedAlerts.model_validate(plain, strict=False)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(map(str, detail["loc"]))
        raise StateError(f"alerts: {place}: {detail['msg']}") from error
    alerts.restore([alert.alert() for alert in saved.alerts if alert.rule in RULE_BY_NAME])
    rules.leaked_at = {tuple(labels): time for labels, time in saved.leaked_at}
