"""The evidence: which bodies are kept, and each of them as it is kept or for `go tool pprof`."""

import asyncio
import re

from starlette.responses import Response

from leakwatch.errors import EvidenceError, ScrapeError
from leakwatch.evidence.disk import stem
from leakwatch.evidence.index import StoredBody
from leakwatch.evidence.record import SUFFIXES, BodyFormat, Kind, Record
from leakwatch.evidence.store import Store
from leakwatch.profile import pprof
from leakwatch.web.api.models.types import Model, Text
from leakwatch.web.api.responses import NO_STORE
from leakwatch.web.api.snapshots import parse, unreadable

GZIP, PPROF = "application/gzip", "application/octet-stream"
STRANGE = re.compile(r"[^\w.-]+", re.ASCII)


class KeptProfile(Model):
    """A body that is kept: `kinds` say why, `stacks` are the leaks that it is evidence for.

    `time` in unix seconds; `bytes` as it is kept, gzipped; `goroutines` in it.
    """

    id: Text
    service: Text
    target: Text
    kinds: tuple[Kind, ...]
    time: float
    stacks: tuple[str, ...]
    format: BodyFormat
    bytes: int
    goroutines: int
    start: Text
    build: Text


class KeptProfiles(Model):
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
    """Return a body as it is kept; raises NotFoundError if there is none of this id, or it cannot be read."""
    try:
        record, parts = await store.read(key)
    except (KeyError, EvidenceError) as error:
        raise unreadable(key, error) from error
    suffix = SUFFIXES[record.format]
    return _file(parts[suffix], _name(record, suffix), PPROF if record.format == "proto" else GZIP)


async def converted(store: Store, key: str) -> Response:
    """Return a body as gzipped protobuf for `go tool pprof`, with names; raises NotFoundError likewise."""
    try:
        record, parts = await store.read(key)
        body = await asyncio.to_thread(lambda: pprof.encode(parse(record, parts)))
    except (KeyError, EvidenceError, ScrapeError) as error:
        raise unreadable(key, error) from error
    return _file(body, _name(record, ".pb.gz"), PPROF)


def _shown(body: StoredBody) -> KeptProfile:
    record = body.record
    return KeptProfile(
        id=body.key,
        stacks=tuple(leak.stack for leak in record.leaks),
        **record.model_dump(exclude={"leaks"}),
    )


def _name(record: Record, suffix: str) -> str:
    """Return a file name that any system takes."""
    return STRANGE.sub("_", stem(record).replace("/", "-")) + suffix


def _file(body: bytes, name: str, content_type: str) -> Response:
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"', "Content-Type": content_type}
    return Response(body, headers=headers)
