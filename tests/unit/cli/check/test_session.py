"""`leakwatch check` from the command line to the exit status, with simulated services in virtual time."""

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.virtual_service import POLL, Load, VirtualService, invoke
from tests.support.virtual_time import VirtualClock, VirtualLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> VirtualLoop:
    """Return the loop of the command, whose clock is virtual."""
    loop = VirtualLoop(POLL)
    monkeypatch.setattr("leakwatch.cli.scrape_session.Clock", lambda: VirtualClock(loop))
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
    assert "1 leak; watched for 2m, 122 scrapes, blocks of 5s; less than" in result.stdout
    assert "leakwatch: watching shop for 2m, every 1s, in 24 blocks of 5s\n" in result.stderr
    assert "leakwatch: leaking: main.Leak grew from" in result.stderr
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
    assert target["why_not"] == "its process restarted: one process has to be watched for 2m"
    assert "its process restarted once meanwhile" in target["notes"]


def test_a_target_that_dies_half_way(loop: VirtualLoop) -> None:
    """The check gives the dead target up after 3 blocks with the reason, and judges the other target."""

    def dying(seconds: float) -> Mapping[str, int] | None:
        return busy(seconds) if seconds < 60 else None

    status, report = check(loop, VirtualService(dying), VirtualService(leaking))
    dead, alive = report["targets"]
    assert status == 1
    assert dead["why_not"].startswith("it answers no more: ")
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
            "scraping every 1s would cost it too much: it takes --for 8m at least, or a higher --cost-limit"
        )


def test_a_target_that_never_responds(loop: VirtualLoop) -> None:
    """The status is 2 after the timeout."""
    silent: Load = lambda _: None  # noqa: E731
    status, report = check(loop, VirtualService(silent), arguments=("--timeout", "5s"))
    (target,) = report["targets"]
    assert (status, target["scrapes"]) == (2, 0)
    assert target["why_not"].startswith("no profile could be had: ")
    assert 5 <= loop.time() < 7
