"""Errors as RFC 9457 has them: `application/problem+json`, for everything below /api."""

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


class Mistake(BaseModel):
    """One parameter that cannot be used as it is."""

    parameter: Text
    message: Text


class Problem(BaseModel):
    """Why there is no answer: `errors` names what is wrong, `told_as` the leak that tells it now."""

    type: str = "about:blank"
    title: str
    status: int
    detail: Text = ""
    errors: list[Mistake] | None = None
    told_as: Text | None = Field(None, description="id of a leak")


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Return an answer that says what is wrong."""
    said = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more)
    body = said.model_dump_json(exclude_none=True)
    return Response(body, status, {**NO_STORE, **(headers or {})}, PROBLEM)


async def _unknown(_: Request, error: Exception) -> Response:
    told = error.reported_as if isinstance(error, NotFoundError) else ""
    return problem(404, str(error), told_as=told or None)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    if error.status_code == HTTPStatus.NOT_FOUND and not detail:
        detail = f"no such path: {request.scope.get('root_path', '')}/v1/openapi.json lists all"
    return problem(error.status_code, detail, error.headers)


async def _wrong(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    mistakes = [
        Mistake(
            parameter=".".join(map(str, one["loc"][1:])),
            message=f"{one['msg']}, not {quote(str(one['input']))}" if "input" in one else one["msg"],
        )
        for one in error.errors()
    ]
    return problem(422, "; ".join(f"{one.parameter}: {one.message}" for one in mistakes), errors=mistakes)


async def _broken(_: Request, __: Exception) -> Response:
    return problem(500, "leakwatch made a mistake; its log has more")


def say_problems(app: FastAPI) -> None:
    """Make `app` answer its errors as problems."""
    app.add_exception_handler(Exception, _broken)  # and it is raised all the same: see NoTraceback
    app.add_exception_handler(NotFoundError, _unknown)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _wrong)


def publish(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says, with problems as what all errors are."""
    known = schema["components"]["schemas"]
    known["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    known |= known["Problem"].pop("$defs", {})
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own
        known.pop(unused, None)
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"] = content
    return schema


class NoTraceback:
    """Wraps an application: a mistake of ours is logged here, once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        whole = False

        async def watched(message: Message) -> None:
            nonlocal whole
            whole = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            log.exception("an answer of the API broke, by a mistake of ours", path=scope.get("path"))
            if not whole:
                raise  # nobody may take a part for the answer: the server cuts the connection
