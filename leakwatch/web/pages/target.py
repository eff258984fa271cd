"""What the page of a target shows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args
from urllib.parse import urlencode

from starlette.requests import Request

from leakwatch.web.api.models import targets as models
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState
from leakwatch.web.api.targets import target_view
from leakwatch.web.pages.leak import kept_of
from leakwatch.web.pages.overview import Portion, page_number

ROWS = 50
LONGEST = 1000
"""Letters of a text to look for."""
ID = 16
"""Letters of the id of a kept profile."""
SORTS: tuple[models.Sort, ...] = get_args(models.Sort)


@dataclass(frozen=True, slots=True)
class TargetQuery:
    """Which stacks to show: those with a text in them, sorted, and which portion of them.

    `old`, `new`: the two moments to compare, which stay when other stacks are asked for.
    """

    q: str = ""
    sort: models.Sort = "growth"
    stacks: int = 1
    old: str = ""
    new: str = ""

    def link(self, **changes: str | int) -> str:
        """Return the query that asks for the same, but for `changes`."""
        other = replace(self, **changes)  # type: ignore[arg-type]  # mypy takes all for one type
        asked = {name: getattr(other, name) for name in self.__slots__}
        said = {name: value for name, value in asked.items() if value != getattr(PLAIN, name)}
        return f"?{urlencode(said, errors='replace')}"


PLAIN = TargetQuery()


def wanted(request: Request) -> TargetQuery:
    """Return what a query asks for; what makes no sense in it counts as not said."""
    query = request.query_params
    sort: models.Sort = next((sort for sort in SORTS if sort == query.get("sort")), "growth")
    old, new = (query.get(name, "")[:ID] for name in ("old", "new"))
    return TargetQuery(query.get("q", "").strip()[:LONGEST], sort, page_number(query.get("stacks", "")), old, new)


def target_page(source: AppState, request: Request) -> Mapping[str, object]:
    """Return what the template shows of the target that an address names; raises NotFoundError."""
    asked = wanted(request)
    path = f"{request.path_params['service']}/{request.path_params['target']}"
    target = target_view(source, path, sort=asked.sort, q=asked.q, limit=ROWS, offset=(asked.stacks - 1) * ROWS)
    at = Portion("stacks", asked.stacks, ROWS, target.stacks_found)
    told = {
        leak.stack.fingerprint: leak.verdict.word
        for leak in source.leaks()
        if whole(leak.service) == target.service
    }
    kept = kept_of(source, target.service, target=target.target)
    return {"target": target, "wanted": asked, "stacks_at": at, "sorts": SORTS, "told": told, "kept": kept}
