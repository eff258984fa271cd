"""Annotations of alerts: summary, description, whole stack and next step. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from leakwatch.leaks.labels import shown
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import (
    caller_sentence,
    cause_sentence,
    creator_sentence,
    fix_text,
    format_figure,
    format_time,
    holder_sentence,
    memory_sentence,
    related_line,
    stack_line,
    waiting_sentence,
)
from leakwatch.model import Frame, Verdict

LIMIT: Final = 16_000  # bytes of all annotations of an alert together
PART_LIMIT: Final = 2_500  # bytes of each annotation except the stack
LISTED_TARGETS: Final = 20
RELATED: Final = 5  # stacks

LEAKING_STEP: Final = (
    "Open {url} for its numbers. Then find out why {function} does not return: a send or receive without a"
    " partner, a lock, a missing cancel, close or timeout. Restarting the targets frees the goroutines until they"
    " leak again."
)
FIX_STEP: Final = (
    "Open {url} for its numbers. {fix}. Restarting the targets frees the goroutines until they leak again."
)
SUSPECTED_STEP: Final = (
    "Not urgent: leakwatch continues to judge this stack ({url}), and GoroutineLeak fires if it is a leak. If the"
    " growth is intended (a pool that fills up, one goroutine per tenant), silence this stack in Alertmanager or"
    " add it to `ignore`. The suspicion ends when the growth ends."
)
DOWN_STEP: Final = (
    "Run `leakwatch scrape` on one of them from the host or pod of leakwatch. Check that the process is up, that"
    " it serves the profile at that address and path (/debug/pprof unless configured otherwise), and that"
    " leakwatch can reach it (network policy, credentials, TLS). If the target no longer exists, remove it from"
    " leakwatch's scrape_configs."
)


def leaking(leak: Leak, url: str, first_seen: float) -> Mapping[str, str]:
    """Return the annotations of a leak; `first_seen`: by the wall clock, in unix seconds, NaN if unknown."""
    where, grows = _where(leak), leak.verdict >= Verdict.LEAKING
    rate = f", {format_figure(3600 * leak.growth.rate)} more per hour" if grows else ", not growing now"
    rate = "" if grows and not leak.growth.rate else rate  # a finalizer that never returns
    parts = [
        f"{leak.goroutines} goroutines of service {shown(leak.service)} are in {where} and do not leave.",
        _why(leak),
        "" if grows else "The stack was leaking within the last day, and the leaked goroutines are still there.",
        "Proven: Go's runtime reports that nothing can wake them." if leak.verdict is Verdict.PROVEN else "",
        *_facts(leak, first_seen),
    ]
    annotations = {
        "summary": f"{shown(leak.service)} leaks goroutines in {where}: {leak.goroutines}{rate}",
        "description": _sentences(parts),
        **_cause(leak),
        "related": _related(leak),
        "targets": _listed([shown(name) for name in leak.targets]),
        "source": leak.source,
        "next_step": _step(leak, url),
    }
    return _with_stack(annotations, leak)


def suspected(leak: Leak, url: str, first_seen: float) -> Mapping[str, str]:
    """Return the annotations of a suspected leak; `first_seen`: as in `leaking`."""
    where = _where(leak)
    parts = [
        f"{leak.goroutines} goroutines of service {shown(leak.service)} are in {where}.",
        "More goroutines arrive there than leave, but not clearly enough to call it a leak.",
        _why(leak),
        *_facts(leak, first_seen),
    ]
    annotations = {
        "summary": f"{shown(leak.service)} may leak goroutines in {where}: {leak.goroutines}",
        "description": _sentences(parts),
        **_cause(leak),
        "related": _related(leak),
        "targets": _listed([shown(name) for name in leak.targets]),
        "source": leak.source,
        "next_step": SUSPECTED_STEP.format(url=url),
    }
    return _with_stack(annotations, leak)


def down(service: str, lines: Sequence[str], scraped: int) -> Mapping[str, str]:
    """Return the annotations of a service with targets that are down.

    `lines`: a line per such target with the reason; `scraped`: the number of targets of the service that have been
    scraped, successfully or not.
    """
    annotations = {
        "summary": f"leakwatch cannot scrape {len(lines)} of {scraped} targets of {service}",
        "description": (
            "No profile for 5m: leakwatch does not detect new leaks there and judges known leaks by old data."
        ),
        "targets": _listed(lines),
        "next_step": DOWN_STEP,
    }
    return {name: _cut(part, PART_LIMIT) for name, part in annotations.items()}


def _where(leak: Leak) -> str:
    wait = f" ({leak.stack.wait})" if leak.stack.wait else ""
    return f"{shown(leak.stack.blamed.function)}{wait}"


def _why(leak: Leak) -> str:
    return f"This stack {leak.reason}." if leak.reason else ""


def _facts(leak: Leak, first_seen: float) -> list[str]:
    has_date = not math.isnan(first_seen)
    return [
        f"Since: {format_time(first_seen)}." if has_date else "",
        shown(waiting_sentence(leak.findings)),
        shown(creator_sentence(leak.findings)),
        shown(holder_sentence(leak)),
        f"Confidence: {100 * leak.confidence:.0f} %.",
        memory_sentence(leak.memory) if leak.memory else "",
        f"Owner: {shown(leak.owner)}." if leak.owner else "",
        f"Grows in step with: {', '.join(shown(stack_line(other)) for other in leak.in_step[:RELATED])}"
        f"{_more(leak.in_step, RELATED)}."
        if leak.in_step
        else "",
    ]


def _cause(leak: Leak) -> Mapping[str, str]:
    explanation = leak.cause.explanation if leak.cause else ""
    return {
        "likely_cause": _sentences([cause_sentence(leak), explanation]),
        "caller": shown(caller_sentence(leak)),
        "fix": fix_text(leak),
    }


def _related(leak: Leak) -> str:
    """Return a line for each of the other stacks of a leak, the largest first."""
    lines = [shown(related_line(related)) for related in leak.related]
    return "\n".join(lines[:RELATED]) + _more(lines, RELATED)


def _step(leak: Leak, url: str) -> str:
    if leak.cause is None:
        return LEAKING_STEP.format(url=url, function=shown(leak.stack.blamed.function))
    return FIX_STEP.format(url=url, fix=leak.cause.fix.rstrip("."))


def _sentences(parts: Iterable[str]) -> str:
    return " ".join(filter(None, parts))


def _listed(names: Sequence[str]) -> str:
    return "\n".join(names[:LISTED_TARGETS]) + _more(names, LISTED_TARGETS)


def _more(names: Sequence[object], limit: int) -> str:
    return f" and {len(names) - limit:,} more" if len(names) > limit else ""


def _with_stack(annotations: Mapping[str, str], leak: Leak) -> Mapping[str, str]:
    parts = {name: _cut(part, PART_LIMIT) for name, part in annotations.items() if part}
    return {**parts, "stack": stack(leak.stack.frames, LIMIT - sum(_size(part) for part in parts.values()))}


def stack(frames: Sequence[Frame], limit: int) -> str:
    """Return all frames, leaf first, each with file and line, in at most `limit` bytes.

    A longer stack loses frames in the middle: the leaf shows the wait, and the origin shows the `go` statement.
    """
    lines = [
        shown(frame.function) + (f"\n\t{shown(frame.file)}:{frame.line}" if frame.file else "") for frame in frames
    ]
    if _size("\n".join(lines)) <= limit:
        return "\n".join(lines)
    mark = "… {:,} frames more …"
    remaining = limit - _size(lines[-1]) - _size(mark) - 10  # 10: the number in the mark, and the line ends
    first_lines = []
    for line in lines[:-1]:
        remaining -= _size(line) + 1
        if remaining < 0:
            break
        first_lines.append(line)
    return "\n".join([*first_lines, mark.format(len(lines) - len(first_lines) - 1), lines[-1]])


def _cut(part: str, limit: int) -> str:
    """Return `part` in at most `limit` bytes; a cut part ends with "…"."""
    if _size(part) <= limit:
        return part
    return part.encode("utf-8", "replace")[: limit - _size("…")].decode(errors="ignore") + "…"


def _size(part: str) -> int:
    return len(part.encode("utf-8", "replace"))  # a lone surrogate becomes "?" when it is sent
