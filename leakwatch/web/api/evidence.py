"""Evidence: the list of stored profiles, and downloads as stored or for `go tool pprof`."""

import asyncio
import re

from starlette.responses import Response

from leakwatch.errors import EvidenceError, ScrapeError
from leakwatch.evidence.disk import stem
from leakwatch.evidence.index import StoredBody
from leakwatch.evidence.record import SUFFIXES, BodyFormat, Kind, Record
from leakwatch.evidence.store import Store
from leakwatch.profile import pprof
from leakwatch.web.api.models.types import ApiModel, Text
from leakwatch.web.api.responses import NO_STORE
from leakwatch.web.api.snapshots import parse, unreadable

GZIP, PPROF = "application/gzip", "application/octet-stream"
UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)


class StoredProfile(ApiModel):
    """A stored profile. `kinds`: why it is stored; `stacks`: the leaks that it is evidence of.

    `time` in unix seconds; `bytes`: compressed size; `goroutines`: goroutines in the profile.
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


class StoredProfiles(ApiModel):
    """Stored profiles, newest first."""

    profiles: list[StoredProfile]


def stored_profiles(
    store: Store,
    service: str | None = None,
    target: str | None = None,
    stack: str | None = None,
    kind: Kind | None = None,
) -> StoredProfiles:
    """Return the stored profiles that pass all filters, newest first; None passes all."""
    profiles = [
        _profile(body)
        for body in store.bodies
        if service in {None, body.record.service} and target in {None, body.record.target}
    ]
    return StoredProfiles(
        profiles=[
            profile
            for profile in profiles
            if (stack is None or stack in profile.stacks) and (kind is None or kind in profile.kinds)
        ]
    )


async def download(store: Store, key: str) -> Response:
    """Return a stored profile as it is; raise NotFoundError if it is not stored or not readable."""
    try:
        record, parts = await store.read(key)
    except (KeyError, EvidenceError) as error:
        raise unreadable(key, error) from error
    suffix = SUFFIXES[record.format]
    return _file(parts[suffix], _name(record, suffix), PPROF if record.format == "proto" else GZIP)


async def download_pprof(store: Store, key: str) -> Response:
    """Return a stored profile as gzipped protobuf for `go tool pprof`; raise NotFoundError as `download` does."""
    try:
        record, parts = await store.read(key)
        body = await asyncio.to_thread(lambda: pprof.encode(parse(record, parts)))
    except (KeyError, EvidenceError, ScrapeError) as error:
        raise unreadable(key, error) from error
    return _file(body, _name(record, ".pb.gz"), PPROF)


def _profile(body: StoredBody) -> StoredProfile:
    record = body.record
    return StoredProfile(
        id=body.key,
        stacks=tuple(leak.stack for leak in record.leaks),
        **record.model_dump(exclude={"leaks"}),
    )


def _name(record: Record, suffix: str) -> str:
    """Return a file name that is valid on every operating system."""
    return UNSAFE.sub("_", stem(record).replace("/", "-")) + suffix


def _file(body: bytes, name: str, content_type: str) -> Response:
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"', "Content-Type": content_type}
    return Response(body, headers=headers)
