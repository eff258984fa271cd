"""States of alerts over time: firing, sent again, resolved."""

from collections.abc import Iterable

import numpy as np

from leakwatch.model import Target, TargetHealth, Verdict
from leakwatch.notify import saved_alerts
from leakwatch.notify.alerts import Alert
from tests.support.leaking import START, Play, leak

MINUTE, HOUR = 60.0, 3600.0
DOWN = TargetHealth(up=False, reason="connection", error="Connection refused", since=START)


def names(alerts: Iterable[Alert]) -> list[str]:
    """Return the names of alerts, with a minus before the names of resolved alerts."""
    return [("-" if alert.resolved else "") + dict(alert.labels)["alertname"] for alert in alerts]


def test_a_leak_fires_at_once_and_is_sent_again() -> None:
    """An alert starts when its leak was confirmed, ends 15 minutes later, and is sent again each minute."""
    play = Play()
    (alert,) = play.at(20, [leak()])
    assert dict(alert.labels) == {
        "alertname": "GoroutineLeak",
        "severity": "ticket",
        "service": "shop",
        "stack": leak().stack.fingerprint,
        "function": "example.com/shop/pipeline.Filter",
        "wait": "chan send",
        "owner": "team-shop",
    }
    assert (alert.starts_at, alert.ends_at, alert.resolved) == (START, START + 20 + 900, False)
    assert alert.generator_url == f"https://leakwatch.example.com/leaks/shop/{leak().stack.fingerprint}"
    assert play.at(35, [leak()]) == []
    (again,) = play.at(80, [leak(goroutines=400)])
    assert (again.starts_at, again.ends_at) == (START, START + 80 + 900)
    assert "400" in again.annotations["summary"]


def test_a_ticket_that_becomes_a_page_is_another_alert() -> None:
    """The page is sent at once; the ticket is resolved after five minutes without it, and two of silence."""
    play, sent = Play(), list[tuple[float, str, bool]]()
    for minute in range(12):
        for alert in play.at(minute * MINUTE, [leak(severity="ticket" if minute < 2 else "page")]):
            sent.append((minute, dict(alert.labels)["severity"], alert.resolved))
    assert [minute for minute, severity, _ in sent if severity == "page"] == [*range(2, 12)]
    assert [minute for minute, severity, resolved in sent if severity == "ticket" and not resolved] == [*range(7)]
    assert [minute for minute, _, resolved in sent if resolved] == [9, 10, 11]


def test_an_alert_that_is_rarely_sent_is_valid_longer() -> None:
    """With a long `resend` an alert is valid for four of them, so that lost requests do not end it."""
    (alert,) = Play(resend=600).at(0, [leak()])
    assert alert.ends_at == START + 2400


def test_a_restart_of_ten_minutes_resolves_nothing() -> None:
    """The restored alert is sent with the same start before the end time of the last one, and is not resolved."""
    before, after = Play(), Play()
    (sent,) = before.at(60, [leak()])
    saved_alerts.restore(saved_alerts.to_plain(before.alerts, before.rules), after.alerts, after.rules)
    (again,) = after.at(60 + 11 * MINUTE, [leak()])
    assert (again.labels, again.starts_at, again.resolved) == (sent.labels, sent.starts_at, False)
    assert sent.ends_at > START + 60 + 11 * MINUTE


def test_a_changed_verdict_is_sent_at_once() -> None:
    """The verdicts proven and plateau are sent before `resend` has passed, as the same alert."""
    play = Play()
    (first,) = play.at(0, [leak()])
    (proven,) = play.at(5, [leak(Verdict.PROVEN)])
    (still,) = play.at(10, [leak(Verdict.PLATEAU)])
    assert first.labels == proven.labels == still.labels
    assert "Proven" in proven.annotations["description"]
    assert "not growing" in still.annotations["summary"]


