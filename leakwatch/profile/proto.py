"""Reads google/pprof's profile.proto, gzipped or not: `/debug/pprof/goroutine?debug=0` and saved profiles.

Field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto. A profile that was read
here and one read by text.py say the same: what text hides (runtime frames at the leaf, runtime.goexit) is hidden
here too, but the function that parks the goroutine is remembered, because it tells the wait reason.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from leakwatch.errors import MalformedProfile, NotAProfile, TruncatedProfile, quote
from leakwatch.model import Frame, Process, Profile, Trace
from leakwatch.profile.text import UNKNOWN

GZIP = b"\x1f\x8b"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
HIDDEN = ("runtime.", "internal/runtime/")
GENERIC = re.compile(r"\[.*\]")
END = "runtime.goexit"
LIMITS = {32, 128}
"""How many calls Go keeps of a stack, before 1.23 and since; here it leaves no other mark of what it cut."""

MAX_SHIFT = 63

Value = int | bytes


@dataclass(slots=True)
class Tables:
    """The parts of one message, as they refer to each other; functions and locations by id."""

    kinds: list[bytes] = field(default_factory=list)
    samples: list[bytes] = field(default_factory=list)
    mappings: list[bytes] = field(default_factory=list)
    locations: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    """Id -> address, then function and line of each call, innermost first."""
    functions: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Id -> name and file, as places in `strings`."""
    strings: list[str] = field(default_factory=list)

    def text(self, at: int) -> str:
        """Return the string at `at`; raises MalformedProfile."""
        if not 0 <= at < len(self.strings):
            raise MalformedProfile(f"string {at} of {len(self.strings)} is asked for")
        return self.strings[at]


def parse(body: bytes, size_limit: int = 1 << 30) -> Profile:
    """Return the goroutine profile in `body`; raises ProfileError. `size_limit`: bytes decompressed."""
    tables = _tables(_plain(body, size_limit))
    kinds = [tables.text(_one(kind, 1)) for kind in tables.kinds]
    if kinds != ["goroutine"]:
        raise NotAProfile(f"not a goroutine profile but one of {', '.join(kinds) or 'nothing'}")
    groups = [_group(tables, sample) for sample in tables.samples]
    deepest = max((len(trace.counters.split()) for trace, _ in groups), default=0)
    if deepest in LIMITS:
        groups = [
            (replace(trace, truncated=len(trace.counters.split()) == deepest), goroutines)
            for trace, goroutines in groups
        ]
    groups.sort(key=lambda group: -group[1])
    return Profile(sum(goroutines for _, goroutines in groups), tuple(groups))


def process(body: bytes, size_limit: int = 1 << 24) -> Process:
    """Return which process wrote `body`, a profile of any kind; raises ProfileError.

    The kernel puts the [vdso] elsewhere at each start; Go 1.24 and newer name the build.
    """
    tables = _tables(_plain(body, size_limit))
    start, build = "", ""
    for mapping in tables.mappings:
        known = dict(_fields(mapping))
        name = tables.text(_number(known.get(5, 0)))
        if name == "[vdso]":
            start = hex(_number(known.get(2, 0)))
        elif not build:
            build = tables.text(_number(known.get(6, 0)))
    return Process(start, build)


def _plain(body: bytes, size_limit: int) -> bytes:
    if not body.startswith(GZIP):
        return body
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(body, size_limit)
    except zlib.error as error:
        raise MalformedProfile(f"bad gzip: {error}") from error
    if unzip.unconsumed_tail:
        raise MalformedProfile(f"more than {size_limit} bytes when decompressed")
    if not unzip.eof:
        raise TruncatedProfile(f"gzip ends early, after {len(plain)} bytes")
    return plain


def _tables(data: bytes) -> Tables:
    tables = Tables()
    if not data:
        raise NotAProfile("not a goroutine profile: the body is empty")
    try:
        _fill(tables, data)
    except (MalformedProfile, TypeError) as error:
        if not tables.samples and not tables.strings:
            raise NotAProfile(f"not a profile: the body starts with {quote(data)}") from error
        raise MalformedProfile(str(error)) from error
    if not tables.strings:
        raise NotAProfile(f"not a profile: the body starts with {quote(data)}")
    return tables


