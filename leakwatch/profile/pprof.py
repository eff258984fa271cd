"""Writes a profile in the format of google/pprof's profile.proto, gzipped, for `go tool pprof`.

Field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto. The file has
only samples, locations, functions and strings.
"""

import gzip
from collections.abc import Iterable

from leakwatch.model import Frame, Profile
from leakwatch.profile.wire import bytes_field, encoded, number_field


def encode(profile: Profile) -> bytes:
    """Return `profile` with function names as gzipped protobuf. Each frame is a location, without its address.

    The hidden function that parks a goroutine is written if it is known, because it determines the wait reason.
    """
    strings: dict[str, int] = {"": 0}
    functions: dict[tuple[str, str], int] = {}
    locations: dict[Frame, int] = {}
    samples = []
    for trace, goroutines in profile.groups:
        frames = (Frame(trace.parked), *trace.frames) if trace.parked else trace.frames
        for frame in frames:
            locations.setdefault(frame, len(locations) + 1)
            functions.setdefault((frame.function, frame.file), len(functions) + 1)
        ids = b"".join(encoded(locations[frame]) for frame in frames)
        labels = [
            bytes_field(3, number_field(1, _index(strings, key)) + number_field(2, _index(strings, value)))
            for key, value in trace.labels
        ]
        count = bytes_field(2, encoded(goroutines))
        samples.append(bytes_field(2, bytes_field(1, ids) + count + b"".join(labels)))
    unit = number_field(1, _index(strings, "goroutine")) + number_field(2, _index(strings, "count"))
    body = [bytes_field(1, unit), *samples]
    for frame, number in locations.items():
        line = number_field(1, functions[frame.function, frame.file]) + number_field(2, frame.line)
        body.append(bytes_field(4, number_field(1, number) + bytes_field(4, line)))
    for (name, file), number in functions.items():
        name_index = _index(strings, name)
        function = _numbers(((1, number), (2, name_index), (3, name_index), (4, _index(strings, file))))
        body.append(bytes_field(5, function))
    body += [bytes_field(6, text.encode("utf-8", "replace")) for text in strings]
    body += [bytes_field(11, unit), number_field(12, 1)]
    return gzip.compress(b"".join(body), mtime=0)


def _index(strings: dict[str, int], text: str) -> int:
    return strings.setdefault(text, len(strings))


def _numbers(pairs: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(number_field(field, value) for field, value in pairs)
