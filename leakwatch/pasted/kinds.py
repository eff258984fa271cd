"""Describes files that are not goroutine profiles, and what to do instead."""

import re
from collections.abc import Sequence
from typing import Final

from leakwatch.errors import NotAProfile, quote

USE: Final = "leakwatch reads goroutine profiles: /debug/pprof/goroutine"
UNPACK: Final = "pass it to `leakwatch analyze` or `leakwatch diff`, or unpack it and pass one of its files"
BEGINNINGS: Final = (
    (re.compile(rb"heap profile: "), "a heap profile"),
    (re.compile(rb"--- (?:mutex|contention)"), "a mutex or block profile"),
    (re.compile(rb"go 1\.\d+ trace\0"), "a runtime trace"),
    (re.compile(rb"\x7fELF|MZ.{0,80}This program|\xcf\xfa\xed\xfe"), "a binary"),
    (re.compile(rb"BZh\d1AY&SY"), "a file of bzip2: unpack it"),
    (re.compile(rb"\xfd7zXZ\0"), "a file of xz: unpack it"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "a file of zstd: unpack it"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c|Rar!"), "an archive: unpack it"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|%PDF-"), "a picture or a PDF"),
    (re.compile(rb"\s*<(?:!DOCTYPE|html)", re.IGNORECASE), "a page of HTML without a dump"),
)
SAMPLES: Final = {
    "alloc_objects": "a heap profile",
    "inuse_space": "a heap profile",
    "contentions": "a mutex or block profile",
    "cpu": "a CPU profile",
    "threadcreate": "a profile of threads",
}
TAR: Final = 257
"""Offset of the mark of a tar archive."""


def check(plain: bytes) -> None:
    """Raise NotAProfile if the beginning of `plain` shows another kind of file."""
    if not plain.strip():
        raise NotAProfile("the file is empty")
    if plain.startswith(b"PK\x03\x04") or plain[TAR : TAR + 5] == b"ustar":
        kind = "zip" if plain.startswith(b"PK") else "tar"
        raise NotAProfile(f"this is a {kind} archive: {UNPACK}")
    for beginning, name in BEGINNINGS[:-1]:
        if beginning.match(plain):
            raise NotAProfile(f"this is {name}; {USE}")


def wrong(sample_types: Sequence[str]) -> str:
    """Return the message for a protobuf profile of another kind."""
    kind = next(
        (SAMPLES[sample] for sample in sample_types if sample in SAMPLES),
        f"a profile of {', '.join(sample_types)}",
    )
    return f"not a goroutine profile: this is {kind}; {USE}"


def describe(plain: bytes, profiles: Sequence[str]) -> str:
    """Return the message for a text without goroutines; `profiles`: names of other profiles in it."""
    if profiles:
        return f"not a goroutine profile but a {profiles[0]} profile; {USE}"
    name = next((name for beginning, name in BEGINNINGS if beginning.match(plain)), "")
    start = plain.lstrip().partition(b"\n")[0]
    found = f"this is {name}" if name else f"the text has no goroutine; it starts with {quote(start)}"
    return f"not a goroutine profile: {found}; {USE}"
