"""Parses a saved profile of any format: text, protobuf or full dump, gzipped or not."""

import gzip
import re
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Final

from leakwatch.errors import MalformedProfile, TruncatedProfile
from leakwatch.model import Profile
from leakwatch.profile import dump, proto, text
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.parts import GZIP

MAX_SIZE: Final = 1 << 29  # bytes; a million goroutines with distinct labels are 450 MB
PIECE = 1 << 20
HEADER = b" profile: total "
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a]")


def parse(body: bytes, cache: ParseCache | None = None) -> Profile:
    """Return the profile in `body`; raises ProfileError, also for a truncated dump."""
    result = read_complete(body, cache)
    return result if isinstance(result, Profile) else result.profile()


def read_complete(body: bytes, cache: ParseCache | None = None) -> Profile | dump.Dump:
    """Return the profile or dump in `body`; raises ProfileError, also for a truncated dump."""
    result = read(body, cache)
    if isinstance(result, dump.Dump) and result.truncated:
        raise TruncatedProfile(f"the dump ends early, after {len(result.goroutines)} goroutines")
    return result


def read(body: bytes, cache: ParseCache | None = None) -> Profile | dump.Dump:
    """Return the profile or dump in `body`, of a truncated dump its complete goroutines; raises ProfileError."""
    plain, problem = unzip(body)
    if _is_dump(plain):
        result = dump.parse(plain)
        return replace(result, truncated=True) if problem else result
    if problem:
        raise TruncatedProfile(f"gzip: {problem}")
    return proto.parse(plain, cache=cache) if is_binary(plain) else text.parse(plain, cache)


def is_binary(plain: bytes) -> bool:
    """Return whether `plain` is not text, such as a protobuf."""
    return HEADER not in plain[:100] and CONTROL.search(plain[:100]) is not None


def _is_dump(plain: bytes) -> bool:
    if HEADER in plain[:100] or CONTROL.search(plain[:100]):
        return False
    return dump.START.search(plain, 0, dump.MAX_PREFIX) is not None


def unzip(body: bytes) -> tuple[bytes, str]:
    """Return `body` without gzip, and the problem if it ends early, else ""; raises MalformedProfile."""
    if not body.startswith(GZIP):
        return body, ""
    pieces: list[bytes] = []
    size = 0
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            while piece := file.read1(PIECE):  # a failed read() would lose all bytes before the failure
                pieces.append(piece)
                size += len(piece)
                if size > MAX_SIZE:
                    raise MalformedProfile(f"gzip: {len(body)} bytes expand to more than {MAX_SIZE >> 20} MB")
    except EOFError as error:
        return b"".join(pieces), str(error)
    except (OSError, zlib.error) as error:
        raise MalformedProfile(f"invalid gzip: {error}") from error
    return b"".join(pieces), ""
