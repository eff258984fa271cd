"""Endpoints of the evidence, and of what changed since."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.errors import NotFoundError
from leakwatch.evidence.record import Kind
from leakwatch.evidence.store import Store
from leakwatch.profile.grouping import GroupBy
from leakwatch.web.api.diff import Difference, difference
from leakwatch.web.api.evidence import KeptProfiles, converted, download, listed
from leakwatch.web.api.params import Known, Limit, Offset, OneOf, problems
from leakwatch.web.api.responses import answer
from leakwatch.web.api.state import AppState

router = APIRouter(tags=["profiles"], responses=problems(422))

Id = Annotated[str, Query(pattern="^[0-9a-f]{16}$", description="Of a body that is kept.")]
IdOrNow = Annotated[str, Query(pattern="^([0-9a-f]{16}|now)$", description="Of a body that is kept, or `now`.")]
Stack = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")]


@router.get("/profiles", response_model=KeptProfiles)
async def profiles(
    source: Known, service: OneOf = "", target: OneOf = "", stack: Stack = None, kind: Kind | None = None
) -> Response:
    """List the bodies that are kept as evidence, the newest first."""
    if source.evidence is None:
        return answer(KeptProfiles(profiles=[]))
    return answer(listed(source.evidence, service or None, target or None, stack, kind))


@router.get("/profiles/{key}", response_class=Response, responses=problems(404))
async def profile(source: Known, key: str, format: Literal["kept", "pprof"] = "kept") -> Response:  # noqa: A002  it is its name in the URL
    """Download a body as it is kept, or converted for `go tool pprof`."""
    store = _store(source)
    return await (converted if format == "pprof" else download)(store, key)


@router.get("/diff", response_model=Difference, responses=problems(404))
async def diff(
    source: Known, old: Id, new: IdOrNow, by: GroupBy = GroupBy.STACK, limit: Limit = 100, offset: Offset = 0
) -> Response:
    """Tell what changed between two bodies that are kept, or from one to what was scraped last of its target."""
    return answer(await difference(source, old, new, by, limit=limit, offset=offset))


def _store(source: AppState) -> Store:
    if source.evidence is None:
        raise NotFoundError("no evidence is kept here")
    return source.evidence
