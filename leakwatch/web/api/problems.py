"""Errors as RFC 9457 describes them: `application/problem+json`, for all paths below /api."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leakwatch.errors import NotFoundError, quote
from leakwatch.web.api.models.types import Text
from leakwatch.web.api.responses import NO_STORE

log = structlog.get_logger()

PROBLEM = "application/problem+json"
INTERNAL_ERROR = "internal error, see leakwatch's log"


class InvalidParameter(BaseModel):
    """A parameter with an invalid value, and the reason."""

    parameter: Text
    message: Text


class Problem(BaseModel):
    """An error. `errors`: the invalid parameters; `told_as`: the leak that represents the requested stack."""

    type: str = "about:blank"
    title: str
    status: int
    detail: Text = ""
    errors: list[InvalidParameter] | None = None
    told_as: Text | None = Field(None, description="id of a leak")


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Return an error response; `more`: other fields of Problem."""
    model = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more)
    body = model.model_dump_json(exclude_none=True)
    return Response(body, status, {**NO_STORE, **(headers or {})}, PROBLEM)


async def _on_unknown_error(_: Request, error: Exception) -> Response:
    leak = error.reported_as if isinstance(error, NotFoundError) else ""
    return problem(404, str(error), told_as=leak or None)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    if error.status_code == HTTPStatus.NOT_FOUND and not detail:
        detail = f"no such path: {request.scope.get('root_path', '')}/v1/openapi.json lists all"
    return problem(error.status_code, detail, error.headers)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    parameters = [
        InvalidParameter(
            parameter=".".join(map(str, details["loc"][1:])),
            message=f"{details['msg']}, not {quote(str(details['input']))}"
            if "input" in details
            else details["msg"],
        )
        for details in error.errors()
    ]
    detail = "; ".join(f"{parameter.parameter}: {parameter.message}" for parameter in parameters)
    return problem(422, detail, errors=parameters)


def _invalid_parameter(details: Mapping[str, Any]) -> InvalidParameter:
    value = f", not {quote(str(details['input']))}" if "input" in details else ""
    name = ".".join(map(str, details["loc"][1:]))
    return InvalidParameter(parameter=name, message=f"{details['msg']}{value}")


async def _on_internal_error(_: Request, __: Exception) -> Response:
    return problem(500, INTERNAL_ERROR)


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer all errors as problems."""
    app.add_exception_handler(Exception, _on_internal_error)  # Starlette raises it again: see InternalErrorLog
    app.add_exception_handler(NotFoundError, _on_unknown_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


def publish(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI schema in which all error responses are problems."""
    schemas = schema["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schemas["Problem"].pop("$defs", {})
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own
        schemas.pop(unused, None)
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"] = content
    return schema


class InternalErrorLog:
    """Wraps an application and logs its internal errors once, with a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        complete = False

        async def watch(message: Message) -> None:
            nonlocal complete
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            log.exception("internal error: an API request failed", path=scope.get("path"))
            if not complete:
                raise  # the server then closes the connection, so that no client takes a part for the whole answer
