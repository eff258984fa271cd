"""Comparison of a check with a baseline: which leaks and stacks fail, and their formats."""

import json
from collections.abc import Sequence
from dataclasses import replace

import junitparser
import pytest

from leakwatch.cli.check.formats import to_github, to_json, to_junit
from leakwatch.cli.check.regressions import BaselineComparison, comparison_sentence
from leakwatch.cli.check.result import Outcome, TargetResult, choose_plan, conclusion
from leakwatch.cli.check.text import text
from leakwatch.detect.comparison import ComparedGrowth, Comparison
from leakwatch.leaks.model import Leak
from leakwatch.model import Fingerprint, Frame, Growth, Stack, Target, Verdict
from tests.support.leaking import leak

CANARY, OTHER, BASELINE = Target("shop", "new:1"), Target("shop", "new:2"), Target("stable", "old:1")
MORE, BOTH, BELOW, UNCLEAR = ComparedGrowth
LEAK = leak(targets=("new:1", "new:2"))
SUSPECT = leak(Verdict.SUSPECTED, function="main.maybe", targets=("new:1",))


def compared(stack: Stack, result: ComparedGrowth) -> Comparison:
    """Return the comparison of a stack."""
    growth = Growth(0.085, 0.07, 0.1)
    return Comparison(
        stack=stack,
        result=result,
        counts=(3.0, 52.0),
        baseline_counts=(4.0, 4.0),
        growth=growth,
        baseline_growth=Growth(0.0, -0.001, 0.001),
        span=575.0,
    )


def against(*comparisons: Sequence[tuple[Leak, ComparedGrowth]]) -> BaselineComparison:
    """Return the comparison of one or two targets, each with the results of some leaks."""
    results = zip((CANARY, OTHER), comparisons, strict=False)
    return BaselineComparison(
        BASELINE,
        {
            target: {leak.stack.fingerprint: compared(leak.stack, result) for leak, result in of}
            for target, of in results
        },
    )


def judged(target: Target, why: str = "") -> TargetResult:
    """Return the result of a target."""
    return TargetResult(
        target=target,
        scrapes=600,
        failed=0,
        restarts=0,
        interval=1,
        block=25,
        span=600,
        goroutines=300,
        why_unjudged=why,
    )


def outcome(comparison: BaselineComparison, *, baseline: str = "", strict: bool = False) -> Outcome:
    """Return the outcome of a check with a leak and a suspicion; `baseline`: why the baseline was not judged."""
    return Outcome(
        plan=choose_plan(600, 1, None),
        targets=[judged(CANARY), judged(BASELINE, baseline)],
        leaks=[LEAK],
        suspects=[SUSPECT],
        strict=strict,
        comparison=comparison,
    )


@pytest.mark.parametrize(
    ("leaking", "suspected", "strict", "failures"),
    [
        (MORE, BOTH, False, [LEAK]),
        (UNCLEAR, UNCLEAR, False, [LEAK]),
        (BOTH, UNCLEAR, False, []),
        (BELOW, UNCLEAR, False, []),
        (BOTH, MORE, False, [SUSPECT]),
        (BOTH, UNCLEAR, True, [SUSPECT]),
        (BOTH, BOTH, True, []),
    ],
)
def test_leaks_that_fail(
    leaking: ComparedGrowth, suspected: ComparedGrowth, strict: bool, failures: list[Leak]
) -> None:
    """A leak fails unless the baseline shows it too. A suspicion fails only if it grows more than there."""
    check = outcome(against([(LEAK, leaking), (SUSPECT, suspected)], [(LEAK, leaking)]), strict=strict)
    assert check.failures == failures
    assert check.status == (1 if failures else 0)


def test_one_target_is_enough() -> None:
    """A leak that is a regression on one of its targets fails, and so does a leak without a comparison."""
    assert outcome(against([(LEAK, BOTH)], [(LEAK, MORE)])).failures == [LEAK]
    assert outcome(against([(LEAK, BOTH)], [])).failures == [LEAK]
    assert outcome(against()).failures == [LEAK]


def test_a_stack_without_a_verdict_fails() -> None:
    """A stack that grows more than on the baseline fails the check; stacks of leaks are not listed again."""
    other = leak(function="main.quiet")
    check = outcome(against([(LEAK, BOTH), (SUSPECT, BOTH), (other, MORE)], [(LEAK, BOTH)]))
    assert [each.comparison.stack for each in check.regressions] == [other.stack]
    assert (check.failures, check.status) == ([], 1)
    assert outcome(against([(LEAK, MORE)], [(LEAK, MORE)])).regressions == []


