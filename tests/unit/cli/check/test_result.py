"""Result of a check: plan, status, reasons, and the formats JSON, JUnit XML and GitHub commands."""

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import junitparser
import pytest

from leakwatch.cli.check.formats import to_github, to_json, to_junit
from leakwatch.cli.check.result import (
    ENDED_EARLY,
    Outcome,
    TargetResult,
    WindowCoverage,
    choose_plan,
    conclusion,
    plan_text,
    sooner,
    split_by_verdict,
    why_unjudged,
)
from leakwatch.cli.check.text import text
from leakwatch.detect.history import History
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.settings.units import exact_duration, parse_duration
from tests.support.leaking import leak

PLAN = choose_plan(120, 1, None)
JUDGED = TargetResult(
    target=Target("shop", "10.0.0.1:6060"),
    scrapes=121,
    failed=0,
    restarts=0,
    interval=1,
    block=5,
    span=120,
    goroutines=300,
)
HOSTILE = 'main.\x1b[31m<script>"&,:%\n::set-output name=x::y##[add-mask]\u202e\ud800\ufffe'
UNJUDGED = replace(
    JUDGED,
    target=Target("cart\x07", "b:1"),
    scrapes=3,
    failed=10,
    restarts=1,
    span=10,
    why_unjudged="down: <&>%",
    notes=("10 scrapes failed",),
)
CLEAN = Outcome(plan=PLAN, targets=[JUDGED], leaks=[], suspects=[])
SUSPECT = leak(Verdict.SUSPECTED, function="main.maybe")
LEAKING = replace(CLEAN, targets=[JUDGED, UNJUDGED], leaks=[leak(function=HOSTILE)], suspects=[SUSPECT])
COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


@pytest.mark.parametrize(
    ("span", "interval", "block", "expected"),
    [(120, 1, None, 5), (600, 1, None, 25), (7200, 15, None, 300), (86400, 15, None, 300), (240, 1, 6, 6)],
)
def test_blocks_fit(span: float, interval: float, block: float | None, expected: float) -> None:
    """24 blocks fill the time; from two hours on a block has 5 minutes; --block overrides both."""
    assert choose_plan(span, interval, block).block == expected


@pytest.mark.parametrize(
    ("span", "interval", "block", "message"),
    [
        (30, 1, None, "--for 30s: too short to judge: --interval 1s needs at least 2m (24 blocks)"),
        (120, 1.5, None, "--for 2m: too short to judge: --interval 1s500ms needs at least 3m (24 blocks)"),
        (120, 1, 10, "--for 2m: too short to judge: --block 10s needs at least 4m (24 blocks)"),
        (600, 1, 2, "--block 2s: too short: a block needs 5 scrapes, which at --interval 1s take 5s"),
    ],
)
def test_a_plan_that_is_too_short(span: float, interval: float, block: float | None, message: str) -> None:
    """The error names the option, and the time that a check needs."""
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_plan(span, interval, block)


@pytest.mark.parametrize("span", [*range(12, 120), 34.8, 1000])
def test_the_suggested_check_is_valid(span: float) -> None:
    """The suggested interval makes the duration sufficient, as the command line reads it."""
    suggested, interval = sooner(span)
    assert suggested == span
    assert choose_plan(span, parse_duration(exact_duration(interval)), None).span == span


def test_durations_of_blocks() -> None:
    """The plan and the conclusion write seconds with decimals."""
    plan = choose_plan(30, 0.25, None)
    assert plan_text(plan, [JUDGED.target]) == "checking shop for 30s, every 250ms, in 24 blocks of 1.25s"
    assert "blocks of 1.25s; leaks below 80 goroutines a minute" in conclusion(replace(CLEAN, plan=plan))
    assert "in 24 blocks of 1m15s" in plan_text(choose_plan(1800, 1, None), [])


def test_the_status() -> None:
    """0 clean, 1 a leak, 2 not judged. A leak outweighs an unjudged target; a stopped check is always 2."""
    assert CLEAN.status == 0
    assert LEAKING.status == 1
    assert replace(CLEAN, targets=[JUDGED, UNJUDGED]).status == 2
    assert replace(CLEAN, suspects=[SUSPECT]).status == 0
    assert replace(CLEAN, suspects=[SUSPECT], strict=True).status == 1
    assert replace(CLEAN, leaks=[leak()], stopped=True).status == 2


