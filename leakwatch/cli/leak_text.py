"""Text form of a leak, as `check` and `analyze` print it."""

from collections.abc import Iterator

from rich.text import Text

from leakwatch.cli.terminal import styled
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import (
    RateUnit,
    caller_sentence,
    cause_sentence,
    confidence_word,
    creator_sentence,
    file_and_line,
    fix_text,
    format_growth,
    format_time,
    holder_sentence,
    related_line,
    stack_line,
    waiting_sentence,
)
from leakwatch.model import Stack, Verdict
from leakwatch.profile.escape import printable

COLOURS = {Verdict.SUSPECTED: "yellow", Verdict.LEAKING: "bold red", Verdict.PROVEN: "bold red"}
NAMED = 5  # targets of a leak


def leak_lines(leak: Leak, verdict: Verdict, unit: RateUnit = "h") -> Iterator[Text]:
    """Yield the lines of a leak, with `verdict` in the first one; `unit`: of its rates."""
    stack = leak.stack
    head = Text(verdict.word.upper(), COLOURS.get(verdict, "bold"))
    head.append(f"  {printable(stack.blamed.function)}", "bold")
    if position := file_and_line(stack.blamed):
        head.append(f"  {printable(position)}", "not bold dim")
    yield head
    facts = [f"service {leak.service}", f"stack {stack.fingerprint}"]
    if leak.severity:
        facts.insert(0, f"severity {leak.severity}")
    if stack.wait:
        facts.append(f"waits in {stack.wait}")
    if leak.owner:
        facts.append(f"owner {leak.owner}")
    yield styled(f"  {', '.join(facts)}")
    if leak.source:
        yield styled(f"  {leak.source}")
    confidence, growth = confidence_word(leak.confidence), format_growth(leak.grew, unit)
    yield Text(f"  {leak.goroutines:,} goroutines now, {growth}, {confidence} confidence")
    yield Text(f"  {leak.reason}")
    for name, time in (("began", leak.first_seen), ("confirmed", leak.detected_at)):
        if time is not None:
            yield Text(f"  {name} {format_time(time)}")
    if len(leak.targets) > 1:
        more = " ..." if len(leak.targets) > NAMED else ""
        yield styled(f"  on {len(leak.targets)} targets: {', '.join(leak.targets[:NAMED])}{more}")
    yield from _explanation(leak, unit)
    yield from frame_lines(stack)


def frame_lines(stack: Stack) -> Iterator[Text]:
    """Yield a line for each frame of a stack."""
    for frame in stack.frames:
        yield styled(f"    {frame.function}" + (f"  {file_and_line(frame)}" if frame.file else ""), "dim")


def _explanation(leak: Leak, unit: RateUnit) -> Iterator[Text]:
    """Yield creators, the likely cause with its fix, the other stacks of the leak, and leaks that grow in step."""
    created = (waiting_sentence(leak.findings), creator_sentence(leak.findings)) if leak.findings.waiting else ()
    yield from (styled(f"  {text}") for text in created if text)
    if leak.cause:
        yield Text(f"  {cause_sentence(leak)}", "bold")
        yield Text(f"  {leak.cause.explanation}")
        yield from (Text(f"  {line}") for line in f"Fix: {fix_text(leak)}".split("\n"))
    yield from (styled(f"  {text}") for text in (caller_sentence(leak), holder_sentence(leak)) if text)
    for related in leak.related:
        yield styled(f"  related: {related_line(related, unit)} ({related.stack.fingerprint})")
    for other in leak.in_step:
        yield styled(f"  grows in step with: {stack_line(other)} ({other.fingerprint})")
