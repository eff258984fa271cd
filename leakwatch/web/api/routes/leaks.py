"""Endpoints of leaks and services."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.web.api.dependencies import Alerts, Own, View
from leakwatch.web.api.leak_detail import leak_view
from leakwatch.web.api.leaks import find, leak_list
from leakwatch.web.api.models import leaks as models
from leakwatch.web.api.models import targets as target_models
from leakwatch.web.api.models.leaks import VerdictWord
from leakwatch.web.api.params import ExactName, Limit, Offset, SearchText, Service, Stack, problems
from leakwatch.web.api.responses import answer
from leakwatch.web.api.series import TARGETS, leak_series
from leakwatch.web.api.services import service_list, service_view

router = APIRouter(tags=["leaks"], responses=problems(422))

LEAK = "/leaks/{service:name}/{stack:fingerprint}"


@router.get("/leaks", response_model=models.LeakList)
async def leaks(
    view: View,
    service: ExactName = "",
    owner: ExactName = "",
    verdict: Annotated[tuple[VerdictWord, ...], Query()] = (),
    q: SearchText = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List leaks, most urgent first."""
    return answer(leak_list(view, service=service, owner=owner, verdicts=verdict, q=q, limit=limit, offset=offset))


@router.get(f"{LEAK}/series", response_model=models.LeakSeries, responses=problems(404))
async def leak_over_time(
    view: View, service: Service, stack: Stack, targets: Annotated[int, Query(ge=0, le=100)] = TARGETS
) -> Response:
    """Return a leak over time: the sum of all targets, and the targets with the fastest growth."""
    return answer(leak_series(view, find(view, service, stack), targets))


@router.get(LEAK, response_model=models.Leak, responses=problems(404))
async def leak(view: View, alerts: Alerts, service: Service, stack: Stack) -> Response:
    """Return all details of a leak."""
    return answer(leak_view(view, alerts, find(view, service, stack)))


@router.get("/services", response_model=target_models.ServiceList)
async def services(view: View, own: Own) -> Response:
    """List services, leaking ones first."""
    return answer(service_list(view, own.ready()))


@router.get("/services/{service:name}", response_model=target_models.Service, responses=problems(404))
async def one_service(view: View, service: Service) -> Response:
    """Return all details of a service."""
    return answer(service_view(view, service))
