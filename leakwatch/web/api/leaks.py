"""Leaks: the list, filtered, and what it says of each. Pure: state in, models out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import quote

from leakwatch.errors import NotFoundError
from leakwatch.leaks.leak_json import leak_fields
from leakwatch.leaks.model import Leak
from leakwatch.leaks.service_state import ServiceLeaks
from leakwatch.leaks.wording import per_hour as hourly_rate
from leakwatch.model import Fingerprint, Growth, Stack, Verdict
from leakwatch.web.api import findings as closer
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState

NAMED = 20  # targets of a leak in a list; related ones too

Sparklines = Mapping[Fingerprint, tuple[list[float], float | None]]
"""Levels, and when the first of them was."""


def leak_list(
    source: AppState,
    *,
    service: str = "",
    owner: str = "",
    verdicts: Collection[str] = (),
    q: str = "",
    limit: int = 100,
    offset: int = 0,
) -> models.LeakList:
    """Return the leaks that pass all filters, the most urgent first.

    `q`: text that is in the function, file, origin, wait reason, service, owner or stack, in any case.
    """
    known = source.leaks()
    words = whole(q).casefold()
    found = [
        leak
        for leak in known
        if (not service or whole(leak.service) == service)
        and (not owner or whole(leak.owner) == owner)
        and (not verdicts or leak.verdict.word in verdicts)
        and (not words or words in _searched(leak))
    ]
    return models.LeakList(
        now=source.wall(source.now()),
        total=len(found),
        known=len(known),
        services=sorted({whole(leak.service) for leak in known}),
        owners=sorted({whole(leak.owner) for leak in known if leak.owner}),
        verdicts=[verdict.word for verdict in sorted({leak.verdict for leak in known}, reverse=True)],
        leaks=summaries(source, found[offset : offset + limit], known),
    )


def summaries(source: AppState, leaks: Sequence[Leak], known: Sequence[Leak]) -> list[models.LeakSummary]:
    """Return what a list says of `leaks`, which are some of the `known` ones."""
    counts: dict[str, dict[Fingerprint, int]] = {}
    for leak in known:
        counts.setdefault(leak.service, {})[leak.stack.fingerprint] = leak.goroutines
    lines = {name: sparklines(source, name, counts[name]) for name in {leak.service for leak in leaks}}
    return [models.LeakSummary(**summary(source, leak, lines[leak.service])) for leak in leaks]


def summary(source: AppState, leak: Leak, lines: Sparklines) -> dict[str, object]:
    """Return the fields of a summary."""
    levels, start = lines[leak.stack.fingerprint]
    return {
        "id": leak_id(leak),
        **leak_fields(leak),
        "growth_per_hour": hourly(leak.growth),
        "first_seen": source.wall(leak.first_seen),
        "detected_at": None if leak.detected_at is None else source.wall(leak.detected_at),
        "life": [
            models.Transition(verdict=turn.verdict.word, time=source.wall(turn.time)) for turn in leak.transitions
        ],
        "targets": leak.targets[:NAMED],
        "targets_total": len(leak.targets),
        "related": [other.blamed.function for other in leak.related[:NAMED]],
        "memory": closer.memory(leak.memory),
        "sparkline": levels,
        "sparkline_from": start,
    }


def sparklines(source: AppState, service: str, counts: Mapping[Fingerprint, int]) -> Sparklines:
    """Return what the goroutines of stacks over all targets of a service were, until they became `counts`."""
    found = source.pipeline.service(service)
    states = list(found.targets.values()) if found else []
    lines = source.sparklines.of(service, states, counts, source.now())
    return {key: (line, None if start is None else source.wall(start)) for key, (line, start) in lines.items()}


def find(source: AppState, service: str, stack: str) -> Leak:
    """Return one leak; raises NotFoundError, which says where else it is told, or why it is not."""
    name = next((name for name in source.pipeline.services if whole(name) == service), service)
    found = source.pipeline.leak(name, Fingerprint(stack))
    if found:
        return found
    known = source.pipeline.service(name)
    leaks = known.leaks if known else ServiceLeaks()
    for key, group in leaks.groups.items():
        if stack in {member.stack.fingerprint for member in group.members}:
            if key in leaks.rules:
                raise NotFoundError(
                    f"leak {stack} of {service!r} is kept out of sight by: ignore {leaks.rules[key]}"
                )
            name = group.head.stack.blamed.function
            raise NotFoundError(f"it is told as part of the leak in {name!r}", reported_as=_id(service, key))
    raise NotFoundError(f"there is no leak {stack} of service {service!r}; what recovers is forgotten after a day")


def leak_id(leak: Leak) -> str:
    """Return what tells a leak from all others, in the form that stands in addresses."""
    return _id(leak.service, leak.stack.fingerprint)


def _id(service: str, stack: str) -> str:
    return f"{quoted(service)}/{stack}"


def quoted(name: str) -> str:
    """Return a name as it stands in addresses."""
    return quote(whole(name), safe="")


def hourly(growth: Growth) -> models.Rate:
    """Return a growth per second as one per hour."""
    return models.Rate(value=hourly_rate(growth.rate), low=hourly_rate(growth.low), high=hourly_rate(growth.high))


def per_hour(slope: float) -> models.Rate:
    """Return a slope per second that nobody has judged: it has no band."""
    return models.Rate(value=hourly_rate(slope))


def reference(stack: Stack, goroutines: int, verdict: Verdict = Verdict.NORMAL) -> models.StackRef:
    """Return a stack as others name it."""
    at = stack.blamed
    return models.StackRef(
        stack=stack.fingerprint,
        function=at.function,
        file=at.file,
        line=at.line,
        wait=stack.wait,
        site=stack.site,
        goroutines=goroutines,
        verdict=verdict.word,
    )


def _searched(leak: Leak) -> str:
    stack = leak.stack
    at = stack.blamed
    parts: Iterable[str] = (
        *(at.function, f"{at.file}:{at.line}", stack.origin, stack.wait, leak.service, leak.owner),
        stack.fingerprint,
    )
    return whole("\n".join(parts)).casefold()
