"""`leakwatch check` from the command line to the exit status, with simulated services in virtual time."""

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import junitparser
import pytest

from leakwatch.clock import Lag
from leakwatch.errors import UsageError
from tests.support.virtual_service import VirtualService, invoke
from tests.support.virtual_time import VirtualClock, VirtualLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> VirtualLoop:
    """Return the event loop of the command, with a virtual clock."""
    loop = VirtualLoop()
    monkeypatch.setattr("leakwatch.cli.scrape_session.Clock", lambda: VirtualClock(loop))
    # The wait for a core is real time: on a busy machine it would be subtracted from the virtual time of a scrape.
    monkeypatch.setattr("leakwatch.cli.scrape_session.Lag", lambda: Lag(Path("no schedstat")))
    return loop


def busy(seconds: float) -> Mapping[str, int]:
    """Return a load that swings in 30 s and has a burst every 7 s."""
    dice = random.Random(seconds)  # noqa: S311  not a secret
    swing = abs(seconds % 30 - 15) / 15
    return {
        "Serve": 20 + round(40 * swing * dice.uniform(0.7, 1.3)),
        "Burst": round(50 * max(0.0, 1 - seconds % 7)),
        "Worker": 6,
    }


def leaking(seconds: float) -> Mapping[str, int]:
    """Return the busy load and a leak of 2 per second."""
    return {**busy(seconds), "Leak": 3 + int(2 * seconds)}


def check(loop: VirtualLoop, *services: VirtualService, arguments: tuple[str, ...] = ()) -> tuple[int, Any]:
    """Check services named s0, s1, ... for 2 minutes at 1 s; return the exit status and the JSON."""
    urls = [f"s{number}={service.url}" for number, service in enumerate(services)]
    result = invoke(loop, services, "check", *urls, "--format", "json", *arguments)
    return result.exit_code, json.loads(result.stdout)


def test_a_leak_fails_the_check(loop: VirtualLoop) -> None:
    """The status is 1; the table has place, rate and reason of the leak; progress is on standard error."""
    service = VirtualService(leaking)
    result = invoke(loop, [service], "check", f"shop={service.url}")
    assert result.exit_code == 1
    assert "LEAKING  main.Leak  /src/Leak.go:7" in result.stdout
    assert "; +7,200/h (" in result.stdout
    assert "1 leak; checked for 2m, 122 scrapes, blocks of 5s; leaks below 20 goroutines a minute" in result.stdout
    assert "leakwatch: checking shop for 2m, every 1s, in 24 blocks of 5s\n" in result.stderr
    assert "leakwatch: leaking: main.Leak: grew from" in result.stderr
    assert "\x1b" not in result.output


def test_a_busy_service_passes(loop: VirtualLoop) -> None:
    """The status is 0 with a load that swings and bursts."""
    status, report = check(loop, VirtualService(busy))
    assert (status, report["result"], report["leaks"], report["suspects"]) == (0, "clean", [], [])
    (target,) = report["targets"]
    assert (target["judged"], target["scrapes"]) == (True, 122)


def test_a_restarted_target_is_not_judged(loop: VirtualLoop) -> None:
    """The status is 2 if a process restarts half-way: no process was watched for long enough."""
    status, report = check(loop, VirtualService(busy, restart=60.0))
    (target,) = report["targets"]
    assert (status, target["restarts"]) == (2, 1)
    assert target["why_not"] == "its process restarted: a check needs 2m of one process"
    assert "its process restarted once during the check" in target["notes"]


def test_a_target_that_dies_half_way(loop: VirtualLoop) -> None:
    """The check gives the dead target up after 3 blocks with the reason, and judges the other target."""

    def dying(seconds: float) -> Mapping[str, int] | None:
        return busy(seconds) if seconds < 60 else None

    status, report = check(loop, VirtualService(dying), VirtualService(leaking))
    dead, alive = report["targets"]
    assert status == 1
    assert dead["why_not"].startswith("it no longer responds: ")
    assert dead["seconds"] == pytest.approx(60, abs=1)
    assert (alive["judged"], alive["why_not"], alive["seconds"]) == (True, "", pytest.approx(120, abs=1))


@pytest.mark.parametrize(("duration", "interval"), [(0.04, 1.0), (0.2, 4.0)])
def test_a_slow_target_is_scraped_less_often(loop: VirtualLoop, duration: float, interval: float) -> None:
    """Scrapes take at most 5 % of a core; the report states the duration that a judgement would take."""
    service = VirtualService(leaking, duration)
    status, report = check(loop, service)
    (target,) = report["targets"]
    assert service.requests <= 125 / interval + 5  # the first scrapes have credit
    assert status == (1 if interval == 1 else 2)
    if status == 2:
        assert target["why_not"] == (
            "scraping every 1s would exceed the cost limit: use --for 8m or more, or a higher --cost-limit"
        )


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (None, "Server disconnected without sending a response"),
        (b"<!doctype html><title>\x1b[31m</title>", "not a goroutine profile"),
        (b"", "the body is empty"),
    ],
    ids=["none", "html", "empty"],
)
def test_a_target_without_a_profile(loop: VirtualLoop, load: bytes | None, reason: str) -> None:
    """The status is 2 after the timeout, with an escaped quote of the body."""
    service = VirtualService(lambda _: load)
    result = invoke(loop, [service], "check", service.url, "--timeout", "5s")
    assert result.exit_code == 2
    assert "no scrape succeeded: " in result.stdout
    assert reason in result.stdout
    assert "1 of 1 targets not judged" in result.stdout
    assert "\x1b" not in result.output
    assert 5 <= loop.time() < 7


def test_a_target_that_is_down(loop: VirtualLoop) -> None:
    """The status is 2 after the timeout; the password is not printed."""
    result = invoke(loop, [], "check", "http://user:hunter2@127.0.0.1:1", "--timeout", "5s")
    assert (result.exit_code, "Connection refused" in result.stdout) == (2, True)
    assert "hunter2" not in result.output


def test_a_leak_in_junit(loop: VirtualLoop) -> None:
    """Standard output has only the report, in which the leak is a failure."""
    service = VirtualService(leaking)
    result = invoke(loop, [service], "check", service.url, "--format", "junit")
    (suite,) = junitparser.JUnitXml.fromstring(result.stdout.encode())
    assert (result.exit_code, suite.tests, suite.failures) == (1, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://x:1", "--for", "soon"], "--for: 'soon' is not a duration"),
        (["http://x:1", "--for", "0s"], "--for 0: must be a number greater than 0"),
        (["http://x:1", "--cost-limit", "2"], "--cost-limit 2: must be above 0 and at most 1"),
        (["http://x:1", "--cost-limit", "nan"], "--cost-limit nan: must be"),
        (["http://x:1", "http://x:1"], "a target is given twice"),
        (["ftp://x"], "target 'ftp://x': must be 'http' or 'https'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_invalid_check(loop: VirtualLoop, arguments: list[str], message: str) -> None:
    """An invalid command line raises UsageError before the first scrape."""
    with pytest.raises(UsageError, match=re.escape(message)):
        invoke(loop, [], "check", *arguments)
    loop.close()
