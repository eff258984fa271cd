"""Path and query parameters of the endpoints, and their errors in OpenAPI."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.exceptions import RequestValidationError

from leakwatch.web.path_params import register

register()


async def refuse_unknown(request: Request) -> None:
    """Raise RequestValidationError if the query has a parameter that the endpoint does not have.

    A misspelt filter would otherwise select everything.
    """
    names = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    valid_names = f"valid are {', '.join(sorted(names))}" if names else "there are none"
    message = f"this path has no such parameter, {valid_names}"
    errors = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": message}
        for name in request.query_params
        if name not in names
    ]
    if errors:
        raise RequestValidationError(errors)


Service = Annotated[str, Path(description="Name of a service, quoted: `shop`, or `default%2Fshop`.", min_length=1)]
Name = Annotated[str, Path(description="Name of a target, quoted: `10.0.0.1%3A6060`.", min_length=1)]
Stack = Annotated[str, Path(description="Fingerprint of a stack or site.", pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=0, le=1000, description="Maximum number of entries.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Number of entries to skip.")]
SearchText = Annotated[
    str, Query(max_length=1000, description="Text that an entry contains; case does not matter. Empty: all.")
]
ExactName = Annotated[str, Query(max_length=10_000, description="A complete name. Empty: all.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of an endpoint for OpenAPI; `publish` adds their schema."""
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}
