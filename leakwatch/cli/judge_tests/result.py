"""Result of judge tests: which expectations are not met, and text for the reader. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.cli.judge_tests.file import ExpectationConfig, PlacedTest
from leakwatch.cli.judge_tests.play import Course, Observed
from leakwatch.detect.case import CONFIRM, SUSPECT
from leakwatch.leaks.wording import format_growth, per_hour
from leakwatch.model import Verdict
from leakwatch.profile.escape import printable
from leakwatch.settings.units import exact_duration

MAX_CHANGES: Final = 20  # verdicts of a failure that are printed
LATE: Final = 1e-6  # seconds that a scrape may be late because of rounding


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation at `place` (FILE:LINE) that is not met, and the course of its functions."""

    place: str
    expected: str
    got: str
    course: Course


@dataclass(frozen=True, slots=True)
class JudgeOutcome:
    """The result of one test; it has failed if there are failures."""

    name: str
    failures: Sequence[Failure]


def outcome_of(placed: PlacedTest, courses: Mapping[str, Course]) -> JudgeOutcome:
    """Return the result of a test; `courses`: of the globs that its expectations name."""
    expectations = zip(placed.test.expect, placed.places, strict=True)
    failures = [failure(expected, courses[expected.function], place) for expected, place in expectations]
    return JudgeOutcome(placed.test.name, [*filter(None, failures)])


def failure(expected: ExpectationConfig, course: Course, place: str) -> Failure | None:
    """Return the failure of an expectation, None if it is met."""
    got = _reached(expected, course) if expected.at is None else _difference(expected, _at(course, expected.at))
    return Failure(place, _expectation(expected), got, course) if got else None


def _at(course: Course, time: float) -> Observed:
    """Return the state at a time."""
    return [observed for observed in course if observed.time <= time + LATE][-1]


def _reached(expected: ExpectationConfig, course: Course) -> str:
    """Return when a verdict that must not occur occurred first, "" if it did not."""
    least = Verdict.LEAKING if expected.never == "leaking" else Verdict.SUSPECTED
    for observed in course:
        if expected.before is not None and observed.time >= expected.before - LATE:
            break
        if observed.verdict >= least:
            return f"{observed.word} at {exact_duration(observed.time)}"
    return ""


def _difference(expected: ExpectationConfig, observed: Observed) -> str:
    """Return the values of `observed` that are not as expected, with the verdict; "" if all are."""
    leak = observed.leak
    wrong = [] if observed.word == expected.verdict else [_state(observed)]
    if wrong and leak is None:
        return wrong[0]
    rate = per_hour(leak.growth.rate) if leak else 0.0
    if expected.rate is not None and rate not in expected.rate:
        wrong.append(f"rate {format_growth(leak.growth) if leak else 0}")
    if expected.goroutines is not None and observed.goroutines not in expected.goroutines:
        wrong.append(f"goroutines {observed.goroutines}")
    cause = leak.cause.id if leak and leak.cause else ""
    if expected.cause and cause != expected.cause:
        wrong.append(f"cause {cause or 'unknown'}")
    owner = leak.owner if leak else ""
    if expected.owner and owner != expected.owner:
        wrong.append(f"owner {printable(owner) or 'unknown'}")
    replicas = sorted(int(name.rpartition("-")[2]) for name in leak.targets) if leak else []
    if expected.replicas is not None and replicas != sorted(set(expected.replicas)):
        wrong.append(f"replicas {replicas}")
    return ", ".join(wrong)


def _state(observed: Observed) -> str:
    """Return a verdict, and for `normal` how far the evidence was."""
    if observed.word != "normal":
        return observed.word
    score, window = observed.score
    evidence = f"highest score {score:.2f} in window {window}" if window else "no score"
    return f"normal ({observed.goroutines} goroutines, {evidence}; {SUSPECT} suspects, {CONFIRM:g} confirms)"


def _expectation(expected: ExpectationConfig) -> str:
    """Return an expectation in one line, as tests spell it."""
    function = f" {printable(expected.function)}" if expected.function else ""
    if expected.at is None:
        before = "" if expected.before is None else f" before {exact_duration(expected.before)}"
        return f"never {expected.never}{before}{':' if function else ''}{function}"
    values = {
        "rate": expected.rate,
        "goroutines": expected.goroutines,
        "cause": expected.cause,
        "owner": expected.owner,
        "replicas": None if expected.replicas is None else [*expected.replicas],
    }
    shown = [f"{name} {printable(str(value))}" for name, value in values.items() if value or value == []]
    return f"at {exact_duration(expected.at)}{function}: {', '.join([str(expected.verdict), *shown])}"


def outcome_lines(outcome: JudgeOutcome) -> Iterator[str]:
    """Yield the lines of a test: its result, and for each failure the verdicts over time."""
    yield f"  {'FAILED ' if outcome.failures else 'SUCCESS'}  {printable(outcome.name)}"
    for failed in outcome.failures:
        yield from (f"    {line}" for line in failure_lines(failed))


def failure_lines(failed: Failure) -> Iterator[str]:
    """Yield the lines of a failure: its place, the expectation, the difference, and the verdicts over time."""
    yield printable(failed.place)
    yield f"  expected  {failed.expected}"
    yield f"  got       {failed.got}"
    for number, line in enumerate(_changes(failed.course)):
        yield f"  {'' if number else 'verdicts':<8}  {line}"


def _changes(course: Course) -> list[str]:
    """Return each verdict with the time at which it began, and the reason at its end."""
    runs: list[list[Observed]] = []
    for observed in course:
        if not runs or runs[-1][0].word != observed.word:
            runs.append([])
        runs[-1].append(observed)
    lines = [f"{exact_duration(run[0].time):<8} {run[0].word:<10} {_reason(run[-1])}".rstrip() for run in runs]
    rest = len(lines) - MAX_CHANGES
    return lines if rest <= 0 else [*lines[:MAX_CHANGES], f"and {rest} more"]


def _reason(observed: Observed) -> str:
    """Return why a verdict was given, or the number of goroutines."""
    if observed.rule:
        return f"by the rule for {printable(observed.rule)}"
    leak = observed.leak
    if leak is None:
        return f"{observed.goroutines} goroutines at the end"
    return f"{printable(leak.stack.blamed.function)} {leak.reason}"


def summary(outcomes: Sequence[JudgeOutcome]) -> str:
    """Return the number of tests that succeeded and failed."""
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    tests = "1 test" if len(outcomes) == 1 else f"{len(outcomes)} tests"
    return f"{tests}: {len(outcomes) - failed} succeeded, {failed} failed"
