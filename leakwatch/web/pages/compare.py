"""What the page of a target shows of the difference between two moments of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from leakwatch.errors import NotFoundError
from leakwatch.web.api.diff import Difference, difference
from leakwatch.web.api.evidence import KeptProfile
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.snapshots import NOW
from leakwatch.web.api.state import AppState
from leakwatch.web.api.targets import find
from leakwatch.web.pages.leak import kept_of

ROWS = 50
CHOICES = 100
"""Bodies to choose from: the latest, with the first and what is chosen."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What can be chosen, the oldest first, and what is: `now` stands for the profile that was scraped last.

    `problem`: why there is no difference between the two that were asked for.
    """

    kept: Sequence[KeptProfile]
    now: bool
    old: str
    new: str
    difference: Difference | None = None
    problem: str = ""

    def __bool__(self) -> bool:
        return (bool(self.kept) and len(self.kept) + self.now > 1) or bool(self.problem)


async def target_difference(source: AppState, request: Request) -> Mapping[str, object]:
    """Return what the template shows of the two moments that a query names; raises NotFoundError."""
    target, _ = find(source, f"{request.path_params['service']}/{request.path_params['target']}")
    kept = kept_of(source, whole(target.service), target=whole(target.name))[::-1]
    state = source.pipeline.targets.get(target)
    now = state is not None and state.history.time is not None
    ids = [one.id for one in kept]
    old, new = (request.query_params.get(name, "") for name in ("old", "new"))
    kept = _few(kept, {old, new})
    if not old and not new:
        last = NOW if now else next(iter(ids[::-1]), "")
        return {"compared": Choice(kept, now, next(iter(ids), ""), last)}
    if old not in ids or new not in [*ids, NOW]:
        problem = "One of the two profiles is not kept, or no longer. Choose among those that are."
        return {"compared": Choice(kept, now, old, new, problem=problem)}
    try:
        found = await difference(source, old, new, limit=ROWS)
    except NotFoundError as error:
        return {"compared": Choice(kept, now, old, new, problem=f"There is no difference to show: {error}.")}
    return {"compared": Choice(kept, now, old, new, found)}


def _few(kept: Sequence[KeptProfile], wanted: set[str]) -> list[KeptProfile]:
    """Return what is offered of many."""
    late = len(kept) - CHOICES
    return [one for i, one in enumerate(kept) if not i or i >= late or one.id in wanted]
