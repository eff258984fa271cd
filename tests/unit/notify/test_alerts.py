"""Which alerts are pushed and when: the same as Prometheus makes of the shipped rules."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from leakwatch.leaks.labels import shown
from leakwatch.model import Frame, Target, TargetHealth, Verdict
from leakwatch.notify import annotations as text
from leakwatch.notify.alerts import Alert
from tests.support.leaking import START, Play, leak

SHIPPED = Path(__file__).parents[3] / "deploy" / "prometheus" / "leakwatch.rules.yml"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DOWN = TargetHealth(up=False, reason="connection", error="Connection refused", since=START)


def names(alerts: Iterable[Alert]) -> list[str]:
    """Return the names of alerts, with a minus before those that are resolved."""
    return [("-" if alert.resolved else "") + dict(alert.labels)["alertname"] for alert in alerts]


def test_a_leak_fires_at_once_and_is_sent_again() -> None:
    """It starts when leaking was first said, its end lies four times the delay ahead, each minute anew."""
    play = Play()
    (alert,) = play.at(20, [leak()])
    assert dict(alert.labels) == {
        "alertname": "GoroutineLeak",
        "severity": "warning",
        "service": "shop",
        "stack": leak().stack.fingerprint,
        "function": "example.com/shop/pipeline.Filter",
        "wait": "chan send",
        "owner": "team-shop",
    }
    assert (alert.starts, alert.ends, alert.resolved) == (START, START + 20 + 240, False)
    assert alert.url == f"https://leakwatch.example.com/leaks/shop/{leak().stack.fingerprint}"
    assert play.at(35, [leak()]) == []
    (again,) = play.at(80, [leak(goroutines=400)])
    assert (again.starts, again.ends) == (START, START + 80 + 240)
    assert "400" in again.annotations["summary"]


def test_labels_that_are_empty_are_none() -> None:
    """Without owner and wait reason there is no such label: so it is in Prometheus."""
    (alert,) = Play().at(0, [leak(wait="", owner="")])
    assert dict(alert.labels).keys() == {"alertname", "severity", "service", "stack", "function"}


def test_a_changed_verdict_is_told_at_once() -> None:
    """Proven, or standing still, is news that does not wait for the delay; the alert stays the same one."""
    play = Play()
    (first,) = play.at(0, [leak()])
    (proven,) = play.at(5, [leak(Verdict.PROVEN)])
    (still,) = play.at(10, [leak(Verdict.PLATEAU)])
    assert first.labels == proven.labels == still.labels
    assert "Proven" in proven.annotations["description"]
    assert "not growing now" in still.annotations["summary"]


def test_the_end_of_a_leak() -> None:
    """It fires five minutes longer, as in the rules; two minutes of silence; resolved for a quarter of an hour."""
    play = Play()
    sent: list[tuple[float, str, float]] = []
    for second in range(0, 40 * 60, 15):
        found = play.at(second, [leak()] if second < 600 else [leak(Verdict.RECOVERED)])
        sent += [(second, name, alert.ends - START) for alert, name in zip(found, names(found), strict=True)]
    firing = [second for second, name, _ in sent if name == "GoroutineLeak"]
    resolved = [second for second, name, _ in sent if name == "-GoroutineLeak"]
    assert firing == list(range(0, 900, 60))
    assert resolved == list(range(1020, 1020 + 901, 60))
    assert {ends for _, name, ends in sent if name == "-GoroutineLeak"} == {900.0}
    assert play.alerts.firing(START + 2400) == set()


def test_a_leak_that_comes_back_within_the_silence() -> None:
    """Nothing was resolved yet, so it is the same alert since the same time."""
    play = Play()
    play.at(0, [leak()])
    assert play.at(30) == []
    assert play.at(350) == []  # silent
    (again,) = play.at(365, [leak()])
    assert (again.starts, again.resolved) == (START, False)


def test_nothing_is_resolved_that_was_never_sent() -> None:
    """What recovered before we began, or was only pending, is never mentioned."""
    play = Play()
    assert play.at(0, [leak(Verdict.RECOVERED), leak(Verdict.PLATEAU, function="main.pool")]) == []
    suspicion = leak(Verdict.SUSPECTED, detected_at=None)
    assert play.at(15, [suspicion]) == []
    assert [alert for minute in range(1, 60) for alert in play.at(minute * MINUTE)] == []


def test_a_suspicion_gives_way_to_the_leak() -> None:
    """Told after a quarter of an hour; when it leaks, that is told instead, and the suspicion is resolved."""
    play = Play()
    told = [
        (minute, name)
        for minute in range(40)
        for name in names(play.at(minute * MINUTE, [leak(Verdict.SUSPECTED if minute < 20 else Verdict.LEAKING)]))
    ]
    assert [minute for minute, name in told if name == "GoroutineLeakSuspected"] == list(range(15, 20))
    assert [minute for minute, name in told if name == "GoroutineLeak"] == list(range(20, 40))
    assert min(minute for minute, name in told if name == "-GoroutineLeakSuspected") == 22


def test_an_end_is_never_before_its_start() -> None:
    """Whatever holds for however long: Alertmanager refuses alerts that end before they start."""
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
            assert all(alert.starts <= alert.ends for alert in play.at(seconds, leaks, health))


def test_memory_is_given_back() -> None:
    """A thousand leaks that came and went leave nothing behind a day later."""
    play = Play()
    many = [leak(function=f"main.f{i}") for i in range(1000)]
    assert len(play.at(0, many)) == 1000
    for hour in range(1, 26):
        for minute in (0, 10, 20):
            play.at(hour * HOUR + minute * MINUTE)
    assert play.alerts._lives == {}
    assert play.rules._leaked == {}


def test_a_new_alertmanager_hears_what_fires() -> None:
    """What was sent last of each alert that fires, and nothing that is resolved."""
    play = Play()
    play.at(0, [leak(), leak(function="main.other")])
    play.at(60, [leak()])
    play.at(600, [leak()])
    assert [dict(alert.labels)["function"] for alert in play.alerts.current()] == [leak().stack.blamed.function]


def size(annotations: Mapping[str, str]) -> int:
    """Return the bytes of all annotations."""
    return sum(len(part.encode()) for part in annotations.values())


def test_what_a_leak_says() -> None:
    """The whole stack with files and lines, why, since when, how sure, who owns it, where, and what to do."""
    (alert,) = Play().at(0, [leak()])
    said = alert.annotations
    assert said["summary"] == (
        "shop leaks goroutines in example.com/shop/pipeline.Filter (chan send): 340, 152 more per hour"
    )
    assert said["stack"] == (
        "example.com/shop/pipeline.Filter\n\t/src/pipeline.go:42\nmain.main\n\t/src/main.go:7"
    )
    assert said["targets"] == "10.0.0.1:6060\n10.0.0.2:6060"
    for part in (
        "340 goroutines of service shop are in example.com/shop/pipeline.Filter (chan send) and do not leave.",
        "This stack grew from 5 to 340 in 2h without departures; +152/h (140 to 163).",
        "Since: 2023-11-14 20:13:20 UTC.",
        "Confidence: 97 %.",
        "Owner: team-shop.",
    ):
        assert part in said["description"]
    assert alert.url in said["next_step"]


def hostile(make: Callable[[int], Frame], number: int) -> Mapping[str, str]:
    """Return the annotations of a leak with so many frames, and names as long as can be everywhere."""
    frames = tuple(make(i) for i in range(number))
    long = "süß" * 100_000
    many = leak(frames=frames, service=long, owner=long, targets=tuple(f"{long}{i}" for i in range(500)))
    (alert,) = Play().at(0, [many])
    return alert.annotations


@pytest.mark.parametrize("number", [1, 2, 50, 100_000])
def test_annotations_are_bounded(number: int) -> None:
    """Never more than 16 kB, cut with a mark; the leaf and the origin always stay."""
    length = 1_000_000 // number
    said = hostile(lambda i: Frame(f"main.f{i}" + "[…]" * (length + 100), "/ü" * (length + 100), i), number)
    assert size(said) <= 16_000
    assert said["stack"].startswith("main.f0[…]")
    assert f"main.f{number - 1}[…]" in said["stack"]
    if number > 50:
        kept = said["stack"].count("main.f")
        assert f"… {number - kept:,} frames more …" in said["stack"]
    assert said["targets"].endswith("…")


def test_an_ordinary_deep_stack_is_whole() -> None:
    """A hundred frames of usual length are all there."""
    frames = tuple(
        Frame(f"example.com/shop/server.(*Conn).step{i}", f"/src/shop/server/conn{i}.go", i) for i in range(100)
    )
    assert text.stack(frames, 12_000).count("\n") == 199


def test_a_leak_of_unknown_age() -> None:
    """No date is made up where nobody knows since when."""
    assert "Since" not in text.leaking(leak(), "http://x/", float("nan"))["description"]


def test_labels_are_cut_as_in_metrics() -> None:
    """An absurdly long name is the same label as in the metrics, so that both ways give one alert."""
    (alert,) = Play().at(0, [leak(function="main." + "x" * 1000)])
    assert dict(alert.labels)["function"] == shown("main." + "x" * 1000)


def test_targets_that_are_down() -> None:
    """One alert per service, with each target, its reason and what it said; a target that only flaps is none."""
    play = Play()
    health = {Target("shop", f"a:{i}"): DOWN for i in range(30)}
    health[Target("shop", "up:1")] = TargetHealth(up=True)
    health[Target("cart", "b:1")] = TargetHealth(up=False, since=START + 200)
    assert play.at(299, (), health) == []
    (alert,) = play.at(300, (), health)
    assert dict(alert.labels) == {"alertname": "LeakwatchTargetDown", "severity": "warning", "service": "shop"}
    assert alert.annotations["summary"] == "leakwatch cannot scrape 30 of 31 targets of shop"
    assert alert.annotations["targets"].startswith("a:0: connection, Connection refused\n")
    assert alert.annotations["targets"].endswith(" and 10 more")
    assert (alert.starts, alert.url) == (START + 300, "https://leakwatch.example.com/")
    assert len(play.at(500, (), health)) == 2
