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
from leakwatch.settings.units import parse_duration
from tests.support.virtual_service import Load, VirtualService, invoke
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
    assert "; +120/min (" in result.stdout
    assert "/h" not in result.output
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


def against(loop: VirtualLoop, new: VirtualService, baseline: VirtualService) -> tuple[int, Any]:
    """Check a service against a baseline; return the exit status and the JSON."""
    urls = (f"canary={new.url}", "--against", f"stable={baseline.url}")
    result = invoke(loop, [new, baseline], "check", *urls, "--format", "json")
    return result.exit_code, json.loads(result.stdout)


def test_a_leak_of_the_new_build(loop: VirtualLoop) -> None:
    """A leak that the baseline does not have fails the check, and the baseline is one of the judged targets."""
    status, report = against(loop, VirtualService(leaking), VirtualService(busy))
    (leak,) = report["leaks"]
    assert (status, leak["service"], leak["regression"]) == (1, "canary", True)
    assert leak["comparisons"][0]["result"] == "grows more"
    assert [(target["service"], target["judged"]) for target in report["targets"]] == [
        ("canary", True),
        ("stable", True),
    ]


def test_a_leak_of_both_builds(loop: VirtualLoop) -> None:
    """A leak that both builds have does not fail the check, and the baseline's own verdict is not listed."""
    status, report = against(loop, VirtualService(leaking), VirtualService(leaking))
    (leak,) = report["leaks"]
    assert (status, leak["service"], leak["regression"]) == (0, "canary", False)
    assert leak["comparisons"][0]["result"] == "grows on both"


def test_growth_without_a_confirmed_leak(loop: VirtualLoop) -> None:
    """A stack that gains too little to be confirmed fails the check if the baseline does not gain it."""

    def slow(seconds: float) -> Mapping[str, int]:
        return {**busy(seconds), "Leak": 3 + int(seconds / 6)}

    status, report = against(loop, VirtualService(slow), VirtualService(busy))
    (regression,) = report["regressions"] + report["suspects"]
    assert (status, report["leaks"]) == (1, [])
    assert regression["function"] == "main.Leak"


@pytest.mark.parametrize("new", [busy, leaking], ids=["healthy", "leaking"])
def test_a_baseline_that_restarts(loop: VirtualLoop, new: Load) -> None:
    """The status is 2 if the baseline restarts, whatever the new build does."""
    status, report = against(loop, VirtualService(new), VirtualService(busy, restart=60.0))
    assert status == 2
    assert report["targets"][1]["why_not"] == "its process restarted: a check needs 2m of one process"


def test_a_baseline_that_is_down(loop: VirtualLoop) -> None:
    """The status is 2 if the baseline does not respond, and the conclusion has the reason."""
    service = VirtualService(leaking)
    arguments = (f"canary={service.url}", "--against", "stable=http://127.0.0.1:1")
    result = invoke(loop, [service], "check", *arguments)
    assert result.exit_code == 2
    assert "not judged: no scrape succeeded: " in result.stdout
    assert "not compared: the baseline was not judged, 1 leak, 1 of 2 targets not judged" in result.stdout


def test_a_leak_in_junit(loop: VirtualLoop) -> None:
    """Standard output has only the report, in which the leak is a failure."""
    service = VirtualService(leaking)
    result = invoke(loop, [service], "check", service.url, "--format", "junit")
    (suite,) = junitparser.JUnitXml.fromstring(result.stdout.encode())
    assert (result.exit_code, suite.tests, suite.failures) == (1, 1, 1)


def test_the_creator_of_a_leak(loop: VirtualLoop) -> None:
    """A leaking target receives one request for a full dump, at the end; the output has creator and wait times."""
    leaky, healthy = VirtualService(leaking), VirtualService(busy)
    result = invoke(loop, [leaky, healthy], "check", f"shop={leaky.url}", f"cart={healthy.url}")
    assert (result.exit_code, leaky.dumps, healthy.dumps) == (1, 1, 0)
    assert "  Created by main.start at /src/start.go:9.\n" in result.stdout
    assert "  The oldest has waited for 2m" in result.stdout


def test_the_creator_in_json(loop: VirtualLoop) -> None:
    """The JSON of a leak has the functions that created its goroutines."""
    _, report = check(loop, VirtualService(leaking))
    (creator,) = report["leaks"][0]["creators"]
    assert (creator["function"], creator["file"], creator["line"]) == ("main.start", "/src/start.go", 9)
    assert creator["goroutines"] > 200


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--no-full-dump",), None),
        (("--full-dump-limit", "100"), r"the process has \d+ goroutines and would stop meanwhile; .*limit \d+"),
    ],
)
def test_no_full_dump(loop: VirtualLoop, arguments: tuple[str, ...], reason: str | None) -> None:
    """Without permission, and of a large process, no full dump is requested; the output states the limit."""
    service = VirtualService(leaking)
    result = invoke(loop, [service], "check", service.url, *arguments)
    assert (result.exit_code, service.dumps) == (1, 0)
    assert ("Creators are unknown" in result.stdout) == bool(reason)
    assert re.search(reason or "", result.stdout)


def fast(seconds: float) -> Mapping[str, int]:
    """Return the busy load and a leak of 20 per second."""
    return {**busy(seconds), "Leak": 3 + int(20 * seconds)}


