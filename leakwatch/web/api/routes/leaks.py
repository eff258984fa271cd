"""Endpoints of leaks and services."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.web.api.leak_detail import leak_view
from leakwatch.web.api.leaks import leak_list
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models import targets as target_models
from leakwatch.web.api.models.leaks import VerdictWord
from leakwatch.web.api.params import Known, Limit, Offset, OneOf, Service, Stack, Words, problems
from leakwatch.web.api.responses import answer
from leakwatch.web.api.series import TARGETS, leak_series
from leakwatch.web.api.services import service_list, service_view

router = APIRouter(tags=["leaks"], responses=problems(422))

LEAK = "/leaks/{service:anything}/{stack:hash}"


@router.get("/leaks", response_model=models.LeakList)
async def leaks(
    source: Known,
    service: OneOf = "",
    owner: OneOf = "",
    verdict: Annotated[tuple[VerdictWord, ...], Query()] = (),
    q: Words = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List the leaks, the most urgent first."""
    return answer(
        leak_list(source, service=service, owner=owner, verdicts=verdict, q=q, limit=limit, offset=offset)
    )


@router.get(f"{LEAK}/series", response_model=models.LeakSeries, responses=problems(404))
async def leak_over_time(
    source: Known, service: Service, stack: Stack, targets: Annotated[int, Query(ge=0, le=100)] = TARGETS
) -> Response:
    """Tell a leak over time: all targets together, and those that grow fastest one by one."""
    return answer(leak_series(source, service, stack, targets))


@router.get(LEAK, response_model=models.Leak, responses=problems(404))
async def leak(source: Known, service: Service, stack: Stack) -> Response:
    """Tell all of a leak."""
    return answer(leak_view(source, service, stack))


@router.get("/services", response_model=target_models.ServiceList)
async def services(source: Known) -> Response:
    """List the services, those that leak first."""
    return answer(service_list(source))


@router.get("/services/{service:anything}", response_model=target_models.Service, responses=problems(404))
async def one_service(source: Known, service: Service) -> Response:
    """Tell all of a service."""
    return answer(service_view(source, service))
