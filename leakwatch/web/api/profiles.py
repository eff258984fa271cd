"""The evidence: which bodies are kept, and each of them as it is kept or for `go tool pprof`."""

import asyncio
import re
from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import Response

from leakwatch.errors import EvidenceError, ScrapeError, UnknownError, quote
from leakwatch.evidence.disk import stem
from leakwatch.evidence.record import SUFFIXES, SYMBOLS, Kept, Kind, Record
from leakwatch.evidence.store import Body, Store
from leakwatch.profile import pprof, saved, symbol, text

GZIP, PPROF = "application/gzip", "application/octet-stream"
STRANGE = re.compile(r"[^\w.-]+", re.ASCII)


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
    """Return a body as it is kept; raises UnknownError if there is none of this id, or it cannot be read."""
    try:
        record, parts = await store.read(key)
    except (KeyError, EvidenceError) as error:
        raise _unknown(key, error) from error
    suffix = SUFFIXES[record.format]
    return _file(parts[suffix], _name(record, suffix), PPROF if record.format == "proto" else GZIP)


async def converted(store: Store, key: str) -> Response:
    """Return a body as gzipped protobuf for `go tool pprof`, with names; raises UnknownError likewise."""
    try:
        record, parts = await store.read(key)
        body = await asyncio.to_thread(_pprof, record, parts)
    except (KeyError, EvidenceError, ScrapeError) as error:
        raise _unknown(key, error) from error
    return _file(body, _name(record, ".pb.gz"), PPROF)


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


def _unknown(key: str, error: Exception) -> UnknownError:
    if isinstance(error, KeyError):
        return UnknownError(f"no profile {quote(key)} is kept")
    return UnknownError(f"profile {quote(key)} cannot be read: {error}")
