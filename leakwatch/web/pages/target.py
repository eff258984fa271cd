"""The page of a target. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, get_args
from urllib.parse import urlencode

from leakwatch.evidence.store import Store
from leakwatch.model import Fingerprint, Frame, Target
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.series import lines
from leakwatch.web.api.targets import target_view
from leakwatch.web.pages.evidence import offered_profiles
from leakwatch.web.pages.pagination import LONGEST, Pagination, page_number

ROWS = 50
ID = 16
"""Characters of the id of a stored profile."""
SORTS: tuple[models.Sort, ...] = get_args(models.Sort)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetQuery:
    """Search text, order and page of the stacks.

    `old`, `new`: the selected snapshots, which links to other stacks preserve.
    """

    q: str = ""
    sort: models.Sort = "growth"
    stacks: int = 1
    old: str = ""
    new: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """Return the parameters of a query; invalid values are ignored."""
        sort: models.Sort = next((sort for sort in SORTS if sort == query.get("sort")), "growth")
        old, new = (query.get(name, "")[:ID] for name in ("old", "new"))
        text, page = query.get("q", "").strip()[:LONGEST], page_number(query.get("stacks", ""))
        return cls(q=text, sort=sort, stacks=page, old=old, new=new)

    def link(self, **changes: str | int) -> str:
        """Return the same query with `changes`, as a relative link."""
        query = replace(self, **changes)  # type: ignore[arg-type]  # mypy expects one type for all of them
        values = {name: getattr(query, name) for name in self.__slots__}
        parameters = {name: value for name, value in values.items() if value != getattr(DEFAULT, name)}
        return f"?{urlencode(parameters, errors='replace')}"


DEFAULT = TargetQuery()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedStack:
    """The frames of a stack, leaf first, and its levels over time; `start`: time of the first level."""

    frames: Sequence[Frame]
    levels: Sequence[float | None]
    start: float | None


def opened(view: FleetView, target: models.Target) -> Mapping[str, OpenedStack]:
    """Return the details of each stack that the page shows, by fingerprint."""
    state = view.pipeline.targets.get(Target(target.service, target.target))
    stacks = {}
    for row in target.stacks_shown:
        series = state.series(Fingerprint(row.stack)) if state else None
        stack = series.history.stacks[series.row] if series else None
        if series and stack:
            recent, _ = lines(view, series)
            start = recent.times[0] if recent.times else None
            stacks[row.stack] = OpenedStack(frames=stack.frames, levels=recent.mean, start=start)
    return stacks


def target_page(
    view: FleetView, evidence: Store, path: str, parameters: Mapping[str, str]
) -> Mapping[str, object]:
    """Return the values of the template for the target at `path`, service/name; raise NotFoundError."""
    query = TargetQuery.read(parameters)
    target = target_view(view, path, sort=query.sort, q=query.q, limit=ROWS, offset=(query.stacks - 1) * ROWS)
    return {
        "target": target,
        "query": query,
        "stack_pages": Pagination(name="stacks", page=query.stacks, size=ROWS, total=target.stacks_found),
        "sorts": SORTS,
        "opened": opened(view, target),
        "verdicts": {
            leak.stack.fingerprint: leak.verdict.word
            for leak in view.leaks
            if valid_text(leak.service) == target.service
        },
        "profiles": offered_profiles(view, evidence, target.service, target=target.target),
    }
