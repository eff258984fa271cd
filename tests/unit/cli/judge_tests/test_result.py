"""Results of judge tests: which expectations are met, and what the reader sees of the others."""

from typing import Any

import pytest

from leakwatch.causes.catalogue import Catalogue
from leakwatch.cli.judge_tests.file import ExpectationConfig, JudgeTest, PlacedTest
from leakwatch.cli.judge_tests.play import Observed
from leakwatch.cli.judge_tests.result import Failure, failure, outcome_lines, outcome_of, summary
from leakwatch.leaks.model import Leak
from leakwatch.model import NO_GROWTH, Growth, Verdict
from tests.support.simulated import stack

HOUR = 3600.0
CAUSE = next(cause for cause in Catalogue().causes if cause.id == "channel-not-closed")


def leak(verdict: Verdict, rate: float, *replicas: int) -> Leak:
    """Return a leak with a rate in goroutines per hour."""
    return Leak(
        service="shop",
        stack=stack("leak"),
        verdict=verdict,
        goroutines=34,
        growth=Growth(rate / HOUR, (rate - 1) / HOUR, (rate + 1) / HOUR),
        confidence=0.5,
        first_seen=0.0,
        detected_at=None,
        targets=tuple(f"my-shop-{number}" for number in replicas),
        owner="storage",
        highest=verdict,
        grew=NO_GROWTH,
        transitions=(),
        related=(),
        reason="grew from 2 to 34 in 2h10m",
        cause=CAUSE,
    )


SUSPECTED, LEAKING = leak(Verdict.SUSPECTED, 13, 1), leak(Verdict.LEAKING, 12, 2, 10)
COURSE = [
    Observed(time=0.0, leak=None, goroutines=2),
    Observed(time=HOUR, leak=None, goroutines=20, score=(0.421, "P2")),
    Observed(time=2 * HOUR, leak=SUSPECTED, goroutines=34),
    Observed(time=3 * HOUR, leak=LEAKING, goroutines=46),
    Observed(time=4 * HOUR, leak=LEAKING, goroutines=58),
    Observed(time=5 * HOUR, leak=None, goroutines=70, rule="function 'main.*'"),
]
UNSCORED = "goroutines, no score; 0.5 suspects, 1 confirms)"


def failure_of(**keys: Any) -> Failure | None:
    """Return the failure of an expectation about COURSE."""
    return failure(ExpectationConfig.model_validate(keys), COURSE, "a.yml:7")


MET: list[dict[str, Any]] = [
    {"at": "0s", "verdict": "normal"},
    {"at": "1h30m", "verdict": "normal", "goroutines": 20},
    {"at": "2h", "verdict": "suspected", "rate": "12.5..13"},
    {"at": "3h59m", "verdict": "leaking", "goroutines": 46},
    {"at": "4h", "verdict": "leaking", "rate": 12, "cause": "channel-not-closed", "owner": "storage"},
    {"at": "4h", "verdict": "leaking", "replicas": [10, 2]},
    {"at": "6h", "verdict": "ignored", "goroutines": "70.."},
    {"never": "leaking", "before": "3h"},
    {"never": "suspected", "before": "2h"},
]


@pytest.mark.parametrize("keys", MET, ids=str)
def test_expectations_that_are_met(keys: dict[str, Any]) -> None:
    """The latest state until the time counts; `before` excludes its own time."""
    assert failure_of(**keys) is None


NOT_MET: list[tuple[dict[str, Any], str, str]] = [
    ({"at": "0s", "verdict": "leaking"}, "at 0s: leaking", f"normal (2 {UNSCORED}"),
    (
        {"at": "1h", "function": "main.*", "verdict": "suspected"},
        "at 1h main.*: suspected",
        "normal (20 goroutines, highest score 0.42 in window P2; 0.5 suspects, 1 confirms)",
    ),
    ({"at": "1h", "verdict": "normal", "rate": "1.."}, "at 1h: normal, rate 1..", "rate 0"),
    ({"at": "2h59m", "verdict": "leaking"}, "at 2h59m: leaking", "suspected"),
    (
        {"at": "3h", "verdict": "leaking", "rate": "12.5..", "goroutines": "..45"},
        "at 3h: leaking, rate 12.5.., goroutines ..45",
        "rate +12/h (11 to 13), goroutines 46",
    ),
    (
        {"at": "3h", "verdict": "plateau", "cause": "own", "owner": "web", "replicas": [2]},
        "at 3h: plateau, cause own, owner web, replicas [2]",
        "leaking, cause channel-not-closed, owner storage, replicas [2, 10]",
    ),
    (
        {"at": "0s", "verdict": "normal", "cause": "own", "owner": "web", "replicas": [1]},
        "at 0s: normal, cause own, owner web, replicas [1]",
        "cause unknown, owner unknown, replicas []",
    ),
    ({"at": "5h", "verdict": "normal"}, "at 5h: normal", "ignored"),
    ({"never": "suspected"}, "never suspected", "suspected at 2h"),
    (
        {"never": "leaking", "before": "3h1s", "function": "main.leak"},
        "never leaking before 3h1s: main.leak",
        "leaking at 3h",
    ),
]


@pytest.mark.parametrize(("keys", "expected", "got"), NOT_MET, ids=[expected for _, expected, _ in NOT_MET])
def test_expectations_that_are_not_met(keys: dict[str, Any], expected: str, got: str) -> None:
    """A failure has the expectation, and only the values that differ from it."""
    assert failure_of(**keys) == Failure("a.yml:7", expected, got, COURSE)


def test_the_text_of_a_failure() -> None:
    """The reader sees place, expectation and all verdicts with their reasons. Names are escaped."""
    test = JudgeTest.model_validate(
        {
            "name": "A leak\x1b[31m",
            "for": "6h",
            "series": [{"stack": "main.leak", "counts": 2}],
            "expect": [{"at": "1h", "verdict": "normal"}, {"at": "2h", "verdict": "leaking"}],
        }
    )
    outcome = outcome_of(PlacedTest(test, ["a.yml:7", "a.yml:8"]), {"": COURSE})
    assert [*outcome_lines(outcome)] == [
        "  FAILED   A leak\\x1b[31m",
        "    a.yml:8",
        "      expected  at 2h: leaking",
        "      got       suspected",
        "      verdicts  0s       normal     20 goroutines at the end",
        "                2h       suspected  main.leak grew from 2 to 34 in 2h10m",
        "                3h       leaking    main.leak grew from 2 to 34 in 2h10m",
        "                5h       ignored    by the rule for function 'main.*'",
    ]
    passed = outcome_of(PlacedTest(test, ["a.yml:7", "a.yml:8"]), {"": [COURSE[0], COURSE[1], COURSE[3]]})
    assert next(iter(outcome_lines(passed))) == "  FAILED   A leak\\x1b[31m"
    assert summary([outcome, outcome]) == "2 tests: 0 succeeded, 2 failed"


def test_long_courses_are_cut() -> None:
    """Of a verdict that changes all the time, the first changes are printed."""
    course = [
        Observed(time=HOUR * number, leak=SUSPECTED if number % 2 else None, goroutines=number)
        for number in range(50)
    ]
    expected = ExpectationConfig.model_validate({"never": "suspected"})
    test = {"name": "a", "for": "50h", "series": [{"stack": "main.a", "counts": 1}], "expect": [expected]}
    outcome = outcome_of(PlacedTest(JudgeTest.model_validate(test), ["a.yml:7"]), {"": course})
    lines = [*outcome_lines(outcome)]
    assert len(lines) == 25
    assert lines[-1].strip() == "and 30 more"
