"""The evidence over HTTP: which bodies are kept, and each of them as it is kept or for `go tool pprof`."""

import asyncio
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leakwatch.errors import EvidenceError, ScrapeError
from leakwatch.evidence.disk import stem
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, Kept, Kind, Record
from leakwatch.evidence.store import Body, Store
from leakwatch.profile import pprof, saved, symbol, text

PROBLEM = "application/problem+json"
GZIP, PPROF = "application/gzip", "application/octet-stream"
STRANGE = re.compile(r"[^\w.-]+", re.ASCII)

Stack = Annotated[str, Query(pattern="^[0-9a-f]{16}$")]


class KeptProfile(BaseModel):
    """A body that is kept: `kinds` say why, `stacks` are the leaks that it is evidence for.

    `time` in unix seconds; `bytes` as it is kept, gzipped; `goroutines` in it.
    """

    id: str
    service: str
    target: str
    kinds: tuple[Kind, ...]
    time: float
    stacks: tuple[str, ...]
    format: Kept
    bytes: int
    goroutines: int
    start: str
    build: str


class KeptProfiles(BaseModel):
    """The bodies that are kept, the newest first."""

    profiles: list[KeptProfile]


class Problem(BaseModel):
    """What went wrong, as RFC 9457 says it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def listed(
    store: Store,
    service: str | None = None,
    target: str | None = None,
    stack: str | None = None,
    kind: Kind | None = None,
) -> KeptProfiles:
    """Return the bodies of this service, target and stack that are kept for this reason; None: of any."""
    found = [
        _shown(body)
        for body in store.bodies
        if service in {None, body.record.service} and target in {None, body.record.target}
    ]
    return KeptProfiles(
        profiles=[
            one for one in found if (stack is None or stack in one.stacks) and (kind is None or kind in one.kinds)
        ]
    )


async def download(store: Store, key: str) -> Response:
    """Return a body as it is kept; a problem if there is none of this id, or it cannot be read."""
    try:
        record, parts = await store.read(key)
    except (KeyError, EvidenceError) as error:
        return _problem(key, error)
    suffix = SUFFIXES[record.format]
    return _file(parts[suffix], _name(record, suffix), PPROF if record.format == "proto" else GZIP)


async def converted(store: Store, key: str) -> Response:
    """Return a body as gzipped protobuf for `go tool pprof`, with names; a problem as for `download`."""
    try:
        record, parts = await store.read(key)
        body = await asyncio.to_thread(_pprof, record, parts)
    except (KeyError, EvidenceError, ScrapeError) as error:
        return _problem(key, error)
    return _file(body, _name(record, ".pb.gz"), PPROF)


def make_router(store: Store) -> APIRouter:
    """Return the routes `/profiles`, to be mounted under `/api/v1`."""
    router = APIRouter()
    problems: dict[int | str, dict[str, Any]] = {
        404: {"model": Problem, "description": "There is no such body, or it cannot be read."}
    }

    @router.get("/profiles")
    async def profiles(
        service: str | None = None,
        target: str | None = None,
        stack: Stack | None = None,
        kind: Kind | None = None,
    ) -> KeptProfiles:
        """List the bodies that are kept as evidence, the newest first."""
        return listed(store, service, target, stack, kind)

    @router.get("/profiles/{key}", response_class=Response, responses=problems)
    async def profile(key: str, format: Literal["kept", "pprof"] = "kept") -> Response:  # noqa: A002  it is its name in the URL
        """Download a body as it is kept, or converted for `go tool pprof`."""
        return await (converted if format == "pprof" else download)(store, key)

    return router


@cache
def make_app(store: Store) -> FastAPI:
    """Return what answers below `/api/v1`."""
    app = FastAPI(title="leakwatch", docs_url=None, redoc_url=None)
    app.include_router(make_router(store))

    async def wrong(_: Request, error: Exception) -> Response:
        said = error.errors() if isinstance(error, RequestValidationError) else []
        detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in said)
        return _answer(Problem(title="Parameters cannot be used", status=422, detail=detail))

    app.add_exception_handler(RequestValidationError, wrong)
    return app


def _shown(body: Body) -> KeptProfile:
    record = body.record
    return KeptProfile(
        id=body.key,
        stacks=tuple(leak.stack for leak in record.leaks),
        **record.model_dump(exclude={"leaks"}),
    )


def _pprof(record: Record, parts: Mapping[str, bytes]) -> bytes:
    """Return a body as gzipped protobuf; raises ScrapeError."""
    names = symbol.parse(parts[SYMBOLS]) if SYMBOLS in parts else {}
    return pprof.encode(saved.parse(parts[SUFFIXES[record.format]], text.Memory(symbols=names)))


def _name(record: Record, suffix: str) -> str:
    """Return a file name that any system takes."""
    return STRANGE.sub("_", stem(record).replace("/", "-")) + suffix


def _file(body: bytes, name: str, content_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": content_type}
    return Response(body, headers=headers)


def _problem(key: str, error: Exception) -> Response:
    if isinstance(error, KeyError):
        said = Problem(title="No such profile", status=404, detail=f"no profile {key[:100]!r} is kept")
    else:
        said = Problem(title="Profile cannot be read", status=404, detail=f"profile {key}: {error}")
    return _answer(said)


def _answer(problem: Problem) -> Response:
    return JSONResponse(problem.model_dump(), problem.status, media_type=PROBLEM)
