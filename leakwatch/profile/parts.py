"""Stores the parts of a protobuf body (google/pprof's profile.proto), gzipped or not, within bounds.

Each part is checked before it is decoded: Go writes up to 1,024 numbers in a sample, one line of 10 bytes per
inlined call in a location, and seven numbers in a mapping. A process has a sample and a string per goroutine if
the labels of all goroutines differ.
"""

import zlib
from collections.abc import Container, Iterator
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile, ScrapeError, TruncatedProfile, quote
from leakwatch.model import Process
from leakwatch.profile.limits import MAX_TEXT
from leakwatch.profile.quoting import decode
from leakwatch.profile.wire import Value, as_bytes, as_number, complete_fields, fields

GZIP: Final = b"\x1f\x8b"
PIECE: Final = 16_384
"""Decompressed bytes per step. A part has at least two bytes and takes 1 us, so a step takes up to 8 ms."""
STEP: Final = 1_000
"""Functions per step."""
SAMPLE_TYPES, SAMPLES, MAPPINGS, LOCATIONS, FUNCTIONS, STRINGS = range(1, 7)
BOUNDS: Final = {
    SAMPLE_TYPES: ("sample types", 10, 64),
    SAMPLES: ("samples", 1_000_000, MAX_TEXT),
    MAPPINGS: ("mappings", 10_000, 256),
    LOCATIONS: ("locations", 200_000, 1_024),
    FUNCTIONS: ("functions", 200_000, 256),
    STRINGS: ("strings", 1_000_000, MAX_TEXT),
}
"""Part -> its name, and its largest number and size in bytes."""
TIME: Final = 9
"""Field with the time in nanoseconds."""
TYPE_FIELD: Final = b"\x08"
"""The beginning of a sample type."""
MAX_PARTS: Final = 1_000_000
"""Largest number of all parts, also unknown ones. A small gzip bomb can have millions."""


