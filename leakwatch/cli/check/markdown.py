"""Outcome of a check as Markdown, for the summary of a job on GitHub. Pure."""

import html
import re
from collections.abc import Iterator, Sequence
from typing import Final

from leakwatch.cli.check.formats import details, frame_texts
from leakwatch.cli.check.regressions import comparison_sentence
from leakwatch.cli.check.result import Outcome, TargetResult, conclusion
from leakwatch.leaks.wording import file_and_line, headline, short_function
from leakwatch.model import Stack
from leakwatch.profile.escape import printable
from leakwatch.settings.units import exact_duration

SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|~&#])")
DETAILED: Final = 50
"""Leaks with details; GitHub rejects a summary above 1 MiB."""


def to_markdown(outcome: Outcome) -> str:
    """Return the outcome as a heading, a table of the targets, and a section per leak."""
    lines = [
        f"### leakwatch check: {outcome.word}",
        "",
        _escaped(conclusion(outcome)),
        "",
        "| target | goroutines | scrapes | result |",
        "|---|---:|---:|---|",
        *(_row(result, outcome) for result in outcome.targets),
    ]
    leaks = (*outcome.leaks, *outcome.suspects)
    for leak in leaks[:DETAILED]:
        lines += _section(headline(leak), leak.stack, details(leak, outcome.comparison))
    for regression in outcome.regressions[:DETAILED]:
        stack = regression.comparison.stack
        sentence = comparison_sentence(regression.target, regression.comparison)
        lines += _section(f"regression: {stack.blamed.function}: {sentence}", stack, "\n".join(frame_texts(stack)))
    more = max(len(leaks) - DETAILED, 0) + max(len(outcome.regressions) - DETAILED, 0)
    lines += ["", f"{more} more are not listed."] if more else []
    return "\n".join(lines) + "\n"


def _row(result: TargetResult, outcome: Outcome) -> str:
    number = len(outcome.failures_on(result)) + len(outcome.regressions_on(result))
    found = "no leak"
    if number:
        found = f"**fails: {number} leak{'' if number == 1 else 's'}**"
    elif result.why_unjudged:
        found = f"not judged: {_escaped(result.why_unjudged)}"
    span = exact_duration(round(result.span))
    return f"| {_escaped(result.name)} | {result.goroutines:,} | {result.scrapes:,} in {span} | {found} |"


def _section(sentence: str, stack: Stack, body: str) -> Iterator[str]:
    place = file_and_line(stack.blamed)
    title = short_function(stack.blamed.function) + (f" at {place}" if place else "")
    yield from ("", f"#### {_escaped(title)}", "", _escaped(sentence), "")
    yield from _folded(body.split("\n"))


def _folded(lines: Sequence[str]) -> Iterator[str]:
    """Yield a folded block of lines. An empty line would end the block, as Markdown defines HTML blocks."""
    text = "\n".join(html.escape(printable(line)) or "&nbsp;" for line in lines)
    yield f"<details><summary>Details and stack</summary><pre>{text}</pre></details>"


def _escaped(text: str) -> str:
    """Return text from a service on one line, without markup."""
    return SPECIAL.sub(r"\\\1", printable(text))
