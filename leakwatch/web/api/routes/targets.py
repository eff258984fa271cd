"""Endpoints of targets."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.web.api.flame_graph import calls
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.params import Known, Limit, Name, Offset, OneOf, Service, Words, problems
from leakwatch.web.api.responses import answer
from leakwatch.web.api.series import target_series
from leakwatch.web.api.targets import State, target_list, target_view

router = APIRouter(tags=["targets"], responses=problems(422))

TARGET = "/targets/{service:anything}/{target:anything}"


@router.get("/targets", response_model=models.TargetList)
async def targets(
    source: Known,
    service: OneOf = "",
    state: Annotated[tuple[State, ...], Query()] = (),
    q: Words = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List the targets, those that are down first."""
    return answer(target_list(source, service=service, states=state, q=q, limit=limit, offset=offset))


@router.get(f"{TARGET}/flame", response_model=models.FlameGraph, responses=problems(404))
async def flame(source: Known, service: Service, target: Name) -> Response:
    """Tell the latest profile of a target as a tree of calls."""
    found = calls(source, f"{service}/{target}")
    # A large one takes longer to write down than a scrape may wait.
    return await asyncio.to_thread(lambda: answer(found.model()))


@router.get(f"{TARGET}/series", response_model=models.StackSeries, responses=problems(404))
async def stack_over_time(
    source: Known, service: Service, target: Name, stack: Annotated[str, Query(pattern="^[0-9a-f]{16}$")]
) -> Response:
    """Tell one stack of a target over time."""
    return answer(target_series(source, f"{service}/{target}", stack))


@router.get(TARGET, response_model=models.Target, responses=problems(404))
async def one_target(
    source: Known,
    service: Service,
    target: Name,
    sort: models.Sort = "growth",
    q: Words = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """Tell all of a target, with a page of its stacks."""
    return answer(target_view(source, f"{service}/{target}", sort=sort, q=q, limit=limit, offset=offset))
