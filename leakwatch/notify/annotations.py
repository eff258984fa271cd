"""What an alert says to a reader: annotations with the whole stack, for which labels are too short. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from leakwatch.leaks import memory
from leakwatch.leaks.labels import shown
from leakwatch.leaks.model import Leak
from leakwatch.leaks.reason import figure, how_long, started_by
from leakwatch.model import Frame, Verdict

LIMIT: Final = 16_000  # bytes of all annotations of an alert
PART: Final = 2_500  # bytes of each but the stack
NAMED: Final = 20  # targets
RELATED: Final = 5  # stacks

LEAKING_STEP: Final = (
    "Open {url} for its numbers. Then find out why {function} does not return: a send or receive without a"
    " partner, a lock, a missing cancel, close or timeout. Restarting the targets frees the goroutines until they"
    " leak again."
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
    """Return the annotations of a leak; `first_seen`: as the wall clock shows it, in unix seconds."""
    where, grows = _where(leak), leak.verdict >= Verdict.LEAKING
    rate = f"{figure(3600 * leak.growth.rate)} more per hour" if grows else "not growing now"
    parts = [
        f"{leak.goroutines} goroutines of service {shown(leak.service)} are in {where} and do not leave.",
        _why(leak),
        "" if grows else "The stack was leaking within the last day, and the leaked goroutines are still there.",
        "Proven: Go's runtime reports that nothing can wake them." if leak.verdict is Verdict.PROVEN else "",
        *_facts(leak, first_seen),
    ]
    said = {
        "summary": f"{shown(leak.service)} leaks goroutines in {where}: {leak.goroutines}, {rate}",
        "description": _sentences(parts),
        "targets": _listed([shown(name) for name in leak.targets]),
        "source": leak.source,
        "next_step": LEAKING_STEP.format(url=url, function=shown(leak.stack.blamed.function)),
    }
    return _with_stack(said, leak)


def suspected(leak: Leak, url: str, first_seen: float) -> Mapping[str, str]:
    """Return the annotations of what may be a leak; `first_seen`: as the wall clock shows it, in unix seconds."""
    where = _where(leak)
    parts = [
        f"{leak.goroutines} goroutines of service {shown(leak.service)} are in {where}.",
        "More goroutines arrive there than leave, but not clearly enough to call it a leak.",
        _why(leak),
        *_facts(leak, first_seen),
    ]
    said = {
        "summary": f"{shown(leak.service)} may leak goroutines in {where}: {leak.goroutines}",
        "description": _sentences(parts),
        "targets": _listed([shown(name) for name in leak.targets]),
        "source": leak.source,
        "next_step": SUSPECTED_STEP.format(url=url),
    }
    return _with_stack(said, leak)


def down(service: str, lines: Sequence[str], known: int) -> Mapping[str, str]:
    """Return the annotations of a service whose targets cannot be scraped.

    `lines`: one for each of them, which says why; `known`: how many targets the service has.
    """
    said = {
        "summary": f"leakwatch cannot scrape {len(lines)} of {known} targets of {service}",
        "description": (
            "No profile for 5m: leakwatch does not detect new leaks there and judges known leaks by old data."
        ),
        "targets": _listed(lines),
        "next_step": DOWN_STEP,
    }
    return {name: _cut(part, PART) for name, part in said.items()}


def _where(leak: Leak) -> str:
    wait = f" ({leak.stack.wait})" if leak.stack.wait else ""
    return f"{shown(leak.stack.blamed.function)}{wait}"


def _why(leak: Leak) -> str:
    return f"This stack {leak.reason}." if leak.reason else ""


def _facts(leak: Leak, first_seen: float) -> list[str]:
    related = [shown(other.blamed.function) for other in leak.related]
    known = not math.isnan(first_seen)
    return [
        f"Since: {datetime.fromtimestamp(first_seen, UTC):%Y-%m-%d %H:%M:%S} UTC." if known else "",
        shown(how_long(leak.findings)),
        shown(started_by(leak.findings)),
        f"Confidence: {100 * leak.confidence:.0f} %.",
        memory.sentence(leak.memory) if leak.memory else "",
        f"Owner: {shown(leak.owner)}." if leak.owner else "",
        f"Growing in step: {', '.join(related[:RELATED])}{_more(related, RELATED)}." if related else "",
    ]


def _sentences(parts: Iterable[str]) -> str:
    return " ".join(filter(None, parts))


def _listed(names: Sequence[str]) -> str:
    return "\n".join(names[:NAMED]) + _more(names, NAMED)


def _more(names: Sequence[str], most: int) -> str:
    return f" and {len(names) - most:,} more" if len(names) > most else ""


def _with_stack(said: Mapping[str, str], leak: Leak) -> Mapping[str, str]:
    parts = {name: _cut(part, PART) for name, part in said.items() if part}
    return {**parts, "stack": stack(leak.stack.frames, LIMIT - sum(_size(part) for part in parts.values()))}


def stack(frames: Sequence[Frame], limit: int) -> str:
    """Return all frames, leaf first, each with file and line; in at most `limit` bytes.

    Where they are more, those in the middle go: the leaf says what it waits for, the origin what was started.
    """
    lines = [shown(at.function) + (f"\n\t{shown(at.file)}:{at.line}" if at.file else "") for at in frames]
    if _size("\n".join(lines)) <= limit:
        return "\n".join(lines)
    mark = "… {:,} frames more …"
    left = limit - _size(lines[-1]) - _size(mark) - 10  # 10: the number in the mark, and the line ends
    kept = []
    for line in lines[:-1]:
        left -= _size(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, mark.format(len(lines) - len(kept) - 1), lines[-1]])


def _cut(part: str, limit: int) -> str:
    """Return `part` in at most `limit` bytes, with a mark where it is cut."""
    if _size(part) <= limit:
        return part
    return part.encode("utf-8", "replace")[: limit - _size("…")].decode(errors="ignore") + "…"


def _size(part: str) -> int:
    return len(part.encode("utf-8", "replace"))  # half a letter becomes a question mark on its way
