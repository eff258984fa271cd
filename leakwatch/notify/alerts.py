"""The life of an alert, as Prometheus's rules give it one: pending, firing, sent again and again, resolved. Pure.

By level, not by edge: what fires is sent every `resend` seconds with an end that lies a little ahead, so that an
Alertmanager which hears no more of it ends it by itself. Nothing is resolved that was never sent.

Where Prometheus evaluates the same rules and sends the same alerts, it sees the end of one up to a scrape and an
evaluation later than we do, and would fire anew what we had resolved. So we fall silent first, for half of the
time that Alertmanager goes on believing us, and resolve then.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from leakwatch.notify.rules import ActiveCondition, Labels

RETENTION: Final = 900.0  # seconds for which a resolved alert is sent again


@dataclass(frozen=True, slots=True)
class Alert:
    """What is sent; times in unix seconds.

    `texts`: asked for the annotations when a request is written: they are long, and many are never sent.
    """

    labels: Labels
    texts: Callable[[], Mapping[str, str]]
    starts: float
    ends: float
    url: str
    resolved: bool

    @property
    def annotations(self) -> Mapping[str, str]:
        """What it says to a reader."""
        return self.texts()


@dataclass(slots=True)
class Life:
    """One alert since it first held."""

    holding: ActiveCondition
    """As it was when it last held."""
    since: float
    starts: float | None = None
    """When it began to fire."""
    gone: float | None = None
    """Since when it holds no more."""
    resolved: float | None = None
    sent: float = float("-inf")
    told: str = ""
    alert: Alert | None = None
    """What was sent last."""


class Alerts:
    """All alerts; `resend`: seconds after which one is sent again, `interval`: from one update to the next."""

    def __init__(self, resend: float = 60.0, interval: float = 15.0) -> None:
        self.resend = resend
        self.interval = interval
        self._lives: dict[Labels, Life] = {}

    def update(self, holding: Iterable[ActiveCondition], time: float) -> list[Alert]:
        """Take in all that is to be told at `time`; return the alerts that are to be sent now."""
        held = {one.labels: one for one in holding}
        for labels, one in held.items():
            life = self._lives.get(labels)
            if life is None or _over(life, time):
                life = self._lives[labels] = Life(one, time)
            life.holding = one
        self._lives = {
            labels: life for labels, life in self._lives.items() if self._goes_on(life, time, held=labels in held)
        }
        return [self._send(life, time) for life in self._lives.values() if self._due(life, time)]

    def firing(self, time: float) -> set[Labels]:
        """Return the labels of those that fire at `time`."""
        return {
            labels for labels, life in self._lives.items() if life.starts is not None and not _over(life, time)
        }

    def current(self) -> list[Alert]:
        """Return what was sent last of each that is not resolved: for an Alertmanager that is new."""
        return [life.alert for life in self._lives.values() if life.alert and not life.alert.resolved]

    @property
    def _trust(self) -> float:
        """Seconds for which Alertmanager believes that an alert fires: two losses on the way are nothing."""
        return 4 * max(self.resend, self.interval)

    def _goes_on(self, life: Life, time: float, *, held: bool) -> bool:
        """Let one alert grow older; tell whether it is still of interest."""
        rule = life.holding.rule
        if held:
            life.gone = None
            if life.starts is None and time - life.since >= rule.wait:
                life.starts = time if rule.wait else life.holding.since
            return True
        if life.starts is None:
            return False
        life.gone = time if life.gone is None else life.gone
        if life.resolved is None and time - life.gone >= rule.keep + self._trust / 2:
            life.resolved = time
        return life.resolved is None or time - life.resolved <= RETENTION

    def _due(self, life: Life, time: float) -> bool:
        if life.starts is None:
            return False
        late = time - life.sent >= self.resend
        if life.resolved is not None:
            return late or life.sent < life.resolved
        return not _over(life, time) and (late or life.told != life.holding.state)

    def _send(self, life: Life, time: float) -> Alert:
        one, resolved = life.holding, life.resolved is not None
        starts = time if life.starts is None else life.starts
        ends = time + self._trust if life.gone is None or not resolved else life.gone + one.rule.keep
        life.sent, life.told = time, one.state
        life.alert = Alert(one.labels, one.texts, starts, ends, one.url, resolved)
        return life.alert


def _over(life: Life, time: float) -> bool:
    """Tell whether it fires no more: it holds no more, and the time that it is kept is over too."""
    return life.gone is not None and time - life.gone >= life.holding.rule.keep
