"""Endpoints of targets."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.web.api.dependencies import View
from leakwatch.web.api.flame_graph import call_tree
from leakwatch.web.api.models import targets as models
from leakwatch.web.api.params import ExactName, Limit, Name, Offset, SearchText, Service, problems
from leakwatch.web.api.responses import answer
from leakwatch.web.api.series import target_series
from leakwatch.web.api.targets import State, target_list, target_view

router = APIRouter(tags=["targets"], responses=problems(422))

TARGET = "/targets/{service:name}/{target:name}"


@router.get("/targets", response_model=models.TargetList)
async def targets(
    view: View,
    service: ExactName = "",
    state: Annotated[tuple[State, ...], Query()] = (),
    q: SearchText = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List targets, those that are down first."""
    return answer(target_list(view, service=service, states=state, q=q, limit=limit, offset=offset))


@router.get(f"{TARGET}/flame", response_model=models.FlameGraph, responses=problems(404))
async def flame(view: View, service: Service, target: Name) -> Response:
    """Return the latest profile of a target as a tree of calls."""
    tree = call_tree(view, f"{service}/{target}")
    # In a thread: the JSON of a large tree would delay scrapes.
    return await asyncio.to_thread(lambda: answer(tree.model()))


@router.get(f"{TARGET}/series", response_model=models.StackSeries, responses=problems(404))
async def stack_over_time(
    view: View, service: Service, target: Name, stack: Annotated[str, Query(pattern="^[0-9a-f]{16}$")]
) -> Response:
    """Return a stack or site of a target over time."""
    return answer(target_series(view, f"{service}/{target}", stack))


@router.get(TARGET, response_model=models.Target, responses=problems(404))
async def one_target(
    view: View,
    service: Service,
    target: Name,
    sort: models.Sort = "growth",
    q: SearchText = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """Return all details of a target, with one page of its stacks."""
    return answer(target_view(view, f"{service}/{target}", sort=sort, q=q, limit=limit, offset=offset))
