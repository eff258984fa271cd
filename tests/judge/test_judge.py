"""The judge, by the files of tests in this folder: one file per behaviour, which `leakwatch test` runs as well."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leakwatch.cli.judge_tests.file import ExpectationConfig, JudgeTestFile, PlacedTest, read_tests
from leakwatch.cli.judge_tests.notation import Range
from leakwatch.cli.judge_tests.play import play
from leakwatch.cli.judge_tests.result import failure, outcome_lines, outcome_of
from leakwatch.cli.judge_tests.run import check_functions, settings_of

FILES = [read_tests(path) for path in sorted(Path(__file__).parent.glob("*.yml"))]
TESTS = [
    pytest.param(file, placed, id=f"{file.path.stem}: {placed.test.name}")
    for file in FILES
    for placed in file.tests
]
VERDICTS = ("normal", "ignored", "suspected", "leaking", "plateau", "recovered")


def wrong(expected: ExpectationConfig) -> Iterator[ExpectationConfig]:
    """Yield expectations that contradict one that is met."""
    if expected.at is None:
        return
    for verdict in VERDICTS:
        if verdict != expected.verdict:
            yield expected.model_copy(update={"verdict": verdict})
    for name in ("rate", "goroutines"):
        numbers: Range | None = getattr(expected, name)
        if numbers:
            yield expected.model_copy(update={name: replace(numbers, low=numbers.high + 1, high=float("inf"))})
            yield expected.model_copy(update={name: replace(numbers, low=float("-inf"), high=numbers.low - 1)})
    for name in ("cause", "owner"):
        yield expected.model_copy(update={name: "another"})
    yield expected.model_copy(update={"replicas": (*(expected.replicas or ()), 49)})


@pytest.mark.parametrize(("file", "placed"), TESTS)
def test_the_judge(file: JudgeTestFile, placed: PlacedTest) -> None:
    """Each test succeeds, and each of its expectations about a time fails if any of its values is another one."""
    settings = settings_of(file)
    check_functions(file, settings)
    courses = play(placed.test, settings)
    outcome = outcome_of(placed, courses)
    assert not outcome.failures, "\n".join(outcome_lines(outcome))
    for expected in placed.test.expect:
        for other in wrong(expected):
            assert failure(other, courses[other.function], "")
