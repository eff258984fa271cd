"""Outcome of a check for a terminal or a log."""

from collections.abc import Iterator

from rich.text import Text

from leakwatch.cli import terminal
from leakwatch.cli.check.regressions import Regression, comparison_sentence, comparison_sentences
from leakwatch.cli.check.result import CLEAN, UNIT, UNKNOWN, Outcome, conclusion, missing_dump
from leakwatch.cli.leak_text import COLOURS, frame_lines, leak_lines
from leakwatch.model import Verdict
from leakwatch.profile.escape import printable
from leakwatch.settings.units import exact_duration


def text(outcome: Outcome, *, plain: bool = False) -> str:
    """Return each target, each leak with its reason and its stack, and the conclusion; `plain`: no colours."""
    console = terminal.recorder(160, plain=plain)
    for result in outcome.targets:
        line = terminal.styled(result.name, "bold")
        span = exact_duration(round(result.span))
        line.append(f": {result.goroutines} goroutines, {result.scrapes} scrapes in {span}")
        line.append(f"; not judged: {result.why_unjudged}" if result.why_unjudged else "", "yellow")
        console.print(line, soft_wrap=True)
        for note in result.notes:
            console.print(Text(f"  {note}"), soft_wrap=True)
    for leak in (*outcome.leaks, *outcome.suspects):
        console.print()
        for row in leak_lines(leak, leak.verdict, UNIT):
            console.print(row, soft_wrap=True)
        for sentence in comparison_sentences(leak, outcome.comparison):
            console.print(terminal.styled(f"  {sentence}", "bold"), soft_wrap=True)
        if missing := missing_dump(leak):
            console.print(terminal.styled(f"  {missing}"), soft_wrap=True)
    for regression in outcome.regressions:
        console.print()
        for row in _regression_lines(regression):
            console.print(row, soft_wrap=True)
    if outcome.suspects and not outcome.ended_early:
        console.print()
        console.print("A longer --for confirms or clears a suspicion.", soft_wrap=True)
    console.print()
    style = {CLEAN: "bold green", UNKNOWN: "bold yellow"}.get(outcome.status, COLOURS[Verdict.LEAKING])
    console.print(Text(conclusion(outcome), style), soft_wrap=True)
    return terminal.recorded(console)


def _regression_lines(regression: Regression) -> Iterator[Text]:
    """Yield the lines of a stack that grows more than on the baseline, without a verdict."""
    stack = regression.comparison.stack
    head = Text("REGRESSION", COLOURS[Verdict.LEAKING])
    head.append(f"  {printable(stack.blamed.function)}", "bold")
    yield head
    wait = f", waits in {stack.wait}" if stack.wait else ""
    yield terminal.styled(f"  service {regression.target.service}, stack {stack.fingerprint}{wait}")
    yield terminal.styled(f"  {comparison_sentence(regression.target, regression.comparison)}")
    yield from frame_lines(stack)
