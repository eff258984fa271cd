"""What the overview shows: leaks, what is down, services and targets, filtered and in portions. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request

from leakwatch.errors import NotFoundError
from leakwatch.model import Verdict
from leakwatch.web.api.leaks import leak_list
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models import targets as target_models
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.services import service_list
from leakwatch.web.api.state import AppState
from leakwatch.web.api.targets import target_list

LEAKS, SERVICES, TARGETS, FALLS = 50, 50, 50, 10
"""Rows at once."""
FEW = 20  # targets that are shown though nobody asked for those of one service
LONGEST = 1000
"""Letters of a text to look for."""
VERDICTS = tuple(verdict.word for verdict in sorted(Verdict, reverse=True) if verdict is not Verdict.NORMAL)
PAGE = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class OverviewQuery:
    """What somebody wants to see: filters, "" for all, and which portion of each table, from 1 on."""

    q: str = ""
    service: str = ""
    owner: str = ""
    verdict: str = ""
    state: str = ""
    leaks: int = 1
    services: int = 1
    targets: int = 1

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Return what a query asks for; what makes no sense in it counts as not said."""
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
        return bool(self.service or self.state or self.narrow)

    @property
    def narrow(self) -> bool:
        """Whether leaks of a service may be hidden by what is wanted."""
        return bool(self.q or self.owner or self.verdict)

    def link(self, **changes: str | int) -> str:
        """Return the query that asks for the same, but for `changes`."""
        other = replace(self, **changes)  # type: ignore[arg-type]  # mypy takes all for numbers
        said = {name: getattr(other, name) for name in self.__slots__}
        said = {name: value for name, value in said.items() if value and value != 1}
        return f"?{urlencode(said, errors='replace')}"


def page_number(text: str) -> int:
    """Return the number of a portion, 1 where a query says nothing that makes sense."""
    return max(int(text), 1) if PAGE.fullmatch(text) else 1


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows `first` to `last` of `total`, counted from 1; `name` is what their query calls them."""

    name: str
    page: int
    size: int
    total: int

    @property
    def offset(self) -> int:
        """How many rows stand before."""
        return (self.page - 1) * self.size

    @property
    def first(self) -> int:
        """The first row."""
        return min(self.offset + 1, self.total)

    @property
    def last(self) -> int:
        """The last row."""
        return min(self.offset + self.size, self.total)

    @property
    def pages(self) -> int:
        """How many portions there are."""
        return max(-(-self.total // self.size), 1)


def overview(source: AppState, request: Request) -> Mapping[str, object]:
    """Return what the overview shows; raises NotFoundError for a service that nobody knows."""
    wanted = OverviewQuery.read(request.query_params)
    here = whole(request.path_params.get("service", ""))
    if here:
        wanted = replace(wanted, service=here)
    every = service_list(source)
    leaks, leaks_at = _leaks(source, wanted)
    names = {one.service for one in every.services} | set(leaks.services)
    if here and here not in names:
        raise NotFoundError(f"There is no service {here[:LONGEST]!r}.")
    counted = [one for one in every.services if wanted.service in {"", one.service}]
    services, services_at = _services(every, wanted)
    targets, targets_at = _targets(source, wanted)
    wide = bool(wanted.service or wanted.state or (wanted.q and targets.total) or targets.known <= FEW)
    return {
        "active": "" if here else "overview",
        "here": here,
        "wanted": wanted,
        "names": sorted(names),
        "words": VERDICTS,
        "counted": counted,
        "tally": _tally(counted),
        "all_down": bool(counted) and all(one.down == one.targets for one in counted),
        "answered": any(one.judged_in_seconds is not None for one in counted),
        "waiting": every.waiting,
        "leaks": leaks,
        "leaks_at": leaks_at,
        "down": target_list(source, service=wanted.service, states=("down",), limit=FALLS),
        "services": services,
        "services_known": len(every.services),
        "services_at": services_at,
        "targets": targets if wide else None,
        "targets_at": targets_at,
    }


def _tally(services: Sequence[target_models.ServiceSummary]) -> dict[str, int]:
    """Return how many leaks there are of each verdict, the worst first."""
    sums = {word: sum(one.leaks.get(word, 0) for one in services) for word in VERDICTS}  # type: ignore[call-overload]  # the keys are those words
    return {word: count for word, count in sums.items() if count}


def _leaks(source: AppState, wanted: OverviewQuery) -> tuple[models.LeakList, Portion]:
    def look(at: Portion) -> models.LeakList:
        return leak_list(
            source,
            service=whole(wanted.service),
            owner=wanted.owner,
            verdicts=(wanted.verdict,) if wanted.verdict else (),
            q=wanted.q,
            limit=LEAKS,
            offset=at.offset,
        )

    found = look(at := Portion("leaks", wanted.leaks, LEAKS, 0))
    at = replace(at, total=found.total)
    return (found, at) if at.page <= at.pages else (look(at := replace(at, page=at.pages)), at)


def _services(
    every: target_models.ServiceList, wanted: OverviewQuery
) -> tuple[list[target_models.ServiceSummary], Portion]:
    words = wanted.q.casefold()
    found = [
        one
        for one in every.services
        if (not wanted.service or one.service == wanted.service) and words in one.service.casefold()
    ]
    at = Portion("services", wanted.services, SERVICES, len(found))
    at = replace(at, page=min(at.page, at.pages))
    return found[at.offset : at.offset + SERVICES], at


def _targets(source: AppState, wanted: OverviewQuery) -> tuple[target_models.TargetList, Portion]:
    def look(at: Portion) -> target_models.TargetList:
        states = (wanted.state,) if wanted.state else ()
        return target_list(
            source, service=wanted.service, states=states, q=wanted.q, limit=TARGETS, offset=at.offset
        )

    found = look(at := Portion("targets", wanted.targets, TARGETS, 0))
    at = replace(at, total=found.total)
    return (found, at) if at.page <= at.pages else (look(at := replace(at, page=at.pages)), at)
