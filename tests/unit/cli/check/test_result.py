"""What a check says and in which form: terms, status, reasons, JSON, JUnit XML, GitHub's commands."""

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import junitparser
import pytest

from leakwatch.cli.check.formats import to_github, to_json, to_junit
from leakwatch.cli.check.result import Looks, Outcome, TargetResult, choose_terms, conclusion, split, why_unknown
from leakwatch.cli.check.session import text
from leakwatch.detect.history import History
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Target, Verdict
from leakwatch.pipeline import Pipeline
from tests.support.leaking import leak

TERMS = choose_terms(120, 1, None)
GOOD = TargetResult(Target("shop", "10.0.0.1:6060"), 121, 0, 0, 1, 5, 120, 300)
HOSTILE = 'main.\x1b[31m<script>"&,:%\n::set-output name=x::y##[add-mask]\u202e\ud800\ufffe'
UNKNOWN = TargetResult(Target("cart\x07", "b:1"), 3, 10, 1, 1, 5, 10, 300, "down: <&>%", ("10 scrapes failed",))
CLEAN = Outcome(TERMS, [GOOD], [], [])
SUSPECT = leak(Verdict.SUSPECTED, function="main.maybe")
LEAKING = Outcome(TERMS, [GOOD, UNKNOWN], [leak(function=HOSTILE)], [SUSPECT])
COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


@pytest.mark.parametrize(
    ("span", "interval", "block", "expected"),
    [(120, 1, None, 5), (600, 1, None, 25), (7200, 15, None, 300), (86400, 15, None, 300), (240, 1, 6, 6)],
)
def test_blocks_fit(span: float, interval: float, block: float | None, expected: float) -> None:
    """24 blocks fill the time; from two hours on they are those of the daemon; or as is said."""
    assert choose_terms(span, interval, block).block == expected


@pytest.mark.parametrize(
    ("span", "interval", "block", "message"),
    [
        (30, 1, None, "--for 30s: too short to judge: at --interval 1s it takes at least 2m (24 blocks)"),
        (120, 1.5, None, "--for 2m: too short to judge: at --interval 1s500ms it takes at least 3m (24 blocks)"),
        (120, 1, 10, "--for 2m: too short to judge: at --block 10s it takes at least 4m (24 blocks)"),
        (600, 1, 2, "--block 2s: too short: it must hold 5 scrapes, which at --interval 1s takes 5s"),
    ],
)
def test_what_is_too_short_is_said(span: float, interval: float, block: float | None, message: str) -> None:
    """With what it would take."""
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_terms(span, interval, block)


def test_the_status() -> None:
    """0 clean, 1 a leak, 2 could not tell; a leak outweighs what could not be told, being stopped everything."""
    assert CLEAN.status == 0
    assert LEAKING.status == 1
    assert Outcome(TERMS, [GOOD, UNKNOWN], [], []).status == 2
    assert Outcome(TERMS, [GOOD], [], [SUSPECT]).status == 0
    assert Outcome(TERMS, [GOOD], [], [SUSPECT], strict=True).status == 1
    assert Outcome(TERMS, [GOOD], [leak()], [], stopped=True).status == 2


def test_what_has_stopped_growing_is_no_leak() -> None:
    """What leaks comes first, then what is suspected; what recovered or stands still fails no check."""
    leaks = [leak(verdict) for verdict in Verdict if verdict]
    found, suspects = split(leaks)
    assert {one.verdict for one in found} == {Verdict.LEAKING, Verdict.PROVEN}
    assert [one.verdict for one in suspects] == [Verdict.SUSPECTED]


def test_a_verdict_takes_three_looks() -> None:
    """A window that was looked at in three blocks running would have told a leak; a gap begins anew."""
    history, looks = History(5.0), Looks()
    for second in range(220):
        if not 60 <= second < 85:
            history.record(1e9 + second, {})
            looks.follow(history)
        if second in {117, 160}:
            assert not looks.enough
    assert looks.enough
    history.restart()
    history.record(2e9, {})
    looks.follow(history)
    assert not looks.enough


def test_why_a_target_was_not_judged() -> None:
    """The first reason that explains it, each with what would help."""
    state = Pipeline(DetectionSettings(block=5.0)).add_target(Target("shop", "a:1"))

    def why(*, stopped: bool = False, error: str = "") -> str:
        return why_unknown(state, TERMS, scrapes=40, failed=7, stopped=stopped, error=error)

    assert why().startswith("only 40 of 120 scrapes were made, and 7 failed")
    state.stretch(4.0)
    assert "every 1s would cost it too much: it takes --for 8m at least, or a higher --cost-limit" in why()
    state.restart()
    assert why() == "its process restarted: one process has to be watched for 2m"
    state.restart()
    assert why().startswith("its process restarted 2 times: ")
    assert why(error="Connection refused") == "it answers no more: Connection refused"
    assert why(stopped=True, error="x") == "stopped before its time"


