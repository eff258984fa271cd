"""Writes a profile as google/pprof's profile.proto, gzipped, for `go tool pprof`.

Field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto. Only what a goroutine
profile needs is written: samples, locations, functions, strings.
"""

import gzip
from collections.abc import Iterable

from leakwatch.model import Frame, Profile


def encode(profile: Profile) -> bytes:
    """Return `profile`, symbolised, as gzipped protobuf; a location is a frame, counters are not kept."""
    strings: dict[str, int] = {"": 0}
    functions: dict[tuple[str, str], int] = {}
    locations: dict[Frame, int] = {}
    samples = []
    for trace, goroutines in profile.groups:
        for frame in trace.frames:
            locations.setdefault(frame, len(locations) + 1)
            functions.setdefault((frame.function, frame.file), len(functions) + 1)
        where = b"".join(_varint(locations[frame]) for frame in trace.frames)
        labels = [
            _bytes(3, _number(1, _index(strings, key)) + _number(2, _index(strings, value)))
            for key, value in trace.labels
        ]
        samples.append(_bytes(2, _bytes(1, where) + _bytes(2, _varint(goroutines)) + b"".join(labels)))
    unit = _number(1, _index(strings, "goroutine")) + _number(2, _index(strings, "count"))
    body = [_bytes(1, unit), *samples]
    for frame, number in locations.items():
        line = _number(1, functions[frame.function, frame.file]) + _number(2, frame.line)
        body.append(_bytes(4, _number(1, number) + _bytes(4, line)))
    for (name, file), number in functions.items():
        named = _index(strings, name)
        body.append(_bytes(5, _number(1, number) + _numbers(((2, named), (3, named), (4, _index(strings, file))))))
    body += [_bytes(6, text.encode("utf-8", "replace")) for text in strings]
    body += [_bytes(11, unit), _number(12, 1)]
    return gzip.compress(b"".join(body), mtime=0)


def _index(strings: dict[str, int], text: str) -> int:
    return strings.setdefault(text, len(strings))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _numbers(pairs: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_number(field, value) for field, value in pairs)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
