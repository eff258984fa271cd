"""Services: the list, and one service with its leaks. Pure: state in, models out."""

from collections import Counter
from collections.abc import Mapping

from leakwatch.errors import NotFoundError
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth
from leakwatch.settings.units import format_duration
from leakwatch.web.api.aggregate import sparkline, totals
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import summaries
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.targets import judged_in

LEAKS = 100  # of one service; the list of leaks has the rest


def service_list(view: FleetView, not_ready: str) -> models.ServiceList:
    """Return all services with a target: leaking ones first, then by name.

    `not_ready`: the reason why leakwatch is not ready, "" if it is ready.
    """
    leaks: dict[str, list[Leak]] = {}
    for leak in view.leaks:
        leaks.setdefault(leak.service, []).append(leak)
    verdicts = {name: max(leak.verdict for leak in leaks[name]) for name in leaks}
    groups = _by_service(view)
    names = sorted(groups, key=lambda name: (-verdicts.get(name, 0), valid_text(name)))
    services = [models.ServiceSummary(**_summary(view, name, groups[name], leaks.get(name, []))) for name in names]
    return models.ServiceList(now=view.wall(view.now), waiting=waiting(view, not_ready), services=services)


def service_view(view: FleetView, service: str) -> models.Service:
    """Return all details of a service; raise NotFoundError."""
    groups = _by_service(view)
    name = next((name for name in groups if valid_text(name) == service), None)
    if name is None:
        raise NotFoundError(f"there is no service {service!r}")
    leaks = [leak for leak in view.leaks if leak.service == name]
    states = view.states(name)
    (line,), start = sparkline(states, totals(states), [sum(state.history.last.sum() for state in states)])
    return models.Service(
        **_summary(view, name, groups[name], leaks),
        now=view.wall(view.now),
        open_leaks=summaries(view, leaks[:LEAKS]),
        sparkline=line,
        sparkline_from=None if start is None else view.wall(start),
    )


def waiting(view: FleetView, not_ready: str) -> str:
    """Return the reason why no verdict is possible yet, and until when; "" if one is possible somewhere."""
    if not view.health:
        return not_ready or "There are no targets."
    times = [judged_in(view.pipeline.targets.get(target)) for target in view.health]
    seconds = min((time for time in times if time is not None), default=None)
    if seconds is None:
        return "No target has been scraped yet."
    return f"Collecting data: first verdict in {format_duration(seconds)}." if seconds else ""


def _by_service(view: FleetView) -> dict[str, dict[Target, TargetHealth]]:
    groups: dict[str, dict[Target, TargetHealth]] = {}
    for target, health in view.health.items():
        groups.setdefault(target.service, {})[target] = health
    return groups


def _summary(
    view: FleetView, name: str, health: Mapping[Target, TargetHealth], leaks: list[Leak]
) -> dict[str, object]:
    states = [state for target in health if (state := view.pipeline.targets.get(target))]
    times = [seconds for state in states if (seconds := judged_in(state)) is not None]
    scraped = max((target_health.time for target_health in health.values()), default=0.0)
    return {
        "service": name,
        "targets": len(health),
        "up": sum(target_health.up is True for target_health in health.values()),
        "down": sum(target_health.up is False for target_health in health.values()),
        "goroutines": sum(state.total for state in states),
        "restarts": sum(state.restarts for state in states),
        "leaks": Counter(leak.verdict.word for leak in leaks),
        "scraped_at": view.wall(scraped) if scraped else None,
        "judged_in_seconds": max(times, default=None),
    }