def test_leaks_that_stopped_growing_do_not_fail_a_check() -> None:
    """Confirmed and suspected leaks are separated; recovered leaks and plateaus are in neither list."""
    leaks = [leak(verdict) for verdict in Verdict if verdict]
    confirmed, suspects = split_by_verdict(leaks)
    assert {leak.verdict for leak in confirmed} == {Verdict.LEAKING, Verdict.PROVEN}
    assert [leak.verdict for leak in suspects] == [Verdict.SUSPECTED]


def test_a_verdict_needs_three_blocks() -> None:
    """Three blocks in a row with a scored window are sufficient; a gap or a restart starts again."""
    history, coverage = History(5.0), WindowCoverage()
    for second in range(220):
        if not 60 <= second < 85:
            history.record(1e9 + second, {})
            coverage.update(history)
        if second in {117, 160}:
            assert not coverage.is_sufficient
    assert coverage.is_sufficient
    history.restart()
    history.record(2e9, {})
    coverage.update(history)
    assert not coverage.is_sufficient


def test_why_a_target_was_not_judged() -> None:
    """The first applicable reason is returned, with a remedy."""
    state = Pipeline(DetectionSettings(block=5.0)).add_target(Target("shop", "a:1"))

    def why(*, stopped: bool = False, error: str = "") -> str:
        return why_unjudged(state, PLAN, scrapes=40, failed=7, stopped=stopped, error=error)

    assert why().startswith("only 40 of 120 scrapes succeeded, and 7 failed")
    state.stretch(4.0)
    assert "every 1s would exceed the cost limit: use --for 8m or more, or a higher --cost-limit" in why()
    state.restart()
    assert why() == "its process restarted: a check needs 2m of one process"
    state.restart()
    assert why().startswith("its process restarted 2 times: ")
    assert why(error="Connection refused") == "it no longer responds: Connection refused"
    assert why(stopped=True, error="x") == "the check was stopped early"


def test_the_conclusion() -> None:
    """The conclusion has the duration, the scrapes, and the slowest leak that the check can detect."""
    assert conclusion(CLEAN) == (
        "no leak; checked for 2m, 121 scrapes, blocks of 5s; leaks below 20 goroutines a minute are not detected"
    )
    assert conclusion(LEAKING).startswith("1 leak, 1 only suspected, 1 of 2 targets not judged; ")
    assert "no leak" not in conclusion(replace(CLEAN, targets=[UNJUDGED]))


def test_json() -> None:
    """The JSON has targets, leaks and suspects, with names as they are."""
    found = json.loads(to_json(LEAKING).encode("utf-8", "surrogatepass"))
    assert (found["result"], found["for"], found["interval"], found["block"]) == ("leaking", 120, 1, 5)
    assert [(target["judged"], target["why_not"]) for target in found["targets"]] == [
        (True, ""),
        (False, "down: <&>%"),
    ]
    assert found["leaks"][0]["function"] == HOSTILE
    assert found["suspects"][0]["verdict"] == "suspected"
    assert json.loads(to_json(CLEAN))["result"] == "clean"


def test_junit() -> None:
    """Each target is a case: it fails with leaks in its body, or is an error. A suspicion is a skipped case."""
    suites = junitparser.JUnitXml.fromstring(to_junit(LEAKING).encode())
    (suite,) = suites
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 1, 1)
    kinds = [[type(result).__name__ for result in case.result] for case in suite]
    assert kinds == [["Failure"], ["Error"], ["Skipped"]]
    failed = next(iter(suite))
    assert (failed.name, failed.classname) == ("shop (10.0.0.1:6060)", "shop")
    assert r"main.\x1b[31m<script>" in failed.result[0].message
    assert "grew from 5 to 340" in failed.result[0].message
    assert "/src/pipeline.go:42" in failed.result[0].text
    strict = next(iter(junitparser.JUnitXml.fromstring(to_junit(replace(LEAKING, strict=True)).encode())))
    assert (strict.failures, strict.skipped) == (1, 0)
    assert "main.maybe" in next(iter(strict)).result[0].message
    unjudged = replace(LEAKING, targets=[replace(JUDGED, why_unjudged="its process restarted")])
    (failed, _) = next(iter(junitparser.JUnitXml.fromstring(to_junit(unjudged).encode())))
    assert failed.result[0].text.endswith("not judged: its process restarted")
    assert next(iter(junitparser.JUnitXml.fromstring(to_junit(CLEAN).encode()))).failures == 0


