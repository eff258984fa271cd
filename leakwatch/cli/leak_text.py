"""Text form of a leak, as `check` and `analyze` print it."""

from collections.abc import Iterator

from rich.text import Text

from leakwatch.cli.terminal import styled
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import (
    caller_sentence,
    cause_sentence,
    file_and_line,
    fix_text,
    format_growth,
    format_time,
    holder_sentence,
    related_line,
    stack_line,
)
from leakwatch.model import Verdict
from leakwatch.profile.escape import printable

COLOURS = {Verdict.SUSPECTED: "yellow", Verdict.LEAKING: "bold red", Verdict.PROVEN: "bold red"}
NAMED = 5  # targets of a leak


def leak_lines(leak: Leak, verdict: Verdict) -> Iterator[Text]:
    """Yield the lines of a leak, with `verdict` in the first one."""
    stack = leak.stack
    head = Text(verdict.word.upper(), COLOURS.get(verdict, "bold"))
    head.append(f"  {printable(stack.blamed.function)}", "bold")
    if position := file_and_line(stack.blamed):
        head.append(f"  {printable(position)}", "not bold dim")
    yield head
    facts = [f"service {leak.service}", f"stack {stack.fingerprint}"]
    if stack.wait:
        facts.append(f"waits in {stack.wait}")
    if leak.owner:
        facts.append(f"owner {leak.owner}")
    yield styled(f"  {', '.join(facts)}")
    if leak.source:
        yield styled(f"  {leak.source}")
    yield Text(f"  {leak.goroutines} goroutines now, {format_growth(leak.grew)}, confidence {leak.confidence:.0%}")
    yield Text(f"  {leak.reason}")
    for name, time in (("began", leak.first_seen), ("confirmed", leak.detected_at)):
        if time is not None:
            yield Text(f"  {name} {format_time(time)}")
    if len(leak.targets) > 1:
        more = " ..." if len(leak.targets) > NAMED else ""
        yield styled(f"  on {len(leak.targets)} targets: {', '.join(leak.targets[:NAMED])}{more}")
    yield from _explanation(leak)
    for frame in stack.frames:
        yield styled(f"    {frame.function}" + (f"  {file_and_line(frame)}" if frame.file else ""), "dim")


def _explanation(leak: Leak) -> Iterator[Text]:
    """Yield the likely cause with its fix, the other stacks of the leak, and leaks that grow in step."""
    if leak.cause:
        yield Text(f"  {cause_sentence(leak)}", "bold")
        yield Text(f"  {leak.cause.explanation}")
        yield from (Text(f"  {line}") for line in f"Fix: {fix_text(leak)}".split("\n"))
    yield from (styled(f"  {text}") for text in (caller_sentence(leak), holder_sentence(leak)) if text)
    for related in leak.related:
        yield styled(f"  related: {related_line(related)} ({related.stack.fingerprint})")
    for other in leak.in_step:
        yield styled(f"  grows in step with: {stack_line(other)} ({other.fingerprint})")
