"""Reads a profile that somebody saved, whatever it was saved as: text or protobuf, gzipped or not."""

import gzip
import re
import zlib
from io import BytesIO
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile, TruncatedProfile
from leakwatch.model import Profile
from leakwatch.profile import proto, text

LARGEST: Final = 1 << 29  # bytes; a million goroutines with labels of their own are 450 MB
HEADER = b" profile: total "
DUMP = re.compile(rb"goroutine \d+ .*\[")
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a]")


def parse(
    body: bytes, texts: text.Memory | None = None, protos: proto.Memory | None = None, *, pasted: bool = False
) -> Profile:
    """Return the profile in `body`; raises ProfileError.

    `texts`, `protos`: what is remembered of bodies before. `pasted`: text may have come through a browser or a
    chat, with spaces for tabs.
    """
    plain = body
    if body.startswith(proto.GZIP):
        try:
            with gzip.GzipFile(fileobj=BytesIO(body)) as file:
                plain = file.read(LARGEST + 1)
        except EOFError as error:
            raise TruncatedProfile(f"gzip: {error}") from error
        except (OSError, zlib.error) as error:
            raise MalformedProfile(f"bad gzip: {error}") from error
    if len(plain) > LARGEST:
        raise MalformedProfile(f"gzip: more than {LARGEST >> 20} MB in {len(body)} bytes, which is no profile")
    if DUMP.match(plain):
        raise NotAProfile("a dump of goroutines (debug=2), not a profile: save /debug/pprof/goroutine?debug=1")
    if HEADER not in plain[:100] and CONTROL.search(plain[:100]):
        return proto.parse(plain, memory=protos)
    return text.parse(text.unpaste(plain) if pasted else plain, texts)