def test_fail_fast(loop: VirtualLoop) -> None:
    """The first leak ends the check with 1. The other target has no result, and the slowest leak is not stated."""
    leaky, healthy = VirtualService(fast), VirtualService(busy)
    arguments = (f"shop={leaky.url}", f"cart={healthy.url}", "--fail-fast", "--full-dump-limit", "9000")
    result = invoke(loop, [leaky, healthy], "check", *arguments)
    assert (result.exit_code, leaky.dumps) == (1, 1)
    assert 40 <= loop.time() < 90
    assert "not judged: another target leaks, and --fail-fast ended the check" in result.stdout
    assert "1 leak, 1 of 2 targets not judged; checked for " in result.stdout
    assert result.stdout.endswith("; ended at the first leak by --fail-fast\n")


@pytest.mark.parametrize("arguments", [(), ("--fail-on", "suspected")])
def test_fail_fast_without_a_leak(loop: VirtualLoop, arguments: tuple[str, ...]) -> None:
    """A check without a leak takes the whole time."""
    service = VirtualService(busy)
    status, report = check(loop, service, arguments=("--fail-fast", *arguments))
    assert (status, report["ended_early"]) == (0, False)
    assert report["targets"][0]["seconds"] == pytest.approx(121, abs=2)


def test_fail_fast_at_a_suspicion(loop: VirtualLoop) -> None:
    """With --fail-on suspected, a suspicion ends the check before the leak is confirmed."""
    status, report = check(loop, VirtualService(leaking), arguments=("--fail-fast", "--fail-on", "suspected"))
    assert (status, report["ended_early"], report["leaks"], len(report["suspects"])) == (1, True, [], 1)


def test_progress(loop: VirtualLoop) -> None:
    """Without a terminal, standard error has a line every 30 seconds with scrapes, goroutines and errors."""
    service = VirtualService(leaking)
    down = "http://127.0.0.1:1"
    result = invoke(loop, [service], "check", f"shop={service.url}", f"cart={down}", "--timeout", "200s")
    lines = [line for line in result.stderr.splitlines() if " of 2m: " in line]
    seconds = [parse_duration(line.split(" of ")[0].removeprefix("leakwatch: ")) for line in lines[:4]]
    assert seconds == pytest.approx([30, 60, 90, 120], abs=2)
    assert re.search(r"\d+s of 2m: \d+ scrapes, \d+ goroutines, 127.0.0.1:1: .*[Cc]onnection refused", lines[0])
    assert "1 suspected" in lines[3]


def test_several_outputs(loop: VirtualLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One check writes a table, annotations, files, and the summary of the step on GitHub."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    service = VirtualService(leaking)
    outputs = ("table", "github", f"junit={tmp_path / 'leaks.xml'}", f"json={tmp_path / 'leaks.json'}")
    arguments = [word for output in outputs for word in ("--output", output)]
    result = invoke(loop, [service], "check", f"shop={service.url}", *arguments)
    assert result.exit_code == 1
    table, _, annotations = result.stdout.partition("::error title=goroutine leak in main.Leak")
    assert "LEAKING  main.Leak" in table
    assert "::notice title=leakwatch check::" in annotations
    assert json.loads((tmp_path / "leaks.json").read_text())["result"] == "leaking"
    (suite,) = junitparser.JUnitXml.fromfile(str(tmp_path / "leaks.xml"))
    assert suite.failures == 1
    assert (tmp_path / "summary.md").read_text().startswith("before\n### leakwatch check: leaking\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaks.json", "leaks.xml", "summary.md"]


def test_an_invalid_configuration_is_not_a_leak(loop: VirtualLoop, tmp_path: Path) -> None:
    """The status is 2 if the configuration is invalid: 1 would mean a leak."""
    (tmp_path / "leakwatch.yml").write_text("ignore: 7")
    result = invoke(loop, [], "check", "http://x:1", "--config", str(tmp_path / "leakwatch.yml"))
    assert result.exit_code == 2
    assert "leakwatch.yml" in result.stderr
    loop.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://x:1", "--for", "soon"], "--for: 'soon' is not a duration"),
        (["http://x:1", "--for", "0s"], "--for 0: must be a number greater than 0"),
        (["http://x:1", "--cost-limit", "2"], "--cost-limit 2: must be above 0 and at most 1"),
        (["http://x:1", "--cost-limit", "nan"], "--cost-limit nan: must be"),
        (["http://x:1", "http://x:1"], "a target is given twice"),
        (["http://x:1", "--against", "http://x:1"], "a target is given twice"),
        (["a=http://x:1", "--against", "a=http://y:1"], "--against: 'a' is also the service of a checked URL"),
        (["ftp://x"], "target 'ftp://x': must be 'http' or 'https'"),
        (["http://x:1", "--format", "json", "--output", "json=x"], "--format cannot be combined with --output"),
        (
            ["http://x:1", "--output", "json=/no/x.json"],
            "--output json=/no/x.json: cannot be written: No such file",
        ),
        (
            ["http://x:1", "--fail-fast", "--against", "http://y:1"],
            "--fail-fast cannot be combined with --against",
        ),
        (["http://x:1", "--full-dump-limit", "-1"], "--full-dump-limit -1: must be 0 or more"),
        (
            ["shop=http://me:secret@x:1", "--for", "30s"],
            "(24 blocks); for a result after 30s: leakwatch check shop=http://x:1 --for 30s --interval 250ms",
        ),
        (
            ["http://x:1", "--for", "5s"],
            "for a result after 12s: leakwatch check http://x:1 --for 12s --interval 100ms",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_invalid_check(loop: VirtualLoop, arguments: list[str], message: str) -> None:
    """An invalid command line raises UsageError before the first scrape."""
    with pytest.raises(UsageError, match=re.escape(message)):
        invoke(loop, [], "check", *arguments)
    loop.close()
