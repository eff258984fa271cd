"""What the endpoints have in common: names in paths, parameters, what OpenAPI says of errors."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError

from leakwatch.web.api.state import AppState
from leakwatch.web.path_params import register

register()


async def _source(request: Request) -> AppState:
    source: AppState = request.app.state.source
    return source


async def refuse_unknown(request: Request) -> None:
    """Refuse a query with a parameter that its path does not have; raises RequestValidationError.

    One that is misspelt would filter nothing, and its answer look like that of a filter.
    """
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    there = f"it has {', '.join(sorted(known))}" if known else "it has none"
    message = f"this path has no such parameter, {there}"
    wrong = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": message}
        for name in request.query_params
        if name not in known
    ]
    if wrong:
        raise RequestValidationError(wrong)


Known = Annotated[AppState, Depends(_source)]
Service = Annotated[str, Path(description="Name of a service, quoted: `shop`, or `default%2Fshop`.", min_length=1)]
Name = Annotated[str, Path(description="Name of a target, quoted: `10.0.0.1%3A6060`.", min_length=1)]
Stack = Annotated[str, Path(description="Fingerprint of a stack or site.", pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=0, le=1000)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Words = Annotated[str, Query(max_length=1000, description="Text to look for, in any case; empty for all.")]
OneOf = Annotated[str, Query(max_length=10_000, description="A whole name; empty for all.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of errors; what they look like is said once, of all."""
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}