def test_the_conclusion_says_what_could_not_be_seen() -> None:
    """For how long, how often, and how slow a leak would have been missed."""
    assert conclusion(CLEAN) == (
        "no leak; watched for 2m, 121 scrapes, blocks of 5s; less than 20 goroutines a minute could not be seen"
    )
    assert conclusion(LEAKING).startswith("1 leak, 1 suspected only, could not tell of 1 of 2 targets; ")
    assert "no leak" not in conclusion(Outcome(TERMS, [UNKNOWN], [], []))


def test_json() -> None:
    """One object that has all of it, names as they are."""
    found = json.loads(to_json(LEAKING).encode("utf-8", "surrogatepass"))
    assert (found["result"], found["for"], found["interval"], found["block"]) == ("leaking", 120, 1, 5)
    assert [(one["judged"], one["why_not"]) for one in found["targets"]] == [(True, ""), (False, "down: <&>%")]
    assert found["leaks"][0]["function"] == HOSTILE
    assert found["suspects"][0]["verdict"] == "suspected"
    assert json.loads(to_json(CLEAN))["result"] == "clean"


def test_junit() -> None:
    """A test for each target and each leak: passed, failed, skipped if suspected only, error if unknown."""
    suites = junitparser.JUnitXml.fromstring(to_junit(LEAKING).encode())
    (suite,) = suites
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 1, 1, 1)
    kinds = [[type(result).__name__ for result in case.result] for case in suite]
    assert kinds == [[], ["Error"], ["Failure"], ["Skipped"]]
    failed = list(suite)[2]
    assert r"main.\x1b[31m<script>" in failed.name
    assert "grew from 5 to 340" in failed.result[0].message
    assert "/src/pipeline.go:42" in failed.result[0].text
    strict = next(iter(junitparser.JUnitXml.fromstring(to_junit(replace(LEAKING, strict=True)).encode())))
    assert (strict.failures, strict.skipped) == (2, 0)
    assert next(iter(junitparser.JUnitXml.fromstring(to_junit(CLEAN).encode()))).failures == 0


def test_github_commands() -> None:
    """Each leak an error at its place in the repository, each suspicion a warning; decoded as the runner does."""
    said = to_github(LEAKING, lambda file: "pipeline.go" if file == "/src/pipeline.go" else "")
    matches = [COMMAND.fullmatch(line) for line in said.splitlines()]
    assert all(matches)
    commands = [(match[1], properties(match[2]), unquote(match[3])) for match in matches if match]
    assert [kind for kind, *_ in commands] == ["error", "warning", "error", "notice"]
    _, about, message = commands[0]
    assert (about["file"], about["line"]) == ("pipeline.go", "42")
    assert about["title"].startswith(r"goroutine leak in main.\x1b[31m<script>")
    assert message.startswith(r"leaking: main.\x1b[31m<script>")
    assert "\n    /src/pipeline.go:42\n" in message
    assert "##[" not in said
    assert "down: <&>%" in commands[2][2]
    assert commands[3][2] == conclusion(LEAKING)


def properties(text: str) -> dict[str, str]:
    """Return the properties of a command."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: unquote(value) for name, _, value in pairs}


def test_a_leak_outside_the_repository_has_no_place() -> None:
    """No file is better than a wrong one; a frame further out that is in the repository is taken."""
    frames = (Frame("lib.f", "/go/pkg/mod/lib@v1/f.go", 3), Frame("main.run", "/build/main.go", 0))
    outcome = Outcome(TERMS, [GOOD], [leak(frames=frames)], [])
    assert "file=" not in to_github(outcome, lambda _: "")
    assert "::error file=main.go,line=1,title=" in to_github(outcome, lambda f: "main.go" if "/build" in f else "")


def test_text_is_safe_and_says_all() -> None:
    """Names are escaped; targets, notes, reasons, stacks and the conclusion are there."""
    shown = text(LEAKING)
    assert shown.replace("\n", "").isprintable()
    assert "shop (10.0.0.1:6060): 300 goroutines, 121 scrapes in 2m\n" in shown
    assert r"cart\x07 (b:1): 300 goroutines, 3 scrapes in 10s; not judged: down: <&>%" in shown
    assert "  10 scrapes failed\n" in shown
    assert r"LEAKING  main.\x1b[31m<script>" in shown
    assert "SUSPECTED  main.maybe" in shown
    assert "What is suspected only needs a longer --for to be told." in shown
    assert shown.endswith(conclusion(LEAKING) + "\n")
