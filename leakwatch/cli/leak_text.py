"""A leak in words and colours, for the command line."""

from collections.abc import Iterator

from rich.text import Text

from leakwatch.cli.terminal import styled
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import format_growth, format_time
from leakwatch.model import Verdict
from leakwatch.profile.escape import printable

COLOURS = {Verdict.SUSPECTED: "yellow", Verdict.LEAKING: "bold red", Verdict.PROVEN: "bold red"}


def about(leak: Leak, verdict: Verdict) -> Iterator[Text]:
    """Return the lines that tell a leak, with a `verdict` on it."""
    stack = leak.stack
    head = Text(verdict.word.upper(), COLOURS.get(verdict, "bold"))
    head.append(f"  {printable(stack.blamed.function)}", "bold")
    if stack.blamed.file:
        head.append(f"  {printable(stack.blamed.file)}:{stack.blamed.line}", "not bold dim")
    yield head
    words = [f"service {leak.service}", f"stack {stack.fingerprint}"]
    if stack.wait:
        words.append(f"waits in {stack.wait}")
    if leak.owner:
        words.append(f"owner {leak.owner}")
    yield styled("  " + ", ".join(words))
    if leak.source:
        yield styled(f"  {leak.source}")
    yield Text(f"  {leak.goroutines} goroutines now, {format_growth(leak.grew)}, confidence {leak.confidence:.0%}")
    yield Text(f"  {leak.reason}")
    for name, when in (("began", leak.first_seen), ("first told", leak.detected_at)):
        if when is not None:
            yield Text(f"  {name} {format_time(when)}")
    if len(leak.targets) > 1:
        yield styled(
            f"  on {len(leak.targets)} targets: {', '.join(leak.targets[:5])}{' ...' * (len(leak.targets) > 5)}"
        )
    for related in leak.related:
        yield styled(f"  with it grows {related.blamed.function} ({related.fingerprint})")
    for frame in stack.frames:
        yield styled(f"    {frame.function}" + (f"  {frame.file}:{frame.line}" if frame.file else ""), "dim")
