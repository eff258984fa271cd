"""The list of leaks and its filters; how to find one leak. Pure: state in, models out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from urllib.parse import quote

from leakwatch.errors import NotFoundError
from leakwatch.leaks.leak_json import cause_json, leak_fields
from leakwatch.leaks.model import Leak
from leakwatch.leaks.service_state import ServiceLeaks
from leakwatch.leaks.wording import caller_sentence
from leakwatch.leaks.wording import per_hour as hourly_rate
from leakwatch.model import Fingerprint, Growth, Stack, Verdict
from leakwatch.web.api import findings as closer
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.sparklines import SparklineLevels

NAMES = 20  # targets and related stacks of a leak in a list

Sparklines = Mapping[Fingerprint, SparklineLevels]


class UnknownLeakError(NotFoundError):
    """No stack of the service with this fingerprint leaks or leaked, as far as this leakwatch has recorded."""


def leak_list(
    view: FleetView,
    *,
    service: str = "",
    owner: str = "",
    verdicts: Collection[str] = (),
    q: str = "",
    limit: int = 100,
    offset: int = 0,
) -> models.LeakList:
    """Return the leaks that pass all filters, most urgent first.

    `q`: text in the function, file, origin, wait reason, service, owner or fingerprint; case does not matter.
    """
    text = valid_text(q).casefold()
    selected = [
        leak
        for leak in view.leaks
        if (not service or valid_text(leak.service) == service)
        and (not owner or valid_text(leak.owner) == owner)
        and (not verdicts or leak.verdict.word in verdicts)
        and (not text or text in _searched(leak))
    ]
    return models.LeakList(
        now=view.wall(view.now),
        total=len(selected),
        known=len(view.leaks),
        services=sorted({valid_text(leak.service) for leak in view.leaks}),
        owners=sorted({valid_text(leak.owner) for leak in view.leaks if leak.owner}),
        verdicts=[verdict.word for verdict in sorted({leak.verdict for leak in view.leaks}, reverse=True)],
        leaks=summaries(view, selected[offset : offset + limit]),
    )


def summaries(view: FleetView, leaks: Sequence[Leak]) -> list[models.LeakSummary]:
    """Return the list entries of `leaks`."""
    counts: dict[str, dict[Fingerprint, int]] = {leak.service: {} for leak in leaks}
    for leak in view.leaks:  # all leaks of a service, so that each page of a list uses the same cached sparklines
        if leak.service in counts:
            counts[leak.service][leak.stack.fingerprint] = leak.goroutines
    lines = {service: sparklines(view, service, counts[service]) for service in counts}
    return [models.LeakSummary(**summary(view, leak, lines[leak.service])) for leak in leaks]


def summary(view: FleetView, leak: Leak, lines: Sparklines) -> dict[str, object]:
    """Return the fields of a list entry."""
    levels, start = lines[leak.stack.fingerprint]
    return {
        "id": leak_id(leak),
        **leak_fields(leak),
        "growth_per_hour": hourly(leak.growth),
        "first_seen": view.wall(leak.first_seen),
        "detected_at": None if leak.detected_at is None else view.wall(leak.detected_at),
        "life": [
            models.Transition(verdict=turn.verdict.word, time=view.wall(turn.time)) for turn in leak.transitions
        ],
        "targets": leak.targets[:NAMES],
        "targets_total": len(leak.targets),
        "related": [other.stack.blamed.function for other in leak.related[:NAMES]],
        "cause": None if leak.cause is None else models.Cause.model_validate(cause_json(leak.cause)),
        "caller": caller_sentence(leak),
        "memory": closer.memory(leak.memory),
        "sparkline": levels,
        "sparkline_from": start,
    }


def sparklines(view: FleetView, service: str, counts: Mapping[Fingerprint, int]) -> Sparklines:
    """Return the sparkline of each stack in `counts`, which has its current goroutines on all targets."""
    lines = view.sparklines.get(service, view.states(service), counts, view.now)
    return {key: (levels, None if start is None else view.wall(start)) for key, (levels, start) in lines.items()}


def find(view: FleetView, service: str, stack: str) -> Leak:
    """Return one leak; raise NotFoundError with the leak that represents the stack, or the rule that hides it."""
    name = next((name for name in view.pipeline.services if valid_text(name) == service), service)
    leak = view.pipeline.leak(name, Fingerprint(stack))
    if leak:
        return leak
    service_state = view.pipeline.service(name)
    leaks = service_state.leaks if service_state else ServiceLeaks()
    for key, group in leaks.groups.items():
        if stack in {member.stack.fingerprint for member in group.members}:
            if key in leaks.rules:
                raise NotFoundError(f"leak {stack} of {service!r} is hidden by: ignore {leaks.rules[key]}")
            function = group.head.stack.blamed.function
            raise NotFoundError(
                f"stack {stack} is part of the leak in {function!r}", reported_as=_id(service, key)
            )
    raise UnknownLeakError(
        f"there is no leak {stack} of service {service!r}: it recovered more than a day ago, or this leakwatch"
        " started without its history"
    )


def leak_id(leak: Leak) -> str:
    """Return the identifier of a leak in paths: quoted service and fingerprint."""
    return _id(leak.service, leak.stack.fingerprint)


def _id(service: str, stack: str) -> str:
    return f"{quoted(service)}/{stack}"


def quoted(name: str) -> str:
    """Return a name quoted for a path."""
    return quote(valid_text(name), safe="")


def hourly(growth: Growth) -> models.Rate:
    """Return a growth per second as one per hour."""
    return models.Rate(value=hourly_rate(growth.rate), low=hourly_rate(growth.low), high=hourly_rate(growth.high))


def per_hour(slope: float) -> models.Rate:
    """Return a slope per second, which has no band, as a rate per hour."""
    return models.Rate(value=hourly_rate(slope))


def reference(stack: Stack, goroutines: int, verdict: Verdict = Verdict.NORMAL) -> models.StackRef:
    """Return a short form of a stack or site."""
    blamed, frames = stack.blamed, stack.frames
    return models.StackRef(
        stack=stack.fingerprint,
        function=blamed.function,
        file=blamed.file,
        line=blamed.line,
        wait=stack.wait,
        caller=next((frame.function for last, frame in pairwise(frames) if last == blamed), ""),
        origin=stack.origin,
        site=stack.site,
        goroutines=goroutines,
        verdict=verdict.word,
    )


def _searched(leak: Leak) -> str:
    stack = leak.stack
    blamed = stack.blamed
    parts: Iterable[str] = (
        *(blamed.function, f"{blamed.file}:{blamed.line}", stack.origin, stack.wait, leak.service, leak.owner),
        stack.fingerprint,
    )
    return valid_text("\n".join(parts)).casefold()
