"""Parses google/pprof's profile.proto, gzipped or not: `/debug/pprof/goroutine?debug=0` and saved profiles.

Field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto. The result equals
that of text.py: functions that text hides (runtime frames at the leaf, runtime.goexit) are hidden here too. But
the function that parks the goroutine is known here, and it determines the wait reason.

Functions, files and lines are most of a body and rarely change. So they are decoded only for stacks that are not
cached. The cache key is the addresses, which mean the same in all bodies of one binary at one place in memory.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile
from leakwatch.model import Frame, Process, Profile, Trace
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.limits import MAX_DEPTH, MAX_GOROUTINES, MAX_GROUP, MAX_LABELS, MAX_TEXT
from leakwatch.profile.parts import Parts
from leakwatch.profile.text import UNKNOWN, Group, first_visible
from leakwatch.profile.wire import as_bytes, as_number, fields, packed

GOEXIT: Final = "runtime.goexit"
MAX_CALLS: Final = 128
DEPTH_LIMITS: Final = {32, MAX_CALLS}
"""Depths at which Go truncates stacks, before 1.23 and since. A truncated stack has no other mark."""
STEP: Final = 20_000
"""Location ids per step. A sample counts as 20 more, a label as 20, a stack that is not cached as a whole step."""
BATCH: Final = 20
"""Groups that a step yields. Identifying one with 128 calls takes 0.4 ms."""
RUN: Final = 10_000
"""Groups that are sorted at once, in 4 ms."""

Labels = tuple[tuple[str, str], ...]


class Parser:
    """Parses one body, in pieces of any size. `close` returns all groups.

    `size_limit`: bytes after decompression; `service`: bodies of one service share cached traces; `profile`: the
    type of the samples; `is_difference`: whether counts may be negative.
    """

    def __init__(
        self,
        cache: ParseCache | None = None,
        size_limit: int = 1 << 30,
        service: str = "",
        *,
        profile: str = "goroutine",
        is_difference: bool = False,
    ) -> None:
        self.total = 0
        """The sum of all counts. Valid after `close`."""
        self._cache = cache or ParseCache()
        self._service = service
        self._profile = profile
        self._is_difference = is_difference
        self._parts = Parts(size_limit)
        self._calls: dict[int, list[Frame]] = {}
        """Id of a location -> its calls."""

    def feed(self, data: bytes) -> list[Group]:
        """Parse the next piece; return no groups yet. Raises ScrapeError."""
        return [group for groups in self.feed_steps(data) for group in groups]

    def feed_steps(self, data: bytes) -> Iterator[list[Group]]:
        """Parse the next piece in small steps, which have no groups yet. Raises ScrapeError."""
        for _ in self._parts.feed_steps(data):
            yield []

    def close_steps(self) -> Iterator[list[Group]]:
        """Yield all groups, the largest first, in small steps; raises ProfileError if the body is incomplete."""
        parts, traces = self._parts, self._cache.traces
        parts.check_end()
        if parts.sample_types != [self._profile]:
            types = ", ".join(parts.sample_types) or "missing"
            raise NotAProfile(f"not a {self._profile} profile: its samples are {types}")
        binary = parts.binary(self._service)
        runs: list[list[Group]] = [[]]
        deepest = work = 0
        for i, sample in enumerate(parts.samples, 1):
            ids, count, labels = self._sample(sample, i)
            addresses = self._addresses(ids, i)
            key = hash((binary, labels, *addresses))
            trace = traces.get(key) if binary else None
            work += 20 + len(ids) + 20 * len(labels)
            if trace is None:
                work = STEP
                if not parts.functions:
                    for _ in parts.read_functions():
                        yield []
                repeated = binary is not None and traces.admits(key)
                trace = self._trace(ids, labels, i, repeated=repeated)
                if repeated:
                    traces.put(key, trace, 1 + len(trace.counters) // 1024)
            deepest = max(deepest, trace.counters.count(b" "))
            self.total += count
            runs[-1].append((trace, count))
            if work >= STEP:
                work = 0
                yield []
            if len(runs[-1]) == RUN:
                runs.append([])
        yield from self._sorted(runs, deepest)

    def close(self) -> list[Group]:
        """Return all groups, the largest first; raises ProfileError if the body is incomplete."""
        return [group for groups in self.close_steps() for group in groups]

    @property
    def process(self) -> Process:
        """The process that wrote the body; raises ProfileError."""
        self._parts.check_end()
        return self._parts.process

    def _sample(self, data: bytes, index: int) -> tuple[list[int], int, Labels]:
        """Return the location ids of a sample, leaf first, its count and its labels."""
        ids: list[int] = []
        values: list[int] = []
        labels: list[tuple[int, int]] = []
        for number, value in fields(data):
            if number in {1, 2}:
                (ids, values)[number - 1].extend(packed(value, MAX_DEPTH))
            elif number == 3:
                label = dict(fields(as_bytes(value)))
                labels.append((as_number(label.get(1, 0)), as_number(label.get(2, 0))))
            if len(ids) > MAX_DEPTH or len(values) > 1 or len(labels) > MAX_LABELS:
                break
        if len(ids) > MAX_DEPTH or len(labels) > MAX_LABELS:
            raise _malformed(index, f"expected at most {MAX_DEPTH} locations and {MAX_LABELS} labels")
        if self._is_difference:
            values = [value - (value >> 63 << 64) for value in values]
        least = 1 - MAX_GOROUTINES if self._is_difference else 0
        if len(values) != 1 or not least <= values[0] < MAX_GOROUTINES:
            raise _malformed(index, f"expected one count below {MAX_GOROUTINES}, found {values[:3]}")
        text, size = self._parts.text, self._parts.size
        if sum(size(key) + size(value) for key, value in labels) > MAX_TEXT:
            raise _malformed(index, f"expected at most {MAX_TEXT} bytes of labels")
        return ids, values[0], tuple(sorted((text(key), text(value)) for key, value in labels))

    def _addresses(self, ids: Iterable[int], index: int) -> list[int]:
        """Return the addresses of the locations of a sample."""
        locations = self._parts.locations
        try:
            return [locations[location_id][0] for location_id in ids]
        except KeyError as error:
            raise _malformed(index, f"location {error} is missing") from error

    def _trace(self, ids: Iterable[int], labels: Labels, index: int, *, repeated: bool) -> Trace:
        """Return the trace of the locations of a sample."""
        frames: list[Frame] = []
        addresses: list[int] = []
        size = 0
        for location_id in ids:
            address, message = self._parts.locations[location_id]
            calls = self._calls.get(location_id)
            if calls is None:
                calls = self._calls[location_id] = self._read_calls(message, keep=repeated)
            frames += calls
            addresses += [address] * len(calls)  # Go counts inlined calls, too, when it truncates
            size += sum(len(frame.function) + len(frame.file) for frame in calls)
            if len(frames) >= MAX_CALLS or size > MAX_GROUP:
                break
        if size > MAX_GROUP:
            raise _malformed(index, f"expected at most {MAX_GROUP} bytes of functions and files")
        # Go adds the callers into which the last call was inlined; text omits them.
        del frames[MAX_CALLS:], addresses[MAX_CALLS:]
        frames = [frame for frame in frames if frame.function != GOEXIT]
        leaf = first_visible(frames)
        parked = frames[leaf - 1].function if leaf else ""
        counters = b"".join(b" %#x" % (address + 1) for address in addresses)
        return Trace(tuple(frames[leaf:]), counters, labels=labels, parked=parked, repeated=repeated)

    def _read_calls(self, location: bytes, *, keep: bool) -> list[Frame]:
        """Return the calls of a location, the innermost first, UNKNOWN if it has none."""
        calls = [self._call(as_bytes(value)) for number, value in fields(location) if number == 4]
        size = self._parts.size
        if sum(size(name) + size(file) for name, file, _ in calls) > MAX_GROUP:
            raise MalformedProfile(f"a location has more than {MAX_GROUP} bytes of functions and files")
        return [self._frame(*call, keep=keep) for call in calls] or [UNKNOWN]

    def _call(self, message: bytes) -> tuple[int, int, int]:
        """Return the strings with function and file of a call, 0 if unknown, and its line."""
        call, functions = dict(fields(message)), self._parts.functions
        function_id, line = as_number(call.get(1, 0)), as_number(call.get(2, 0))
        if function_id and function_id not in functions:
            raise MalformedProfile(f"function {function_id} is missing")
        return (*functions.get(function_id, (0, 0)), line)

    def _frame(self, name: int, file: int, line: int, *, keep: bool) -> Frame:
        if not name:
            return UNKNOWN
        frame = Frame(_shown(self._parts.text(name)), self._parts.text(file), line)
        shared = self._cache.frames.get(frame)
        if shared is None and keep:
            self._cache.frames.put(frame, frame, 1 + (len(frame.function) + len(frame.file)) // 1024)
        return shared or frame

    def _sorted(self, runs: list[list[Group]], deepest: int) -> Iterator[list[Group]]:
        """Yield the groups of all runs, the largest first. The traces with the depth limit are truncated."""
        for run in runs:
            run.sort(key=_largest_first)
            yield []
        truncates = deepest in DEPTH_LIMITS
        groups = heapq.merge(*runs, key=_largest_first) if len(runs) > 1 else iter(runs[0])
        while batch := list(islice(groups, BATCH)):
            if truncates:
                batch = [
                    (self._truncated(trace) if trace.counters.count(b" ") == deepest else trace, count)
                    for trace, count in batch
                ]
            yield batch

    def _truncated(self, trace: Trace) -> Trace:
        truncated = self._cache.truncated.get(trace)
        if truncated is None:
            truncated = replace(trace, truncated=True)
            if trace.repeated:
                self._cache.truncated.put(trace, truncated)
        return truncated


def parse(
    body: bytes,
    size_limit: int = 1 << 30,
    cache: ParseCache | None = None,
    *,
    profile: str = "goroutine",
    is_difference: bool = False,
) -> Profile:
    """Return the goroutine profile in `body`; `size_limit`: bytes after decompression. Raises ScrapeError.

    `profile`: the type of the samples; `is_difference`: whether counts may be negative.
    """
    parser = Parser(cache, size_limit, profile=profile, is_difference=is_difference)
    parser.feed(body)
    groups = parser.close()
    return Profile(parser.total, tuple(groups))


def facts(body: bytes, size_limit: int = 1 << 30) -> tuple[list[str], bool, float | None]:
    """Return the types of the samples in `body`, whether a count is negative, and the time; raises ScrapeError.

    The time is in unix seconds, None if the body does not have it.
    """
    parts = Parts(size_limit)
    for _ in parts.feed_steps(body):
        pass
    parts.check_end()
    return parts.sample_types, any(map(_is_negative, parts.samples)), parts.time


def _is_negative(sample: bytes) -> bool:
    values = [value for number, value in fields(sample) if number == 2]
    return any(count >> 63 for value in values for count in packed(value, MAX_DEPTH))


def _malformed(sample: int, problem: str) -> MalformedProfile:
    return MalformedProfile(f"sample {sample}: {problem}")


def _largest_first(group: Group) -> int:
    return -group[1]


def _shown(function: str) -> str:
    """Return `function` as text shows it: generic arguments are [...], from the first bracket to the last."""
    begin, end = function.find("["), function.rfind("]")
    return f"{function[:begin]}[...]{function[end + 1 :]}" if 0 <= begin < end else function
