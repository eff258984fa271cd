"""Services: the list, and all of one. Pure: state in, models out."""

from collections import Counter
from collections.abc import Mapping

from leakwatch.errors import NotFoundError
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth
from leakwatch.settings.units import format_duration
from leakwatch.web.api.aggregate import sparkline, totals
from leakwatch.web.api.leaks import summaries
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState
from leakwatch.web.api.targets import judged_in

LEAKS = 100  # of one service; beyond, there is the list of leaks


def service_list(source: AppState) -> models.ServiceList:
    """Return all services that have a target: those that leak first, then by name."""
    leaks: dict[str, list[Leak]] = {}
    for leak in source.leaks():
        leaks.setdefault(leak.service, []).append(leak)
    groups = _by_service(source)
    found = [models.ServiceSummary(**_summary(source, name, groups[name], leaks.get(name, []))) for name in groups]
    urgent = {name: max(leak.verdict for leak in those) for name, those in leaks.items()}
    found.sort(key=lambda one: (-urgent.get(one.service, 0), one.service))
    return models.ServiceList(now=source.wall(source.now()), waiting=waiting(source), services=found)


def service_view(source: AppState, service: str) -> models.Service:
    """Return all of one service; raises NotFoundError."""
    groups = _by_service(source)
    name = next((name for name in groups if whole(name) == service), None)
    if name is None:
        raise NotFoundError(f"there is no service {service!r}")
    leaks = [leak for leak in source.leaks() if leak.service == name]
    found = source.pipeline.service(name)
    states = list(found.targets.values()) if found else []
    (line,), start = sparkline(states, totals(states), [sum(state.history.last.sum() for state in states)])
    return models.Service(
        **_summary(source, name, groups[name], leaks),
        now=source.wall(source.now()),
        open_leaks=summaries(source, leaks[:LEAKS], leaks),
        sparkline=line,
        sparkline_from=None if start is None else source.wall(start),
    )


def waiting(source: AppState) -> str:
    """Return what nothing can be known before, and until when; "" when a verdict is possible somewhere."""
    health = source.health()
    if not health:
        return source.ready() or "There is no target."
    times = [left for target in health if (left := judged_in(source.pipeline.targets.get(target))) is not None]
    if not times:
        return "No target has been scraped yet."
    return "" if min(times) == 0 else f"The first verdict is possible in {format_duration(min(times))}."


def _by_service(source: AppState) -> dict[str, dict[Target, TargetHealth]]:
    groups: dict[str, dict[Target, TargetHealth]] = {}
    for target, state in source.health().items():
        groups.setdefault(target.service, {})[target] = state
    return groups


def _summary(
    source: AppState, name: str, health: Mapping[Target, TargetHealth], leaks: list[Leak]
) -> dict[str, object]:
    states = [state for target in health if (state := source.pipeline.targets.get(target))]
    left = [seconds for state in states if (seconds := judged_in(state)) is not None]
    scraped = max((target_health.time for target_health in health.values()), default=0.0)
    return {
        "service": name,
        "targets": len(health),
        "up": sum(target_health.up is True for target_health in health.values()),
        "down": sum(target_health.up is False for target_health in health.values()),
        "goroutines": sum(state.total for state in states),
        "restarts": sum(state.restarts for state in states),
        "leaks": Counter(leak.verdict.word for leak in leaks),
        "scraped_at": source.wall(scraped) if scraped else None,
        "judged_in_seconds": max(left, default=None),
    }
