"""Reads google/pprof's profile.proto, gzipped or not: `/debug/pprof/goroutine?debug=0` and saved profiles.

Field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto. A profile that was read
here and one read by text.py say the same: what text hides (runtime frames at the leaf, runtime.goexit) is hidden
here too, but the function that parks the goroutine is remembered, because it tells the wait reason.

Functions, files and lines make most of a body and hardly ever change, so they are decoded only for stacks that are
not remembered: by their addresses, which mean the same in every body of one binary at one place in memory.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile, ScrapeError, TruncatedProfile, quote
from leakwatch.model import Frame, Process, Profile, Trace
from leakwatch.profile.cache import GenerationCache
from leakwatch.profile.text import PIECE, UNKNOWN, Group
from leakwatch.profile.wire import Value, as_bytes, as_number, fields, packed, whole_fields

GZIP: Final = b"\x1f\x8b"
HIDDEN: Final = ("runtime.", "internal/runtime/")
GENERIC: Final = re.compile(r"\[.*\]")
END: Final = "runtime.goexit"
MOST_CALLS: Final = 128
LIMITS: Final = {32, MOST_CALLS}
"""How many calls Go keeps of a stack, before 1.23 and since; here it leaves no other mark of what it cut."""
STEP: Final = 500
"""Groups made between two turns of others."""
MOST_PARTS: Final = 1_000_000
"""Samples, locations, functions, strings: a small bomb may hold many that are empty."""
KINDS, SAMPLES, MAPPINGS, LOCATIONS, FUNCTIONS, STRINGS = range(1, 7)

Labels = tuple[tuple[str, str], ...]


class ProtoCache:
    """What parsers remember from body to body; one for all parsers of a program."""

    __slots__ = ("cut", "frames", "traces")

    def __init__(self, size: int = 100_000) -> None:
        self.traces: GenerationCache[int, Trace] = GenerationCache(size)
        self.cut: GenerationCache[Trace, Trace] = GenerationCache(size)
        """A trace -> the same, cut by Go."""
        self.frames: GenerationCache[Frame, Frame] = GenerationCache(size)


class Parser:
    """Reads one body in pieces of any size; all groups come when it is closed.

    `size_limit`: bytes decompressed; `whose`: those who share it believe each other what lies at an address.
    """

    def __init__(self, memory: ProtoCache | None = None, size_limit: int = 1 << 30, whose: str = "") -> None:
        self._memory = memory or ProtoCache()
        self._size_limit = size_limit
        self._whose = whose
        self._kept = 0
        self._size = 0
        self._begun = False
        self._unzip: zlib._Decompress | None = None
        self._begin = b""
        self._rest = bytearray()
        self._parts: dict[int, list[bytes]] = {number: [] for number in range(1, 7)}
        self._groups: list[Group] | None = None
        self._functions: dict[int, tuple[int, int]] | None = None

    def feed(self, data: bytes) -> list[Group]:
        """Take in the next piece; raises ScrapeError."""
        if not self._begun:
            self._rest += data
            if len(self._rest) < len(GZIP):
                return []
            data, self._rest, self._begun = bytes(self._rest), bytearray(), True
            self._unzip = zlib.decompressobj(wbits=31) if data.startswith(GZIP) else None
        if self._unzip is None:
            self._take(data)
            return []
        try:
            while data and not self._unzip.eof:  # a bomb goes off in slices
                self._take(self._unzip.decompress(data, PIECE))
                data = self._unzip.unconsumed_tail
        except zlib.error as error:
            raise MalformedProfile(f"bad gzip: {error}") from error
        return []

    def steps(self) -> Iterator[None]:
        """Do the work of `close` in small steps; raises ProfileError."""
        self._check_end()
        kinds = [self._text(_one(kind, 1)) for kind in self._parts[KINDS]]
        if kinds != ["goroutine"]:
            raise NotAProfile(f"not a goroutine profile but one of {', '.join(kinds) or 'nothing'}")
        binary, addresses = self._binary(), dict(map(_located, self._parts[LOCATIONS]))
        lines: dict[int, bytes] = {}
        groups: list[Group] = []
        for i, sample in enumerate(self._parts[SAMPLES], 1):
            places, count, labels = self._sample(sample)
            at = [addresses.get(place, 0) for place in places]
            key = hash((binary, labels, *at))
            trace = self._memory.traces.get(key) if binary else None
            if trace is None:
                lines = lines or {_one(data, 1): data for data in self._parts[LOCATIONS]}
                trace = self._trace(zip(at, map(lines.get, places), strict=True), labels)
                self._memory.traces.put(key, trace)
            groups.append((trace, count))
            if i % STEP == 0:
                yield
        self._groups = sorted(self._cut(groups), key=lambda group: -group[1])

    def close(self) -> list[Group]:
        """Return all groups, the largest first; raises ProfileError if the body is not whole."""
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
        """Which process wrote the body; raises ProfileError.

        The kernel puts the [vdso] elsewhere at each start; Go 1.24 and newer name the build.
        """
        self._check_end()
        start, build = "", ""
        for mapping in self._parts[MAPPINGS]:
            known = dict(fields(mapping))
            if self._text(as_number(known.get(5, 0))) == "[vdso]":
                start = hex(as_number(known.get(2, 0)))
            elif not build:
                build = self._text(as_number(known.get(6, 0)))
        return Process(start, build)

    def _binary(self) -> tuple[str, str, int] | None:
        """Return what tells apart where addresses mean something else, None if that cannot be known."""
        process = self.process
        known = process.build or process.start
        return (self._whose, known, _one(self._parts[MAPPINGS][0], 2)) if known else None

    def _take(self, data: bytes) -> None:
        """Take in what is decompressed, and keep the parts that are whole."""
        self._begin = self._begin or data[:100]
        self._size += len(data)
        if self._size > self._size_limit:
            raise ScrapeError(
                "too_large",
                f"the body is larger than {self._size_limit} bytes, decompressed (body_size_limit)",
            )
        self._rest += data
        try:
            taken = whole_fields(self._rest, self._keep)
        except MalformedProfile as error:
            raise self._none_or(error) from error
        del self._rest[:taken]

    def _keep(self, number: int, value: Value) -> None:
        self._kept += 1
        if self._kept > MOST_PARTS:
            raise ScrapeError("too_large", f"the body has more than {MOST_PARTS} parts")
        if number in self._parts:
            self._parts[number].append(as_bytes(value))

    def _check_end(self) -> None:
        """Raise ProfileError if the body cannot be over."""
        if not self._begin and not self._rest:
            raise NotAProfile("not a goroutine profile: the body is empty")
        if self._unzip is not None and not self._unzip.eof:
            raise TruncatedProfile(f"gzip ends early, after {self._size} bytes")
        if self._rest:
            raise self._none_or(TruncatedProfile(f"the last field ends after {len(self._rest)} bytes of it"))
        if not self._parts[STRINGS]:
            raise self._none_or(MalformedProfile("no strings"))

    def _none_or(self, error: MalformedProfile | TruncatedProfile) -> ScrapeError:
        """Return `error`, or that there is no profile at all."""
        if self._parts[SAMPLES] or self._parts[STRINGS]:
            return error
        return NotAProfile(f"not a profile: the body starts with {quote(self._begin or bytes(self._rest))}")

    def _sample(self, data: bytes) -> tuple[list[int], int, Labels]:
        """Return the places of a sample, leaf first, its count and its labels."""
        places: list[int] = []
        values: list[int] = []
        labels = []
        for number, value in fields(data):
            if number in {1, 2}:
                (places, values)[number - 1].extend(packed(value))
            elif number == 3:
                known = dict(fields(as_bytes(value)))
                key, text = as_number(known.get(1, 0)), as_number(known.get(2, 0))
                labels.append((self._text(key), self._text(text)))
        if len(values) != 1 or not 0 <= values[0] < 10**18:
            raise MalformedProfile(f"a sample has {values} where one count is expected")
        return places, values[0], tuple(sorted(labels))

    def _trace(self, places: Iterable[tuple[int, bytes | None]], labels: Labels) -> Trace:
        """Return the stack of `places`: address and message of each location."""
        frames: list[Frame] = []
        addresses = []
        for address, location in places:
            calls = [as_bytes(value) for number, value in fields(location or b"") if number == 4]
            frames += [self._frame(call) for call in calls] or [UNKNOWN]
            addresses += [address] * max(len(calls), 1)  # inlined calls count towards the limit too
        # Of the last call that is kept, Go adds what it was inlined into; text does not.
        del frames[MOST_CALLS:], addresses[MOST_CALLS:]
        frames = [frame for frame in frames if frame.function != END]
        shown = next((i for i, frame in enumerate(frames) if not frame.function.startswith(HIDDEN)), 0)
        parked = frames[shown - 1].function if shown else ""
        counters = b"".join(b" %#x" % (address + 1) for address in addresses)
        return Trace(tuple(frames[shown:]), counters, labels, parked=parked)

    def _frame(self, line: bytes) -> Frame:
        call = dict(fields(line))
        if self._functions is None:
            known = (dict(fields(function)) for function in self._parts[FUNCTIONS])
            self._functions = {
                as_number(one.get(1, 0)): (as_number(one.get(2, 0)), as_number(one.get(4, 0))) for one in known
            }
        name, file = self._functions.get(as_number(call.get(1, 0)), (0, 0))
        if not name:
            return UNKNOWN
        # Text shows generic arguments as [...], from the first bracket to the last.
        frame = Frame(GENERIC.sub("[...]", self._text(name)), self._text(file), as_number(call.get(2, 0)))
        shared = self._memory.frames.get(frame)
        if shared is None:
            self._memory.frames.put(frame, frame)
        return shared or frame

    def _cut(self, groups: list[Group]) -> list[Group]:
        """Return `groups`, those as deep as Go allows marked as cut."""
        depths = [trace.counters.count(b" ") for trace, _ in groups]
        deepest = max(depths, default=0)
        if deepest not in LIMITS:
            return groups
        return [
            (self._as_cut(trace) if depth == deepest else trace, count)
            for (trace, count), depth in zip(groups, depths, strict=True)
        ]

    def _as_cut(self, trace: Trace) -> Trace:
        cut = self._memory.cut.get(trace)
        if cut is None:
            cut = replace(trace, truncated=True)
            self._memory.cut.put(trace, cut)
        return cut

    def _text(self, at: int) -> str:
        strings = self._parts[STRINGS]
        if not 0 <= at < len(strings):
            raise MalformedProfile(f"string {at} of {len(strings)} is asked for")
        return strings[at].decode("utf-8", "backslashreplace")


def parse(body: bytes, size_limit: int = 1 << 30, memory: ProtoCache | None = None) -> Profile:
    """Return the goroutine profile in `body`; raises ScrapeError. `size_limit`: bytes decompressed."""
    parser = Parser(memory, size_limit)
    parser.feed(body)
    groups = parser.close()
    return Profile(parser.total, tuple(groups))


def process(body: bytes, size_limit: int = 1 << 24) -> Process:
    """Return which process wrote `body`, a profile of any kind; raises ScrapeError."""
    parser = Parser(size_limit=size_limit)
    parser.feed(body)
    return parser.process


def _one(message: bytes, wanted: int) -> int:
    """Return the number in a field of `message`, 0 where there is none."""
    return next((as_number(value) for number, value in fields(message) if number == wanted), 0)


def _located(location: bytes) -> tuple[int, int]:
    """Return id and address; both come before the calls, which are left alone."""
    key = address = 0
    for number, value in fields(location):
        if number == 1:
            key = as_number(value)
        elif number == 3:
            address = as_number(value)
            break
    return key, address