def test_the_end_of_a_leak() -> None:
    """The alert fires for five more minutes, is not sent for two, and is then sent as resolved for 15 minutes."""
    play = Play()
    sent: list[tuple[float, str, float]] = []
    for second in range(0, 40 * 60, 15):
        alerts = play.at(second, [leak()] if second < 600 else [leak(Verdict.RECOVERED)])
        sent += [(second, name, alert.ends_at - START) for alert, name in zip(alerts, names(alerts), strict=True)]
    firing = [second for second, name, _ in sent if name == "GoroutineLeak"]
    resolved = [second for second, name, _ in sent if name == "-GoroutineLeak"]
    assert firing == list(range(0, 900, 60))
    assert resolved == list(range(1020, 1020 + 901, 60))
    assert {ends for _, name, ends in sent if name == "-GoroutineLeak"} == {900.0}
    assert play.alerts.firing(START + 2400) == set()


def test_a_leak_that_returns_before_its_alert_is_resolved() -> None:
    """The same alert fires again, with the same start."""
    play = Play()
    play.at(0, [leak()])
    assert play.at(30) == []
    assert play.at(350) == []  # silent
    (again,) = play.at(365, [leak()])
    assert (again.starts_at, again.resolved) == (START, False)


def test_nothing_is_resolved_that_was_never_sent() -> None:
    """A leak that had recovered at the start, or was only pending, has no resolved alert."""
    play = Play()
    assert play.at(0, [leak(Verdict.RECOVERED), leak(Verdict.PLATEAU, function="main.pool")]) == []
    suspicion = leak(Verdict.SUSPECTED, detected_at=None)
    assert play.at(15, [suspicion]) == []
    assert [alert for minute in range(1, 60) for alert in play.at(minute * MINUTE)] == []


def test_a_confirmed_leak_replaces_the_suspicion() -> None:
    """A suspicion fires after 15 minutes. When the leak is confirmed, the alert of the suspicion is resolved."""
    play = Play()
    sent = [
        (minute, name)
        for minute in range(40)
        for name in names(play.at(minute * MINUTE, [leak(Verdict.SUSPECTED if minute < 20 else Verdict.LEAKING)]))
    ]
    assert [minute for minute, name in sent if name == "GoroutineLeakSuspected"] == list(range(15, 20))
    assert [minute for minute, name in sent if name == "GoroutineLeak"] == list(range(20, 40))
    assert min(minute for minute, name in sent if name == "-GoroutineLeakSuspected") == 22


def test_an_end_is_never_before_its_start() -> None:
    """For random verdicts and pauses; Alertmanager would refuse alerts that end before they start."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        play, seconds = Play(), 0.0
        verdict = Verdict.LEAKING
        for _ in range(200):
            seconds += float(rng.choice([1, 15, 200, 1000]))
            if rng.random() < 0.3:
                verdict = Verdict(int(rng.integers(0, 6)))
            leaks = [leak(verdict, detected_at=None)] if verdict else []
            health = {Target("shop", "a:1"): DOWN} if rng.random() < 0.5 else {}
            assert all(alert.starts_at <= alert.ends_at for alert in play.at(seconds, leaks, health))


def test_the_state_of_ended_leaks_is_removed() -> None:
    """A day after a thousand leaks ended, no state of them is left."""
    play = Play()
    many = [leak(function=f"main.f{i}") for i in range(1000)]
    assert len(play.at(0, many)) == 1000
    for hour in range(1, 26):
        for minute in (0, 10, 20):
            play.at(hour * HOUR + minute * MINUTE)
    assert len(play.alerts) == 0
    assert play.rules.leaked_at == {}


def test_a_new_alertmanager_gets_all_firing_alerts() -> None:
    """`current` returns each firing alert as it was sent last, and no resolved alert."""
    play = Play()
    play.at(0, [leak(), leak(function="main.other")])
    play.at(60, [leak()])
    play.at(600, [leak()])
    assert [dict(alert.labels)["function"] for alert in play.alerts.current()] == [leak().stack.blamed.function]
