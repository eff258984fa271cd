"""Parses google/pprof's profile.proto, gzipped or not: `/debug/pprof/goroutine?debug=0` and saved profiles.

Field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto. The result equals
that of text.py: functions that text hides (runtime frames at the leaf, runtime.goexit) are hidden here too. But
the function that parks the goroutine is known here, and it determines the wait reason.

Functions, files and lines are most of a body and rarely change. So they are decoded only for stacks that are not
cached. The cache key is the addresses, which mean the same in all bodies of one binary at one place in memory.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile, ScrapeError, TruncatedProfile, quote
from leakwatch.model import Frame, Process, Profile, Trace
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.text import PIECE_SIZE, UNKNOWN, Group, first_visible
from leakwatch.profile.wire import Value, as_bytes, as_number, complete_fields, fields, packed

GZIP: Final = b"\x1f\x8b"
GENERIC_ARGUMENTS: Final = re.compile(r"\[.*\]")
GOEXIT: Final = "runtime.goexit"
MAX_CALLS: Final = 128
DEPTH_LIMITS: Final = {32, MAX_CALLS}
"""Depths at which Go truncates stacks, before 1.23 and since. A truncated stack has no other mark."""
STEP: Final = 500
"""Number of groups between two steps of `steps`."""
MAX_PARTS: Final = 1_000_000
"""Maximum of samples, locations, functions and strings. A small gzip bomb can have millions of empty ones."""
SAMPLE_TYPES, SAMPLES, MAPPINGS, LOCATIONS, FUNCTIONS, STRINGS = range(1, 7)

Labels = tuple[tuple[str, str], ...]


class Parser:
    """Parses one body, in pieces of any size. `close` returns all groups.

    `size_limit`: bytes after decompression; `service`: bodies of one service share cached traces.
    """

    def __init__(self, cache: ParseCache | None = None, size_limit: int = 1 << 30, service: str = "") -> None:
        self._cache = cache or ParseCache()
        self._size_limit = size_limit
        self._service = service
        self._part_count = 0
        self._size = 0
        self._begun = False
        self._unzip: zlib._Decompress | None = None
        self._begin = b""
        self._rest = bytearray()
        self._parts: dict[int, list[bytes]] = {number: [] for number in range(1, 7)}
        self._groups: list[Group] | None = None
        self._functions: dict[int, tuple[int, int]] | None = None

    def feed(self, data: bytes) -> list[Group]:
        """Parse the next piece; return no groups yet. Raises ScrapeError."""
        if not self._begun:
            self._rest += data
            if len(self._rest) < len(GZIP):
                return []
            data, self._rest, self._begun = bytes(self._rest), bytearray(), True
            self._unzip = zlib.decompressobj(wbits=31) if data.startswith(GZIP) else None
        if self._unzip is None:
            self._add(data)
            return []
        try:
            while data and not self._unzip.eof:  # bounded pieces, because of gzip bombs
                self._add(self._unzip.decompress(data, PIECE_SIZE))
                data = self._unzip.unconsumed_tail
        except zlib.error as error:
            raise MalformedProfile(f"invalid gzip: {error}") from error
        return []

    def steps(self) -> Iterator[None]:
        """Do the work of `close` in small steps; raises ProfileError."""
        self._check_end()
        types = [self._text(_number(sample_type, 1)) for sample_type in self._parts[SAMPLE_TYPES]]
        if types != ["goroutine"]:
            raise NotAProfile(f"not a goroutine profile: its samples are {', '.join(types) or 'missing'}")
        binary, address_of = self._binary(), dict(map(_id_and_address, self._parts[LOCATIONS]))
        locations: dict[int, bytes] = {}
        groups: list[Group] = []
        for i, sample in enumerate(self._parts[SAMPLES], 1):
            ids, count, labels = self._sample(sample)
            addresses = [address_of.get(location_id, 0) for location_id in ids]
            key = hash((binary, labels, *addresses))
            trace = self._cache.traces.get(key) if binary else None
            if trace is None:
                locations = locations or {_number(data, 1): data for data in self._parts[LOCATIONS]}
                trace = self._trace(zip(addresses, map(locations.get, ids), strict=True), labels)
                self._cache.traces.put(key, trace)
            groups.append((trace, count))
            if i % STEP == 0:
                yield
        self._groups = sorted(self._with_truncated(groups), key=lambda group: -group[1])

    def close(self) -> list[Group]:
        """Return all groups, the largest first; raises ProfileError if the body is incomplete."""
        if self._groups is None:
            for _ in self.steps():
                pass
        return self._groups or []

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return sum(count for _, count in self.close())

    @property
    def process(self) -> Process:
        """The process that wrote the body; raises ProfileError.

        `start` is the address of the [vdso], which the kernel chooses at each start. `build` needs Go 1.24.
        """
        self._check_end()
        start, build = "", ""
        for mapping in self._parts[MAPPINGS]:
            values = dict(fields(mapping))
            if self._text(as_number(values.get(5, 0))) == "[vdso]":
                start = hex(as_number(values.get(2, 0)))
            elif not build:
                build = self._text(as_number(values.get(6, 0)))
        return Process(start, build)

    def _binary(self) -> tuple[str, str, int] | None:
        """Return the binary and its place in memory, which give addresses their meaning; None if unknown."""
        process = self.process
        build = process.build or process.start
        return (self._service, build, _number(self._parts[MAPPINGS][0], 2)) if build else None

    def _add(self, data: bytes) -> None:
        """Store the complete parts of decompressed `data`."""
        self._begin = self._begin or data[:100]
        self._size += len(data)
        if self._size > self._size_limit:
            raise ScrapeError(
                "too_large",
                f"the body is larger than {self._size_limit} bytes, decompressed (body_size_limit)",
            )
        self._rest += data
        try:
            end = complete_fields(self._rest, self._add_part)
        except MalformedProfile as error:
            raise self._specific(error) from error
        del self._rest[:end]

    def _add_part(self, number: int, value: Value) -> None:
        self._part_count += 1
        if self._part_count > MAX_PARTS:
            raise ScrapeError("too_large", f"the body has more than {MAX_PARTS} parts")
        if number in self._parts:
            self._parts[number].append(as_bytes(value))

    def _check_end(self) -> None:
        """Raise ProfileError if the body is incomplete."""
        if not self._begin and not self._rest:
            raise NotAProfile("not a goroutine profile: the body is empty")
        if self._unzip is not None and not self._unzip.eof:
            raise TruncatedProfile(f"gzip ends early, after {self._size} bytes")
        if self._rest:
            raise self._specific(TruncatedProfile(f"the body ends after {len(self._rest)} bytes of a field"))
        if not self._parts[STRINGS]:
            raise self._specific(MalformedProfile("the body has no strings"))

    def _specific(self, error: MalformedProfile | TruncatedProfile) -> ScrapeError:
        """Return `error`, or NotAProfile if no part of a profile was found."""
        if self._parts[SAMPLES] or self._parts[STRINGS]:
            return error
        return NotAProfile(f"not a profile: the body starts with {quote(self._begin or bytes(self._rest))}")

    def _sample(self, data: bytes) -> tuple[list[int], int, Labels]:
        """Return the location ids of a sample, leaf first, its count and its labels."""
        ids: list[int] = []
        values: list[int] = []
        labels = []
        for number, value in fields(data):
            if number in {1, 2}:
                (ids, values)[number - 1].extend(packed(value))
            elif number == 3:
                label = dict(fields(as_bytes(value)))
                key, text = as_number(label.get(1, 0)), as_number(label.get(2, 0))
                labels.append((self._text(key), self._text(text)))
        if len(values) != 1 or not 0 <= values[0] < 10**18:
            raise MalformedProfile(f"a sample has the values {values}, expected one count")
        return ids, values[0], tuple(sorted(labels))

    def _trace(self, locations: Iterable[tuple[int, bytes | None]], labels: Labels) -> Trace:
        """Return the trace of `locations`: address and message of each."""
        frames: list[Frame] = []
        addresses = []
        for address, location in locations:
            calls = [as_bytes(value) for number, value in fields(location or b"") if number == 4]
            frames += [self._frame(call) for call in calls] or [UNKNOWN]
            addresses += [address] * max(len(calls), 1)  # Go counts inlined calls, too, when it truncates
        # Go adds the callers into which the last call was inlined; text omits them.
        del frames[MAX_CALLS:], addresses[MAX_CALLS:]
        frames = [frame for frame in frames if frame.function != GOEXIT]
        leaf = first_visible(frames)
        parked = frames[leaf - 1].function if leaf else ""
        counters = b"".join(b" %#x" % (address + 1) for address in addresses)
        return Trace(tuple(frames[leaf:]), counters, labels=labels, parked=parked)

    def _frame(self, line: bytes) -> Frame:
        call = dict(fields(line))
        if self._functions is None:
            functions = (dict(fields(function)) for function in self._parts[FUNCTIONS])
            self._functions = {
                as_number(function.get(1, 0)): (as_number(function.get(2, 0)), as_number(function.get(4, 0)))
                for function in functions
            }
        name, file = self._functions.get(as_number(call.get(1, 0)), (0, 0))
        if not name:
            return UNKNOWN
        # Text shows generic arguments as [...], from the first bracket to the last.
        frame = Frame(
            GENERIC_ARGUMENTS.sub("[...]", self._text(name)), self._text(file), as_number(call.get(2, 0))
        )
        shared = self._cache.frames.get(frame)
        if shared is None:
            self._cache.frames.put(frame, frame)
        return shared or frame

    def _with_truncated(self, groups: list[Group]) -> list[Group]:
        """Return `groups` with the traces of maximum depth marked as truncated."""
        depths = [trace.counters.count(b" ") for trace, _ in groups]
        deepest = max(depths, default=0)
        if deepest not in DEPTH_LIMITS:
            return groups
        return [
            (self._truncated(trace) if depth == deepest else trace, count)
            for (trace, count), depth in zip(groups, depths, strict=True)
        ]

    def _truncated(self, trace: Trace) -> Trace:
        truncated = self._cache.truncated.get(trace)
        if truncated is None:
            truncated = replace(trace, truncated=True)
            self._cache.truncated.put(trace, truncated)
        return truncated

    def _text(self, index: int) -> str:
        strings = self._parts[STRINGS]
        if not 0 <= index < len(strings):
            raise MalformedProfile(f"string {index} is missing; the body has {len(strings)} strings")
        return strings[index].decode("utf-8", "backslashreplace")


def parse(body: bytes, size_limit: int = 1 << 30, cache: ParseCache | None = None) -> Profile:
    """Return the goroutine profile in `body`; `size_limit`: bytes after decompression. Raises ScrapeError."""
    parser = Parser(cache, size_limit)
    parser.feed(body)
    groups = parser.close()
    return Profile(parser.total, tuple(groups))


def process(body: bytes, size_limit: int = 1 << 24) -> Process:
    """Return the process that wrote `body`, a profile of any kind; raises ScrapeError."""
    parser = Parser(size_limit=size_limit)
    parser.feed(body)
    return parser.process


def _number(message: bytes, field: int) -> int:
    """Return the number in a field of `message`, 0 if it is missing."""
    return next((as_number(value) for number, value in fields(message) if number == field), 0)


def _id_and_address(location: bytes) -> tuple[int, int]:
    """Return id and address of a location. Both precede the calls, which are not decoded."""
    location_id = address = 0
    for number, value in fields(location):
        if number == 1:
            location_id = as_number(value)
        elif number == 3:
            address = as_number(value)
            break
    return location_id, address