class Parts:
    """The parts of one body that arrives in pieces of any size; `size_limit`: bytes after decompression."""

    def __init__(self, size_limit: int) -> None:
        self.locations: dict[int, tuple[int, bytes]] = {}
        """Id of a location -> its address, and its message."""
        self.functions: dict[int, tuple[int, int]] = {}
        """Id of a function -> the strings with its name and file. Empty until `read_functions`."""
        self.time: float | None = None
        """When the profile was written, in unix seconds."""
        self._mappings: list[tuple[int, int, int]] = []
        """Address, and the strings with file and build, of each mapping."""
        self._texts: dict[int, str] = {}
        """Strings that were decoded, by index."""
        self._messages: dict[int, list[bytes]] = {number: [] for number in BOUNDS}
        self._size_limit = size_limit
        self._count = 0
        self._size = 0
        self._begun = False
        self._unzip: zlib._Decompress | None = None
        self._begin = b""
        self._rest = bytearray()

    @property
    def samples(self) -> list[bytes]:
        """The messages of all samples."""
        return self._messages[SAMPLES]

    @property
    def sample_types(self) -> list[str]:
        """The types of the values of a sample."""
        return [self.text(number_in(message, 1)) for message in self._messages[SAMPLE_TYPES]]

    @property
    def process(self) -> Process:
        """The process that wrote the body.

        `start` is the address of the [vdso], which the kernel chooses at each start. `build` needs Go 1.24.
        """
        start, build = "", ""
        for address, file, build_id in self._mappings:
            if self._string(file) == b"[vdso]":
                start = hex(address)
            elif not build:
                build = self.text(build_id)
        return Process(start, build)

    def binary(self, service: str) -> tuple[str, str, int] | None:
        """Return the binary and its place in memory, which give addresses their meaning; None if unknown."""
        process = self.process
        build = process.build or process.start
        return (service, build, self._mappings[0][0]) if build else None

    def text(self, index: int) -> str:
        """Return a string; raises MalformedProfile. Stacks share strings, so each is decoded once."""
        text = self._texts.get(index)
        if text is None:
            text = self._texts[index] = decode(self._string(index))
        return text

    def size(self, index: int) -> int:
        """Return the bytes of a string, which is not decoded; raises MalformedProfile."""
        return len(self._string(index))

    def feed_steps(self, data: bytes) -> Iterator[None]:
        """Store the next piece, in small steps; raises ScrapeError."""
        if not self._begun:
            self._rest += data
            if len(self._rest) < len(GZIP):
                return
            data, self._rest, self._begun = bytes(self._rest), bytearray(), True
            self._unzip = zlib.decompressobj(wbits=31) if data.startswith(GZIP) else None
        for start in range(0, len(data), PIECE):
            for piece in self._plain(data[start : start + PIECE]):
                self._add(piece)
                yield

    def read_functions(self) -> Iterator[None]:
        """Decode the functions, in small steps; raises MalformedProfile."""
        for i, message in enumerate(self._messages[FUNCTIONS], 1):
            function = dict(fields(message))
            function_id, name, file = (as_number(function.get(field, 0)) for field in (1, 2, 4))
            _check_id("function", function_id, self.functions)
            self.functions[function_id] = name, file
            if i % STEP == 0:
                yield

    def check_end(self) -> None:
        """Raise ProfileError if the body is incomplete."""
        if not self._begin and not self._rest:
            raise NotAProfile("not a goroutine profile: the body is empty")
        if self._unzip is not None and not self._unzip.eof:
            raise TruncatedProfile(f"gzip ends early, after {self._size} bytes")
        if self._rest:
            raise self._specific(TruncatedProfile(f"the body ends after {len(self._rest)} bytes of a field"))
        if not self._messages[STRINGS]:
            raise self._specific(MalformedProfile("the body has no strings"))

    def _string(self, index: int) -> bytes:
        strings = self._messages[STRINGS]
        if not 0 <= index < len(strings):
            raise MalformedProfile(f"string {index} is missing; the body has {len(strings)} strings")
        return strings[index]

    def _plain(self, data: bytes) -> Iterator[bytes]:
        """Yield decompressed `data`, in bounded pieces because of gzip bombs."""
        if self._unzip is None:
            yield data
            return
        try:
            while data and not self._unzip.eof:
                yield self._unzip.decompress(data, PIECE)
                data = self._unzip.unconsumed_tail
        except zlib.error as error:
            raise MalformedProfile(f"invalid gzip: {error}") from error

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
            end = complete_fields(self._rest, self._add_part, MAX_TEXT)
        except (MalformedProfile, TruncatedProfile) as error:
            raise self._specific(error) from error
        del self._rest[:end]

    def _add_part(self, number: int, value: Value) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise ScrapeError("too_large", f"the body has more than {MAX_PARTS} parts")
        if number == TIME and isinstance(value, int) and value:
            self.time = value / 1e9
        if number not in BOUNDS:
            return
        messages, message, (name, most, size) = self._messages[number], as_bytes(value), BOUNDS[number]
        messages.append(message)
        if len(messages) > most:
            raise ScrapeError("too_large", f"the body has more than {most} {name}")
        if len(message) > size or not (message or number == STRINGS):
            found = f"{name}: number {len(messages)} has {len(message)} bytes"
            raise MalformedProfile(f"{found}, expected 1 to {size}")
        if number == LOCATIONS:
            location_id, address = _id_and_address(message)
            _check_id("location", location_id, self.locations)
            self.locations[location_id] = address, message
        elif number == MAPPINGS:
            values = dict(fields(message))
            address, file, build = (as_number(values.get(field, 0)) for field in (2, 5, 6))
            self._mappings.append((address, file, build))

    def _specific(self, error: MalformedProfile | TruncatedProfile) -> ScrapeError:
        """Return `error`, or NotAProfile if no part of a profile was found."""
        first = next(iter(self._messages[SAMPLE_TYPES]), b"")
        if self._messages[SAMPLES] or self._messages[STRINGS] or first.startswith(TYPE_FIELD):
            return error
        return NotAProfile(f"not a profile: the body starts with {quote(self._begin or bytes(self._rest))}")


def number_in(message: bytes, field: int) -> int:
    """Return the number in a field of `message`, 0 if it is missing."""
    return next((as_number(value) for number, value in fields(message) if number == field), 0)


def _id_and_address(location: bytes) -> tuple[int, int]:
    """Return id and address of a location. Go writes both before the calls, which are then not decoded."""
    location_id = address = 0
    for number, value in fields(location):
        if number == 1:
            location_id = as_number(value)
        elif number == 3:
            address = as_number(value)
        if location_id and address:
            break
    return location_id, address


def _check_id(kind: str, number: int, others: Container[int]) -> None:
    if not number or number in others:
        raise MalformedProfile(f"{kind} {number} occurs twice" if number else f"a {kind} has no id")