def test_a_target_that_fail_fast_left_out() -> None:
    """A target without a result, because another one leaks, is skipped in JUnit and is not an annotation."""
    left_out = replace(UNJUDGED, why_unjudged=ENDED_EARLY)
    outcome = replace(LEAKING, targets=[JUDGED, left_out], suspects=[], ended_early=True)
    (suite,) = junitparser.JUnitXml.fromstring(to_junit(outcome).encode())
    assert (suite.failures, suite.errors, suite.skipped) == (1, 0, 1)
    assert [line.split(" ")[0] for line in to_github(outcome, str).splitlines()] == ["::error", "::notice"]
    assert conclusion(outcome).endswith("; ended at the first leak by --fail-fast")


def test_github_commands() -> None:
    """Each leak is an error at its position in the repository, and each suspicion a warning."""
    printed = to_github(LEAKING, lambda file: "pipeline.go" if file == "/src/pipeline.go" else "")
    matches = [COMMAND.fullmatch(line) for line in printed.splitlines()]
    assert all(matches)
    commands = [(match[1], properties(match[2]), unquote(match[3])) for match in matches if match]
    assert [kind for kind, *_ in commands] == ["error", "warning", "error", "notice"]
    _, about, message = commands[0]
    assert (about["file"], about["line"]) == ("pipeline.go", "42")
    assert about["title"].startswith(r"goroutine leak in main.\x1b[31m<script>")
    assert message.startswith(r"leaking: main.\x1b[31m<script>")
    assert "\n    /src/pipeline.go:42\n" in message
    assert "##[" not in printed
    assert "down: <&>%" in commands[2][2]
    assert commands[3][2] == conclusion(LEAKING)


def properties(text: str) -> dict[str, str]:
    """Return the properties of a command."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: unquote(value) for name, _, value in pairs}


def test_a_leak_outside_the_repository_has_no_position() -> None:
    """The innermost frame in the repository gives the position; without one there is no position."""
    frames = (Frame("lib.f", "/go/pkg/mod/lib@v1/f.go", 3), Frame("main.run", "/build/main.go", 0))
    outcome = replace(CLEAN, leaks=[leak(frames=frames)])
    assert "file=" not in to_github(outcome, lambda _: "")
    assert "::error file=main.go,line=1,title=" in to_github(outcome, lambda f: "main.go" if "/build" in f else "")


def test_text() -> None:
    """The text has targets, notes, reasons, stacks and the conclusion, with escaped names."""
    shown = text(LEAKING)
    assert shown.replace("\n", "").isprintable()
    assert "shop (10.0.0.1:6060): 300 goroutines, 121 scrapes in 2m\n" in shown
    assert r"cart\x07 (b:1): 300 goroutines, 3 scrapes in 10s; not judged: down: <&>%" in shown
    assert "  10 scrapes failed\n" in shown
    assert r"LEAKING  main.\x1b[31m<script>" in shown
    assert "SUSPECTED  main.maybe" in shown
    assert "A longer --for confirms or clears a suspicion." in shown
    assert shown.endswith(conclusion(LEAKING) + "\n")


def test_the_severity_is_in_each_format() -> None:
    """Text, JSON, JUnit and GitHub commands have the severity of leaks, and none for suspected stacks."""
    suspect = replace(SUSPECT, severity="")
    outcome = replace(CLEAN, leaks=[leak(severity="page")], suspects=[suspect])
    assert "severity page, service shop" in str(text(outcome))
    document = json.loads(to_json(outcome))
    assert [entry["severity"] for entry in (*document["leaks"], *document["suspects"])] == ["page", ""]
    assert "severity page" in to_junit(outcome)
    assert to_github(outcome, lambda _: "").count("severity") == 1
