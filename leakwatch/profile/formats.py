"""Reads a profile that somebody saved, whatever it was saved as: text, protobuf or a full dump, gzipped or not."""

import gzip
import re
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Final

from leakwatch.errors import MalformedProfile, TruncatedProfile
from leakwatch.model import Profile
from leakwatch.profile import dump, proto, text

LARGEST: Final = 1 << 29  # bytes; a million goroutines with labels of their own are 450 MB
PIECE = 1 << 20
HEADER = b" profile: total "
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a]")


def parse(body: bytes, texts: text.TextCache | None = None, protos: proto.ProtoCache | None = None) -> Profile:
    """Return the whole profile in `body`; raises ProfileError. `texts`, `protos`: as for `read`."""
    found = read(body, texts, protos)
    if isinstance(found, Profile):
        return found
    if found.truncated:
        raise TruncatedProfile(f"the dump ends early, after {len(found.goroutines)} goroutines")
    return found.profile()


def read(
    body: bytes,
    texts: text.TextCache | None = None,
    protos: proto.ProtoCache | None = None,
    *,
    pasted: bool = False,
) -> Profile | dump.Dump:
    """Return what is in `body`, of a dump what is whole; raises ProfileError.

    `texts`, `protos`: what is remembered of bodies before. `pasted`: text may have come through a browser or a
    chat, with spaces for tabs.
    """
    plain, cut = _unpacked(body) if body.startswith(proto.GZIP) else (body, "")
    if _is_dump(plain):
        found = dump.parse(dump.unpaste(plain) if pasted else plain)
        return replace(found, truncated=True) if cut else found
    if cut:
        raise TruncatedProfile(f"gzip: {cut}")
    if HEADER not in plain[:100] and CONTROL.search(plain[:100]):
        return proto.parse(plain, memory=protos)
    return text.parse(text.unpaste(plain) if pasted else plain, texts)


def _is_dump(plain: bytes) -> bool:
    if HEADER in plain[:100] or CONTROL.search(plain[:100]):
        return False
    return dump.START.search(plain, 0, dump.NOISE) is not None


def _unpacked(body: bytes) -> tuple[bytes, str]:
    """Return the bytes that are packed in `body`, and what is wrong if they end early; raises MalformedProfile."""
    pieces: list[bytes] = []
    size = 0
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            while piece := file.read1(PIECE):  # of a read that fails nothing would be left
                pieces.append(piece)
                size += len(piece)
                if size > LARGEST:
                    raise MalformedProfile(
                        f"gzip: more than {LARGEST >> 20} MB in {len(body)} bytes, which is no profile"
                    )
    except EOFError as error:
        return b"".join(pieces), str(error)
    except (OSError, zlib.error) as error:
        raise MalformedProfile(f"bad gzip: {error}") from error
    return b"".join(pieces), ""
