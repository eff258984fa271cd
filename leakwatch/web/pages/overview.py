"""The overview: leaks, targets that are down, services and targets, filtered and paginated. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode

from leakwatch.errors import NotFoundError
from leakwatch.model import Verdict
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import leak_list
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models import targets as target_models
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.services import service_list
from leakwatch.web.api.targets import target_list
from leakwatch.web.pages.growing import growing_stacks
from leakwatch.web.pages.pagination import LONGEST, Pagination, page_number

LEAKS, SERVICES, TARGETS, DOWN = 50, 50, 50, 10
"""Rows of each table."""
FEW = 20  # targets; a fleet with more shows its targets only under a filter
VERDICTS = tuple(verdict.word for verdict in sorted(Verdict, reverse=True) if verdict is not Verdict.NORMAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewQuery:
    """Filters, "" for all, and the page of each table, counted from 1."""

    q: str = ""
    service: str = ""
    owner: str = ""
    verdict: str = ""
    state: str = ""
    leaks: int = 1
    services: int = 1
    targets: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """Return the parameters of a query; invalid values are ignored."""
        verdict, state = query.get("verdict", ""), query.get("state", "")
        return cls(
            q=query.get("q", "").strip()[:LONGEST],
            service=query.get("service", ""),
            owner=query.get("owner", ""),
            verdict=verdict if verdict in VERDICTS else "",
            state=state if state in {"up", "down"} else "",
            **{name: page_number(query.get(name, "")) for name in ("leaks", "services", "targets")},
        )

    def __bool__(self) -> bool:
        return bool(self.service or self.state or self.filters_leaks)

    @property
    def filters_leaks(self) -> bool:
        """Whether filters may hide leaks of a service."""
        return bool(self.q or self.owner or self.verdict)

    def link(self, **changes: str | int) -> str:
        """Return the same query with `changes`, as a relative link."""
        query = replace(self, **changes)  # type: ignore[arg-type]  # mypy expects numbers for all of them
        parameters = {name: getattr(query, name) for name in self.__slots__}
        parameters = {name: value for name, value in parameters.items() if value and value != 1}
        return f"?{urlencode(parameters, errors='replace')}"


def overview(view: FleetView, not_ready: str, service: str, parameters: Mapping[str, str]) -> Mapping[str, object]:
    """Return the values of the template; raise NotFoundError for an unknown service.

    `service`: restricts the overview to one service; `not_ready`: the reason why leakwatch is not ready, or "".
    """
    query = OverviewQuery.read(parameters)
    here = valid_text(service)
    if here:
        query = replace(query, service=here)
    all_services = service_list(view, not_ready)
    leaks, leak_pages = _leaks(view, query)
    names = {summary.service for summary in all_services.services} | set(leaks.services)
    if here and here not in names:
        raise NotFoundError(f"there is no service {here[:LONGEST]!r}")
    selected = [summary for summary in all_services.services if query.service in {"", summary.service}]
    services, service_pages = _services(all_services, query)
    targets, target_pages = _targets(view, query)
    shows_targets = bool(query.service or query.state or (query.q and targets.total) or targets.known <= FEW)
    return {
        "active": "" if here else "overview",
        "here": here,
        "query": query,
        "names": sorted(names),
        "verdicts": VERDICTS,
        "selected": selected,
        "tally": _tally(selected),
        "all_down": bool(selected) and all(summary.down == summary.targets for summary in selected),
        "scraped": any(summary.judged_in_seconds is not None for summary in selected),
        "waiting": all_services.waiting,
        "growing": growing_stacks(view, query.service),
        "leaks": leaks,
        "leak_pages": leak_pages,
        "down": target_list(view, service=query.service, states=("down",), limit=DOWN),
        "services": services,
        "services_known": len(all_services.services),
        "service_pages": service_pages,
        "targets": targets if shows_targets else None,
        "target_pages": target_pages,
    }


def _tally(services: Sequence[target_models.ServiceSummary]) -> dict[str, int]:
    """Return the number of leaks of each verdict, worst verdict first."""
    sums = {word: sum(summary.leaks.get(word, 0) for summary in services) for word in VERDICTS}  # type: ignore[call-overload]  # the keys are those words
    return {word: count for word, count in sums.items() if count}


def _leaks(view: FleetView, query: OverviewQuery) -> tuple[models.LeakList, Pagination]:
    def read(pages: Pagination) -> models.LeakList:
        return leak_list(
            view,
            service=valid_text(query.service),
            owner=query.owner,
            verdicts=(query.verdict,) if query.verdict else (),
            q=query.q,
            limit=LEAKS,
            offset=pages.offset,
        )

    leaks = read(pages := Pagination(name="leaks", page=query.leaks, size=LEAKS, total=0))
    pages = replace(pages, total=leaks.total)
    if pages.page > pages.pages:
        leaks = read(pages := replace(pages, page=pages.pages))
    return leaks, pages


def _services(
    services: target_models.ServiceList, query: OverviewQuery
) -> tuple[list[target_models.ServiceSummary], Pagination]:
    text = query.q.casefold()
    selected = [
        summary
        for summary in services.services
        if (not query.service or summary.service == query.service) and text in summary.service.casefold()
    ]
    pages = Pagination(name="services", page=query.services, size=SERVICES, total=len(selected))
    pages = replace(pages, page=min(pages.page, pages.pages))
    return selected[pages.offset : pages.offset + SERVICES], pages


def _targets(view: FleetView, query: OverviewQuery) -> tuple[target_models.TargetList, Pagination]:
    def read(pages: Pagination) -> target_models.TargetList:
        states = (query.state,) if query.state else ()
        return target_list(
            view, service=query.service, states=states, q=query.q, limit=TARGETS, offset=pages.offset
        )

    targets = read(pages := Pagination(name="targets", page=query.targets, size=TARGETS, total=0))
    pages = replace(pages, total=targets.total)
    if pages.page > pages.pages:
        targets = read(pages := replace(pages, page=pages.pages))
    return targets, pages
