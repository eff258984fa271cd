"""The page of a leak. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from leakwatch.evidence.store import Store
from leakwatch.leaks.model import Leak
from leakwatch.leaks.wording import format_time
from leakwatch.notify.links import wait_help
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leak_detail import leak_view
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.series import leak_series
from leakwatch.web.api.state import AlertContext
from leakwatch.web.pages.evidence import first_profiles, offered_profiles
from leakwatch.web.pages.wording import fact, issue, memory, silence_url, stack_text

COMPARED = 3
"""Targets with a link to the difference between their first stored profile and now."""


@dataclass(frozen=True, slots=True)
class TargetPlot:
    """A small plot of one target; `id` identifies its HTML element."""

    on: models.OnTarget | None
    series: models.TargetSeries
    id: str


def leak_page(view: FleetView, alerts: AlertContext, evidence: Store, leak: Leak) -> Mapping[str, object]:
    """Return the values of the template."""
    details, series = leak_view(view, alerts, leak), leak_series(view, leak)
    profiles = offered_profiles(view, evidence, leak.service, stack=leak.stack.fingerprint)
    creator = creator_of(details)
    stack = stack_text(details.frames, creator)
    return {
        "leak": details,
        "fact": fact(details),
        "creator": creator,
        "stack_text": stack,
        "issue": issue(details, stack, alerts.links.page(leak)),
        "silence": silence_url(alerts.alertmanager(), details.alert.labels),
        "memory": memory(details.memory) if details.memory else "",
        "wait_help": wait_help(details.wait),
        "cause_help": leak.cause.docs if leak.cause else "",
        "grown": {stack.stack: stack.growth_per_hour for stack in details.related_stacks},
        "others": others(details),
        "series": series,
        "plots": plots(details, series),
        "blamed": blamed(details.frames, details.function),
        "numbers": numbers(series),
        "profiles": profiles,
        "first_profiles": first_profiles(view, profiles)[:COMPARED],
    }


def creator_of(leak: models.Leak) -> models.Frame | None:
    """Return the `go` statement that started most of the goroutines, None if no full dump shows it."""
    creators = leak.findings.ages.creators if leak.findings.ages else []
    if not creators:
        return None
    creator = creators[0]
    own = creator.function in {frame.function for frame in leak.frames if frame.own}
    return models.Frame(
        function=creator.function, file=creator.file, line=creator.line, own=own, source=creator.source
    )


def others(leak: models.Leak) -> list[models.RelatedStack]:
    """Return the related stacks, without those that the page lists as stacks of the site."""
    return [stack for stack in leak.related_stacks if not (leak.site and stack.function == leak.function)]


def plots(leak: models.Leak, series: models.LeakSeries) -> list[TargetPlot]:
    """Return the small plots, fastest growth first."""
    targets = {target.target: target for target in leak.on}
    return [TargetPlot(targets.get(line.target), line, element_id(line.target)) for line in series.targets]


def element_id(target: str) -> str:
    """Return the id of the HTML element of a target: a hash, because the name may contain any character."""
    return blake2b(target.encode("utf-8", "replace"), digest_size=6).hexdigest()


def blamed(frames: Sequence[models.Frame], function: str) -> int:
    """Return the index of the blamed frame, -1 if no frame has this function."""
    return next((i for i, frame in enumerate(frames) if frame.function == function), -1)


def numbers(series: models.LeakSeries) -> list[tuple[str, float | None, float | None]]:
    """Return the points of the plot as rows: time in UTC, mean and floor, newest first."""
    recent, hours = series.recent, series.hours
    begin = recent.times[0] if recent.times else float("inf")
    rows = [
        row
        for row in zip(hours.times, hours.mean, hours.floor, strict=True)
        if row[0] + hours.seconds / 2 <= begin
    ]
    rows += zip(recent.times, recent.mean, recent.floor, strict=True)
    return [(format_time(time), mean, floor) for time, mean, floor in reversed(rows)]