def _fill(tables: Tables, data: bytes) -> None:
    for number, value in _fields(data):
        if number == 6:
            tables.strings.append(_bytes(value).decode("utf-8", "backslashreplace"))
        elif number == 5:
            known = dict(_fields(_bytes(value)))
            tables.functions[_number(known.get(1, 0))] = _number(known.get(2, 0)), _number(known.get(4, 0))
        elif number == 4:
            _add_location(tables, _bytes(value))
        elif number in {1, 2, 3}:
            (tables.kinds, tables.samples, tables.mappings)[number - 1].append(_bytes(value))


def _add_location(tables: Tables, data: bytes) -> None:
    key = address = 0
    lines: list[tuple[int, int]] = []
    for number, value in _fields(data):
        if number == 1:
            key = _number(value)
        elif number == 3:
            address = _number(value)
        elif number == 4:
            known = dict(_fields(_bytes(value)))
            lines.append((_number(known.get(1, 0)), _number(known.get(2, 0))))
    tables.locations[key] = address, lines


def _group(tables: Tables, sample: bytes) -> tuple[Trace, int]:
    places: list[int] = []
    values: list[int] = []
    labels = []
    for number, value in _fields(sample):
        if number in {1, 2}:
            (places, values)[number - 1].extend(_packed(value))
        elif number == 3:
            known = dict(_fields(_bytes(value)))
            labels.append((tables.text(_number(known.get(1, 0))), tables.text(_number(known.get(2, 0)))))
    if len(values) != 1 or not 0 <= values[0] < 10**18:
        raise MalformedProfile(f"a sample has {values} where one count is expected")
    return _trace(tables, places, tuple(sorted(labels))), values[0]


def _trace(tables: Tables, places: list[int], labels: tuple[tuple[str, str], ...]) -> Trace:
    frames: list[Frame] = []
    addresses = []
    for place in places:
        address, lines = tables.locations.get(place, (0, []))
        frames += [_frame(tables, *line) for line in lines] or [UNKNOWN]
        addresses += [address] * max(len(lines), 1)  # inlined calls count towards the limit too
    frames = [frame for frame in frames if frame.function != END]
    shown = next((i for i, frame in enumerate(frames) if not frame.function.startswith(HIDDEN)), 0)
    parked = frames[shown - 1].function if shown else ""
    counters = b"".join(b" %#x" % (address + 1) for address in addresses)
    return Trace(tuple(frames[shown:]), counters, labels, parked=parked)


def _frame(tables: Tables, function: int, line: int) -> Frame:
    name, file = tables.functions.get(function, (0, 0))
    if not name:
        return UNKNOWN
    # Text shows generic arguments as [...], from the first bracket to the last.
    return Frame(GENERIC.sub("[...]", tables.text(name)), tables.text(file), line)


def _one(message: bytes, wanted: int) -> int:
    return _number(dict(_fields(message)).get(wanted, 0))


def _number(value: Value) -> int:
    if isinstance(value, bytes):
        raise MalformedProfile("a number is expected where text is")
    return value


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise MalformedProfile("text is expected where a number is")
    return value


def _packed(value: Value) -> Iterator[int]:
    """Yield the numbers of a repeated field, which may come packed or one by one."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        yield number


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message; raises MalformedProfile."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in {FIXED64, FIXED32}:
            size = 8 if kind == FIXED64 else 4
        else:
            raise MalformedProfile(f"byte {at}: no wire type {kind}")
        if at + size > end:
            raise TruncatedProfile(f"byte {at}: a field of {size} bytes ends after {end - at}")
        if kind == BYTES:
            yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift <= MAX_SHIFT:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise TruncatedProfile(f"byte {at}: a number without an end")
