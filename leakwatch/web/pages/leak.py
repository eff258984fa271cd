"""What the page of a leak shows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from starlette.requests import Request

from leakwatch.model import Target
from leakwatch.web.api.evidence import KeptProfile, listed
from leakwatch.web.api.leak_detail import leak_view
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.series import leak_series
from leakwatch.web.api.state import AppState

SPANS = 3
"""Targets of which the page links to what changed between the first and the last evidence."""


@dataclass(frozen=True, slots=True)
class Span:
    """A target that is watched, with the first and the last body of it that are kept."""

    target: str
    first: KeptProfile
    last: KeptProfile


@dataclass(frozen=True, slots=True)
class Small:
    """One of the small plots: a target, and its part of the leak."""

    on: models.OnTarget | None
    series: models.TargetSeries
    id: str


def leak_page(source: AppState, request: Request) -> Mapping[str, object]:
    """Return what the template shows of the leak that an address names; raises NotFoundError."""
    service, stack = request.path_params["service"], request.path_params["stack"]
    leak, series = leak_view(source, service, stack), leak_series(source, service, stack)
    kept = kept_of(source, leak.service, stack=leak.stack)
    return {
        "leak": leak,
        "series": series,
        "smalls": smalls(leak, series),
        "blamed": blamed(leak.frames, leak.function),
        "numbers": numbers(series),
        "kept": kept,
        "spans": spans(source, kept)[:SPANS],
    }


def kept_of(
    source: AppState, service: str, *, target: str | None = None, stack: str | None = None
) -> list[KeptProfile]:
    """Return the bodies that are kept of a service's leak or target, the newest first.

    Not those that only the next scrape would replace: they are gone before somebody has clicked.
    """
    found = listed(source.evidence, service, target, stack).profiles if source.evidence else []
    return [one for one in found if set(one.kinds) != {"last"} or not _goes_on(source, one)]


def spans(source: AppState, kept: Sequence[KeptProfile]) -> list[Span]:
    """Return the targets of which several bodies are kept, the newest first; `kept` too has the newest first."""
    by_target: dict[str, list[KeptProfile]] = {}
    for one in kept:
        if Target(one.service, one.target) in source.pipeline.targets:
            by_target.setdefault(one.target, []).append(one)
    return [Span(target, those[-1], those[0]) for target, those in by_target.items() if len(those) > 1]


def _goes_on(source: AppState, one: KeptProfile) -> bool:
    """Tell whether the process that a body is of still runs."""
    state = source.pipeline.targets.get(Target(one.service, one.target))
    since = state.history.since if state else None
    return since is not None and one.time > source.wall(since)


def smalls(leak: models.Leak, series: models.LeakSeries) -> list[Small]:
    """Return the targets that have a small plot, those that grow fastest first."""
    on = {one.target: one for one in leak.on}
    return [Small(on.get(one.target), one, named(one.target)) for one in series.targets]


def named(target: str) -> str:
    """Return what a page calls an element that is about a target, whose own name may hold anything."""
    return blake2b(target.encode("utf-8", "replace"), digest_size=6).hexdigest()


def blamed(frames: Sequence[models.Frame], function: str) -> int:
    """Return which of the frames is to be looked at first, -1 if none of them is."""
    return next((i for i, frame in enumerate(frames) if frame.function == function), -1)


def numbers(series: models.LeakSeries) -> list[tuple[float, float | None, float | None]]:
    """Return what the plot shows, as rows: time, mean and floor, the newest first."""
    recent, hours = series.recent, series.hours
    begin = recent.times[0] if recent.times else float("inf")
    rows = [
        row
        for row in zip(hours.times, hours.mean, hours.floor, strict=True)
        if row[0] + hours.seconds / 2 <= begin
    ]
    return [*rows, *zip(recent.times, recent.mean, recent.floor, strict=True)][::-1]