def test_a_site_is_listed_only_without_its_stacks() -> None:
    """If both a stack and its site grow more, only the stack is listed."""
    stack = leak(function="main.quiet").stack
    site = replace(stack, fingerprint=Fingerprint("site"), site=True)
    by_target = {CANARY: {each.fingerprint: compared(each, MORE) for each in (stack, site)}}
    listed = BaselineComparison(BASELINE, by_target).regressions([])
    assert [each.comparison.stack for each in listed] == [stack]
    alone = BaselineComparison(BASELINE, {CANARY: {site.fingerprint: compared(site, MORE)}}).regressions([])
    assert [each.comparison.stack for each in alone] == [site]


def test_a_check_without_its_baseline() -> None:
    """If the baseline was not judged, the status is 2 even with a leak, and the conclusion has the reason."""
    check = outcome(against([(LEAK, MORE)], [(LEAK, MORE)]), baseline="its process restarted")
    assert check.status == 2
    assert conclusion(check).startswith("not compared: the baseline was not judged, 1 leak, 1 only suspected")


def test_the_sentence() -> None:
    """A comparison is one sentence with the counts and rates of both."""
    assert comparison_sentence(CANARY, compared(LEAK.stack, MORE)) == (
        "grows more: from 3 to 52 in 9m35s on new:1, +5.1/min (4.2 to 6);"
        " from 4 to 4 on the baseline, +0/min (-0.06 to 0.06)"
    )


HOSTILE = leak(function="main.\x1b[31m<quiet>", frames=(Frame("main.\x1b[31m<quiet>", "/src/a.go", 3),))
CHECK = outcome(against([(LEAK, BOTH), (SUSPECT, MORE), (HOSTILE, MORE)], [(LEAK, BOTH)]))


def test_json_of_a_comparison() -> None:
    """The JSON has the baseline, whether a leak is a regression, its comparisons, and further regressions."""
    report = json.loads(to_json(CHECK))
    assert (report["result"], report["baseline"]) == ("leaking", "old:1")
    (found,), (suspect,), (regression,) = report["leaks"], report["suspects"], report["regressions"]
    assert (found["regression"], suspect["regression"]) == (False, True)
    assert [each["target"] for each in found["comparisons"]] == ["new:1", "new:2"]
    assert suspect["comparisons"][0] == {
        "target": "new:1",
        "result": "grows more",
        "seconds": 575,
        "goroutines": [3, 52],
        "growth_per_hour": 306,
        "baseline_goroutines": [4, 4],
        "baseline_growth_per_hour": 0,
    }
    assert regression["service"] == "shop"
    assert regression["function"].endswith("<quiet>")
    assert regression["goroutines"] == [3, 52]


def test_junit_of_a_comparison() -> None:
    """The target of a regression fails, and a leak that grows on both is skipped."""
    (suite,) = junitparser.JUnitXml.fromstring(to_junit(CHECK).encode())
    kinds = [[type(result).__name__ for result in case.result] for case in suite]
    assert kinds == [["Failure"], [], ["Skipped"]]
    (failure,) = next(iter(suite)).result
    assert failure.type == "suspected"
    assert "main.maybe" in failure.message
    assert "grows more: from 3 to 52" in failure.message
    alone = replace(CHECK, suspects=[])
    (suite,) = junitparser.JUnitXml.fromstring(to_junit(alone).encode())
    assert next(iter(suite)).result[0].type == "regression"


def test_github_commands_of_a_comparison() -> None:
    """A regression is an error at its position, and a leak that grows on both is a warning."""
    lines = to_github(CHECK, lambda file: "a.go" if file == "/src/a.go" else "").splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::error", "::notice"]
    assert lines[2].startswith("::error file=a.go,line=3,title=goroutine regression in main.\\x1b[31m<quiet>::")
    assert "grows on both" in lines[0]


def test_text_of_a_comparison() -> None:
    """The text has a sentence for each comparison, and each regression with its stack."""
    shown = text(CHECK)
    assert shown.replace("\n", "").isprintable()
    assert shown.count("  grows on both: from 3 to 52 in 9m35s on new:") == 2
    assert "REGRESSION  main.\\x1b[31m<quiet>\n" in shown
    assert shown.endswith(conclusion(CHECK) + "\n")
    assert "2 regressions, 1 leak, 1 only suspected; checked for 10m" in conclusion(CHECK)
    assert "leaks below 1 goroutines a minute" in conclusion(CHECK)
