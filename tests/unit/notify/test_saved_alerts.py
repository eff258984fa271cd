"""Alerts over a restart of leakwatch: the same start time, no resolve, no second notification."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from leakwatch.errors import StateError
from leakwatch.model import Verdict
from leakwatch.notify.alerts import Alert
from leakwatch.notify.rules import LEAK, SUSPECTED
from leakwatch.notify.saved_alerts import restore, to_plain
from tests.support.leaking import START, Play, leak

Sent = list[tuple[str, float, bool]]


def restarted(play: Play) -> Play:
    """Return a new play that continues with the alerts of another one, after a round trip through JSON."""
    new = Play()
    restore(json.loads(json.dumps(to_plain(play.alerts, play.rules))), new.alerts, new.rules)
    return new


def sent(alerts: list[Alert]) -> Sent:
    """Return name, seconds from START to its start, and whether it is resolved, of each alert."""
    return [(dict(alert.labels)["alertname"], alert.starts_at - START, alert.resolved) for alert in alerts]


def test_a_firing_alert_is_sent_at_once() -> None:
    """An alert keeps its labels and start time, and is sent with the first evaluation."""
    play = Play()
    (before,) = play.at(30, [leak()])
    (after,) = restarted(play).at(31, [leak()])
    assert (after.labels, after.starts_at, after.resolved) == (before.labels, START, False)
    assert after.annotations == before.annotations


def test_a_pending_alert_keeps_its_age() -> None:
    """A suspicion fires a quarter of an hour after it began, also if leakwatch restarted meanwhile."""
    suspected = leak(Verdict.SUSPECTED, detected_at=None)
    play = Play()
    assert play.at(0, [suspected]) == []
    play = restarted(play)
    assert play.at(890, [suspected]) == []
    assert sent(play.at(900, [suspected])) == [(SUSPECTED.name, 900, False)]


def test_a_leak_that_ended_meanwhile_is_resolved() -> None:
    """An alert is resolved if its leak is gone after the restart, with the annotations that it had."""
    play = Play()
    (before,) = play.at(0, [leak()])
    play = restarted(play)
    assert sent(play.at(60)) == [(LEAK.name, 0, False)]  # keep_firing_for
    resolved = [alert for after in range(120, 1200, 60) for alert in play.at(after) if alert.resolved]
    assert resolved
    assert resolved[0].annotations == before.annotations


def test_a_resolved_alert_stays_resolved() -> None:
    """A resolved alert is sent again for its retention, and then dropped."""
    play = Play()
    play.at(0, [leak()])
    for after in range(60, 700, 60):
        play.at(after)
    play = restarted(play)
    assert sent(play.at(700)) == [(LEAK.name, 0, True)]
    play.at(3000)
    assert len(play.alerts) == 0


def test_a_plateau_keeps_its_alert() -> None:
    """A leak that no longer grows keeps the alert for a day after its last growth, over a restart too."""
    play = Play()
    play.at(0, [leak()])
    play = restarted(play)
    plateau = leak(Verdict.PLATEAU)
    assert sent(play.at(3600, [plateau])) == [(LEAK.name, 0, False)]
    assert play.rules.leaked_at


def test_alerts_of_unknown_rules_are_dropped() -> None:
    """After a downgrade, the alerts of rules that do not exist are not restored."""
    play, new = Play(), Play()
    play.at(0, [leak()])
    plain = to_plain(play.alerts, play.rules)
    plain["alerts"][0]["rule"] = "GoroutineStorm"
    restore(plain, new.alerts, new.rules)
    assert len(new.alerts) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.pop("alerts"), "alerts: alerts: Field required"),
        (lambda plain: plain["alerts"][0].update(active_at="soon"), "alerts: alerts.0.active_at: Input"),
        (
            lambda plain: plain["alerts"][0].update(labels=7),
            "alerts: alerts.0.labels: Input",
        ),
    ],
)
def test_other_values_are_rejected(change: Callable[[Any], object], message: str) -> None:
    """An invalid value raises an error with its place, and changes nothing."""
    play = Play()
    play.at(0, [leak()])
    plain = to_plain(play.alerts, play.rules)
    change(plain)
    with pytest.raises(StateError) as error:
        restore(plain, play.alerts, play.rules)
    assert str(error.value).startswith(message)
    assert len(play.alerts) == 1
