"""Endpoints of the evidence."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from leakwatch.errors import UnknownError
from leakwatch.evidence.record import Kind
from leakwatch.evidence.store import Store
from leakwatch.web.api.asked import Known, OneOf, problems
from leakwatch.web.api.profiles import KeptProfiles, converted, download, listed
from leakwatch.web.api.responses import answer
from leakwatch.web.api.source import Source

router = APIRouter(tags=["profiles"], responses=problems(422))

Stack = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")]


@router.get("/profiles", response_model=KeptProfiles)
async def profiles(
    source: Known, service: OneOf = "", target: OneOf = "", stack: Stack = None, kind: Kind | None = None
) -> Response:
    """List the bodies that are kept as evidence, the newest first."""
    if source.evidence is None:
        return answer(KeptProfiles(profiles=[]))
    return answer(listed(source.evidence, service or None, target or None, stack, kind))


@router.get("/profiles/{key}", response_class=Response, responses=problems(404))
async def profile(source: Known, key: str, format: Literal["kept", "pprof"] = "kept") -> Response:  # noqa: A002  it is its name in the URL
    """Download a body as it is kept, or converted for `go tool pprof`."""
    store = _store(source)
    return await (converted if format == "pprof" else download)(store, key)


def _store(source: Source) -> Store:
    if source.evidence is None:
        raise UnknownError("no evidence is kept here")
    return source.evidence
