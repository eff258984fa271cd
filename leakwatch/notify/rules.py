"""The alert rules of deploy/prometheus/leakwatch.rules.yml, evaluated on leaks instead of metrics. Pure.

Both hold for the same leaks at the same time and have the same labels. So an alert from Prometheus and the same
alert from leakwatch are one alert in Alertmanager. Rules about leakwatch itself exist only in the file: they use
the labels `instance` and `job`, which Prometheus assigns.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from leakwatch.leaks.labels import labels_of_target, leak_labels, shown
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.notify import annotations as text
from leakwatch.notify.links import AlertLinks

LOOKBACK: Final = 86_400.0  # seconds; a plateau keeps the alert if the stack was leaking within them
DOWN_FOR: Final = 300.0  # seconds

Labels = tuple[tuple[str, str], ...]
"""The labels of an alert, sorted by name: its identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """An alert rule.

    `hold_for`: seconds for which the condition holds before the alert fires (`for` in Prometheus).
    `keep_firing_for`: seconds for which the alert fires after the condition no longer holds.
    `severity`: "" if each leak has its own.
    """

    name: str
    severity: str
    hold_for: float
    keep_firing_for: float


LEAK: Final = AlertRule(name="GoroutineLeak", severity="", hold_for=0, keep_firing_for=300)
SUSPECTED: Final = AlertRule(name="GoroutineLeakSuspected", severity="info", hold_for=900, keep_firing_for=0)
TARGET_DOWN: Final = AlertRule(name="LeakwatchTargetDown", severity="warning", hold_for=0, keep_firing_for=300)
RULES: Final = (LEAK, SUSPECTED, TARGET_DOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveCondition:
    """The condition of a rule that holds now, for one set of labels.

    `since`: when it began to hold, in unix seconds; `verdict`: a change of it is sent at once.
    """

    rule: AlertRule
    labels: Labels
    since: float
    verdict: str
    url: str
    make_annotations: Callable[[], Mapping[str, str]]


class AlertRules:
    """Evaluates the rules. `wall` converts the daemon's time to the wall clock's."""

    def __init__(self, wall: Callable[[float], float]) -> None:
        self.links = AlertLinks()
        self.target_labels: tuple[str, ...] = ()
        """Names of the labels of targets that the alert of targets that are down has."""
        self.leaked_at: dict[tuple[str, ...], float] = {}
        """The labels of each leak of the last day, and service and stack alone -> the last time it was leaking."""
        self._wall = wall

    def evaluate(
        self, leaks: Iterable[Leak], health: Mapping[Target, TargetHealth], time: float
    ) -> list[ActiveCondition]:
        """Return the conditions that hold at `time`, in unix seconds."""
        return [*self._leaks(leaks, time), *self._targets_down(health, time)]

    def _leaks(self, leaks: Iterable[Leak], time: float) -> Iterator[ActiveCondition]:
        self.leaked_at = {key: last for key, last in self.leaked_at.items() if time - last <= LOOKBACK}
        for leak in leaks:
            labels = leak_labels(leak)
            all_labels, stack = tuple(labels.values()), (labels["service"], labels["stack"])
            if leak.verdict >= Verdict.LEAKING:
                self.leaked_at[all_labels] = self.leaked_at[stack] = time
            first_seen = self._wall(leak.first_seen)
            # A leak that stopped growing still holds its goroutines.
            if leak.verdict >= Verdict.PLATEAU and all_labels in self.leaked_at:
                rule, annotations = LEAK, text.leaking
                since = time if leak.detected_at is None else leak.detected_at
            elif leak.verdict is Verdict.SUSPECTED and stack not in self.leaked_at:
                rule, annotations, since = SUSPECTED, text.suspected, time
            else:
                continue
            yield ActiveCondition(
                rule=rule,
                labels=leak_alert_labels(rule, leak),
                since=since,
                verdict=leak.verdict.word,
                url=self.links.page(leak),
                make_annotations=partial(annotations, leak, self.links, first_seen),
            )

    def _targets_down(self, health: Mapping[Target, TargetHealth], time: float) -> Iterator[ActiveCondition]:
        scraped: dict[Labels, int] = defaultdict(int)
        down: dict[Labels, list[tuple[Target, TargetHealth]]] = defaultdict(list)
        for target, target_health in health.items():
            more = labels_of_target(target, self.target_labels)
            labels = alert_labels(TARGET_DOWN, {"service": shown(target.service), **more})
            if target_health.up is not None:
                scraped[labels] += 1
            if target_health.up is False and time - target_health.since >= DOWN_FOR:
                down[labels].append((target, target_health))
        for labels, targets in down.items():
            lines = [f"{shown(target.name)}: {state.reason}, {shown(state.error)}" for target, state in targets]
            service = shown(targets[0][0].service)
            yield ActiveCondition(
                rule=TARGET_DOWN,
                labels=labels,
                since=min(state.since for _, state in targets) + DOWN_FOR,
                verdict="",
                url=self.links.first_page(),
                make_annotations=partial(text.down, service, lines, scraped[labels], self.links),
            )


def leak_alert_labels(rule: AlertRule, leak: Leak) -> Labels:
    """Return the labels of an alert of a leak."""
    return alert_labels(rule, {**leak_labels(leak), "severity": leak.severity or "ticket"})


def alert_labels(rule: AlertRule, labels: Mapping[str, str]) -> Labels:
    """Return the labels of an alert. A label with an empty value is left out, as in Prometheus."""
    all_labels = {**labels, "alertname": rule.name, **({"severity": rule.severity} if rule.severity else {})}
    return tuple(sorted((name, value) for name, value in all_labels.items() if value))
