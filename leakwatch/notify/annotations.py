"""Annotations of alerts: summary, description, whole stack, next step and links. Pure."""

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
    short_function,
    stack_line,
    waiting_sentence,
)
from leakwatch.model import Frame, Verdict
from leakwatch.notify.links import TARGET_DOWN, AlertLinks, leak_help

LIMIT: Final = 16_000  # bytes of all annotations of an alert together
PART_LIMIT: Final = 2_500  # bytes of each annotation except the stack
LISTED_TARGETS: Final = 20
RELATED: Final = 5  # stacks

UNKNOWN_CAUSE: Final = (
    "No known cause fits. Find out why {function} does not return. Usual causes: a channel without a sender or"
    " receiver, a lock that is never released, a missing cancel, close or timeout."
)
LEAKING_STEP: Final = (
    "Open {page} for the whole stack, its growth and its targets. Restarting the targets frees the goroutines"
    " until they leak again. If the growth is intended, add the ignore rule of that page."
)
STOPPED: Final = (
    "The stack was leaking within the last day. It does not leak now, but the leaked goroutines are still there."
)
SUSPECTED_STEP: Final = (
    "Not urgent: leakwatch continues to judge this stack ({page}), and GoroutineLeak fires if it is a leak. If the"
    " growth is intended (a pool that fills up, one goroutine per tenant), silence this stack in Alertmanager or"
    " add it to `ignore`. The suspicion ends when the growth ends."
)
DOWN_STEP: Final = (
    "Run `leakwatch scrape` on one of them from the host or pod of leakwatch. Check that the process is up, that"
    " it serves the profile at that address and path (/debug/pprof unless configured otherwise), and that"
    " leakwatch can reach it (network policy, credentials, TLS). If the target no longer exists, remove it from"
    " leakwatch's scrape_configs."
)


def leaking(leak: Leak, links: AlertLinks, first_seen: float) -> Mapping[str, str]:
    """Return the annotations of a leak; `first_seen`: by the wall clock, in unix seconds, NaN if unknown."""
    parts = [
        _cause_and_fix(leak),
        f"{_located(leak)}.",
        _why(leak),
        "" if leak.verdict >= Verdict.LEAKING else STOPPED,
        "Proven: Go's runtime reports that nothing can wake them." if leak.verdict is Verdict.PROVEN else "",
        *_facts(leak, first_seen),
    ]
    summary = f"{shown(leak.service)}: goroutine leak in {_place(leak)}, {leak.goroutines:,} now{_rate(leak)}"
    return _annotations(leak, links, summary, parts, LEAKING_STEP)


def suspected(leak: Leak, links: AlertLinks, first_seen: float) -> Mapping[str, str]:
    """Return the annotations of a suspected leak; `first_seen`: as in `leaking`."""
    parts = [
        f"Not certain yet: {_located(leak)}.",
        "More goroutines arrive there than leave, but not clearly enough to call it a leak.",
        _cause_and_fix(leak),
        _why(leak),
        *_facts(leak, first_seen),
    ]
    place, count = _place(leak), f"{leak.goroutines:,} now{_rate(leak)}"
    summary = f"{shown(leak.service)}: possible goroutine leak in {place}, {count}"
    return _annotations(leak, links, summary, parts, SUSPECTED_STEP)


def _annotations(
    leak: Leak, links: AlertLinks, summary: str, parts: Iterable[str], step: str
) -> Mapping[str, str]:
    page = links.page(leak)
    annotations = {
        "summary": summary,
        "description": _sentences([*parts, f"Page: {page}"]),
        **_cause(leak),
        "related": _related(leak),
        "targets": _listed([shown(name) for name in leak.targets]),
        "source": leak.source,
        "next_step": step.format(page=page),
        "page_url": page,
        "runbook_url": links.docs(leak_help(leak)),
        "dashboard_url": links.dashboard_of(shown(leak.service)),
    }
    return _with_stack(annotations, leak)


def down(service: str, lines: Sequence[str], scraped: int, links: AlertLinks) -> Mapping[str, str]:
    """Return the annotations of a service with targets that are down.

    `lines`: a line per such target with the reason; `scraped`: the number of targets of the service that have been
    scraped, successfully or not.
    """
    annotations = {
        "summary": f"{service}: leakwatch cannot scrape {len(lines):,} of {scraped:,} targets",
        "description": (
            "No profile for 5m: leakwatch does not detect new leaks there and judges known leaks by old data."
        ),
        "targets": _listed(lines),
        "next_step": DOWN_STEP,
        "page_url": links.first_page(),
        "runbook_url": links.docs(TARGET_DOWN),
        "dashboard_url": links.dashboard_of(service),
    }
    return {name: _cut(part, PART_LIMIT) for name, part in annotations.items() if part}


def _wait(leak: Leak) -> str:
    return f" ({leak.stack.wait})" if leak.stack.wait else ""


def _place(leak: Leak) -> str:
    """Return function and wait reason, short enough for the screen of a phone."""
    return f"{shown(short_function(leak.stack.blamed.function))}{_wait(leak)}"


def _located(leak: Leak) -> str:
    return f"{leak.goroutines:,} goroutines are in {shown(leak.stack.blamed.function)}{_wait(leak)}"


def _rate(leak: Leak) -> str:
    """Return the growth per hour, after a comma."""
    if leak.verdict <= Verdict.PLATEAU:
        return ", not growing"
    rate = leak.growth.rate  # 0 for a finalizer that never returns
    return f", {'+' if rate > 0 else ''}{format_figure(3600 * rate)}/h" if rate else ""


def _why(leak: Leak) -> str:
    return f"This stack {leak.reason}." if leak.reason else ""


def _facts(leak: Leak, first_seen: float) -> list[str]:
    has_date = not math.isnan(first_seen)
    return [
        f"Since: {format_time(first_seen)}." if has_date else "",
        shown(waiting_sentence(leak.findings)),
        shown(creator_sentence(leak.findings)),
        shown(holder_sentence(leak)),
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


def _cause_and_fix(leak: Leak) -> str:
    """Return the likely cause and its fix, else the usual causes."""
    if leak.cause is None:
        return UNKNOWN_CAUSE.format(function=shown(short_function(leak.stack.blamed.function)))
    return f"{cause_sentence(leak)} Fix: {leak.cause.fix}"


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
