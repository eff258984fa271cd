"""What is to be told now: deploy/prometheus/leakwatch.rules.yml, on leaks instead of their metrics. Pure.

Both hold for the same leaks at the same time and give the same labels, so that an alert which Prometheus makes of
our metrics and the one that we push are one to Alertmanager. Rules about leakwatch itself are only there: they
name it by `instance` and `job`, which Prometheus gives it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from leakwatch.leaks.labels import leak_labels, leak_url, shown
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.notify import annotations as text

REMEMBERED: Final = 86_400.0  # seconds for which a leak that stands still is told
DOWN_FOR: Final = 300.0  # seconds

Labels = tuple[tuple[str, str], ...]
"""Of an alert, in the order of their names: what tells it from others."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """What alerts of one name have in common.

    `wait`: seconds for which it holds before it fires, `keep`: for which it fires on when it holds no more.
    """

    name: str
    severity: str
    wait: float
    keep: float


LEAK: Final = AlertRule("GoroutineLeak", "warning", wait=0, keep=300)
SUSPECTED: Final = AlertRule("GoroutineLeakSuspected", "info", wait=900, keep=0)
DOWN: Final = AlertRule("LeakwatchTargetDown", "warning", wait=0, keep=300)
RULES: Final = (LEAK, SUSPECTED, DOWN)


@dataclass(frozen=True, slots=True)
class ActiveCondition:
    """Something that a rule wants told now.

    `since`: when it became true, in unix seconds; `state`: what is told at once when it changes; `texts`: returns
    the annotations.
    """

    rule: AlertRule
    labels: Labels
    since: float
    state: str
    url: str
    texts: Callable[[], Mapping[str, str]]


class Rules:
    """Remembers what leaked within the last day. `wall`: turns our time into the wall clock's."""

    def __init__(self, wall: Callable[[float], float]) -> None:
        self.base = ""
        """The URL of our pages."""
        self._wall = wall
        self._leaked: dict[tuple[str, ...], float] = {}
        """Labels of a leak, and those of its stack alone -> when it leaked last."""

    def holding(
        self, leaks: Iterable[Leak], health: Mapping[Target, TargetHealth], time: float
    ) -> list[ActiveCondition]:
        """Return what is to be told at `time`, in unix seconds."""
        return [*self._leaks(leaks, time), *self._down(health, time)]

    def _leaks(self, leaks: Iterable[Leak], time: float) -> Iterator[ActiveCondition]:
        self._leaked = {key: last for key, last in self._leaked.items() if time - last <= REMEMBERED}
        for leak in leaks:
            labels = leak_labels(leak)
            whole, stack = tuple(labels.values()), (labels["service"], labels["stack"])
            if leak.verdict >= Verdict.LEAKING:
                self._leaked[whole] = self._leaked[stack] = time
            url, first_seen = leak_url(self.base, leak), self._wall(leak.first_seen)
            # Nothing gets worse when a leak stands still, but what leaked is still held.
            if leak.verdict >= Verdict.PLATEAU and whole in self._leaked:
                since = time if leak.detected_at is None else leak.detected_at
                texts = partial(text.leaking, leak, url, first_seen)
                yield ActiveCondition(LEAK, alert_labels(LEAK, labels), since, leak.verdict.word, url, texts)
            elif leak.verdict is Verdict.SUSPECTED and stack not in self._leaked:
                texts = partial(text.suspected, leak, url, first_seen)
                yield ActiveCondition(
                    SUSPECTED, alert_labels(SUSPECTED, labels), time, leak.verdict.word, url, texts
                )

    def _down(self, health: Mapping[Target, TargetHealth], time: float) -> Iterator[ActiveCondition]:
        known: dict[str, int] = defaultdict(int)
        down: dict[str, list[tuple[Target, TargetHealth]]] = defaultdict(list)
        for target, state in health.items():
            if state.up is not None:
                known[shown(target.service)] += 1
            if state.up is False and time - state.since >= DOWN_FOR:
                down[shown(target.service)].append((target, state))
        for service, those in down.items():
            since = min(state.since for _, state in those) + DOWN_FOR
            lines = [f"{shown(target.name)}: {state.reason}, {shown(state.error)}" for target, state in those]
            texts = partial(text.down, service, lines, known[service])
            yield ActiveCondition(
                DOWN, alert_labels(DOWN, {"service": service}), since, "", f"{self.base.rstrip('/')}/", texts
            )


def alert_labels(rule: AlertRule, labels: Mapping[str, str]) -> Labels:
    """Return the labels of an alert; an empty one is none."""
    named = {**labels, "alertname": rule.name, "severity": rule.severity}
    return tuple(sorted((name, value) for name, value in named.items() if value))
