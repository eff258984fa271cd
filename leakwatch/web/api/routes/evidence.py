"""Endpoints of evidence and differences."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.evidence.record import Kind
from leakwatch.profile.grouping import GroupBy
from leakwatch.web.api.dependencies import Evidence, Snapshots
from leakwatch.web.api.diff import Difference, difference, snapshot_pair
from leakwatch.web.api.evidence import StoredProfiles, download, download_pprof, stored_profiles
from leakwatch.web.api.flame_graph import change_tree
from leakwatch.web.api.models.targets import FlameGraph
from leakwatch.web.api.params import ExactName, Limit, Offset, problems
from leakwatch.web.api.responses import answer

router = APIRouter(tags=["profiles"], responses=problems(422))

Id = Annotated[str, Query(pattern="^[0-9a-f]{16}$", description="Id of a stored profile.")]
IdOrNow = Annotated[str, Query(pattern="^([0-9a-f]{16}|now)$", description="Id of a stored profile, or `now`.")]
Stack = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")]


@router.get("/profiles", response_model=StoredProfiles)
async def profiles(
    evidence: Evidence,
    service: ExactName = "",
    target: ExactName = "",
    stack: Stack = None,
    kind: Kind | None = None,
) -> Response:
    """List the profiles that are stored as evidence, newest first."""
    return answer(stored_profiles(evidence, service or None, target or None, stack, kind))


@router.get("/profiles/{key}", response_class=Response, responses=problems(404))
async def profile(evidence: Evidence, key: str, format: Literal["kept", "pprof"] = "kept") -> Response:  # noqa: A002  its name in the URL
    """Download a profile as it is stored (`kept`), or converted for `go tool pprof`."""
    return await (download_pprof if format == "pprof" else download)(evidence, key)


@router.get("/diff", response_model=Difference, responses=problems(404))
async def diff(
    snapshots: Snapshots,
    old: Id,
    new: IdOrNow,
    by: GroupBy = GroupBy.STACK,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Compare two stored profiles, or a stored profile with the latest scrape of its target."""
    return answer(await difference(snapshots, old, new, by, limit=limit, offset=offset))


@router.get("/diff/flame", response_model=FlameGraph, responses=problems(404))
async def diff_flame(snapshots: Snapshots, old: Id, new: IdOrNow) -> Response:
    """Return the later of two profiles as a flame graph, with the change since the earlier one."""
    before, after = await snapshot_pair(snapshots, old, new)
    tree = change_tree(snapshots.view, before, after)
    return answer(await asyncio.to_thread(tree.model))
