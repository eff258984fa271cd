"""Parses the text of `/debug/pprof/goroutine?debug=1`, identical from Go 1.19 to 1.27.

    goroutine profile: total 183                        header; the sum of all counts equals it
    12 @ 0x48bdaa 0x41816e 0x723c69                     group: count, raw program counters, leaf first
    # labels: {"k":"v"}                                 optional; Go's %q quoting, which is not JSON
    #       0x723c68  main.deep+0x28  /src/main.go:139  frame; tabs between the cells; address = counter - 1
                                                        a blank line ends each group

Runtime frames at the leaf and runtime.goexit at the root have a counter but no line. Between two scrapes, the text
of a group rarely changes except for its count, so the text after the count is cached as a Trace.
"""

import re
from collections.abc import Iterator, Sequence

from leakwatch.errors import QUOTE_LIMIT, MalformedProfile, NotAProfile, TruncatedProfile, quote
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.limits import MAX_DEPTH, MAX_GOROUTINES, MAX_GROUP, MAX_LABELS, MAX_STACKS, MAX_TEXT
from leakwatch.profile.quoting import decode, unquote

Group = tuple[Trace, int]

HEADER = re.compile(rb"(\S+) profile: total (\d{1,18})")
HEADER_LIMIT = 256
COUNT = re.compile(rb"\d{1,12}")
"""A number of goroutines below MAX_GOROUTINES."""
NUMBER = re.compile(rb"\d{1,18}")
"""Other numbers, which must fit into 64 bits."""

STEP = 16_384
"""Bytes between two steps. Groups that are not cached take up to 0.7 us per byte, so a step takes up to 11 ms."""

PIECE_SIZE = 131_072
COUNTERS = re.compile(rb"(?: 0x[0-9a-f]{1,16})*+")
ADDRESS = re.compile(rb"0x[0-9a-f]{1,16}")
LABELS = b"# labels: {"
LABEL = re.compile(rb'"((?:[^"\\]++|\\.)*+)":"((?:[^"\\]++|\\.)*+)"(?:, |\}$)')

UNKNOWN = Frame("?")
"""The frame of a program counter without a function."""

HIDDEN_PREFIXES = ("runtime.", "internal/runtime/")
"""Prefixes of functions that Go's text does not show at the leaf."""


class Parser:
    """Parses one body of the profile named `profile`, in pieces of any size."""

    __slots__ = ("_cache", "_frames", "_line", "_pieces", "_profile", "_size", "_sum", "total")

    def __init__(self, cache: ParseCache | None = None, profile: bytes = b"goroutine") -> None:
        self.total: int | None = None
        """The total in the header, None until the header was parsed."""
        self._profile = profile
        self._cache = cache or ParseCache()
        self._frames: dict[bytes, Frame] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        """Bytes of `_pieces`."""
        self._line = 1
        self._sum = 0

    def feed(self, data: bytes) -> list[Group]:
        """Return the groups that `data` completes; raises NotAProfile and MalformedProfile."""
        return [group for groups in self.feed_steps(data) for group in groups]

    def feed_steps(self, data: bytes) -> Iterator[list[Group]]:
        """Yield the groups that `data` completes, in small steps; raises NotAProfile and MalformedProfile."""
        for start in range(0, len(data), STEP):
            yield self._feed(data[start : start + STEP])
            if self._size > MAX_GROUP:
                found = b"".join(self._pieces)[:QUOTE_LIMIT]
                raise self._malformed(f"expected at most {MAX_GROUP} bytes in a group", found, self._line)

    def _feed(self, data: bytes) -> list[Group]:
        pieces = self._pieces
        complete = b"\n\n" in data or (data[:1] == b"\n" and bool(pieces) and pieces[-1][-1:] == b"\n")
        pieces.append(data)
        self._size += len(data)
        if self.total is None:
            self._read_header()
        elif not complete:  # joining each piece would take quadratic time for a long line
            return []
        if self.total is None:
            return []
        text, end, rest = b"".join(self._pieces).rpartition(b"\n\n")
        self._keep(rest)
        return self._groups(text) if end else []

    def _keep(self, rest: bytes) -> None:
        """Keep the text of an incomplete group."""
        self._pieces, self._size = [rest] if rest else [], len(rest)

    def close_steps(self) -> Iterator[list[Group]]:
        """Check that the body is complete, and yield no groups; raises NotAProfile and TruncatedProfile."""
        yield self.close()

    def close(self) -> list[Group]:
        """Check that the body is complete, and return []; raises NotAProfile and TruncatedProfile."""
        rest = b"".join(self._pieces)
        if self.total is None:
            problem = f"starts with {quote(rest)}" if rest else "is empty"
            raise NotAProfile(f"not a {self._profile.decode()} profile: the body {problem}")
        if rest.strip():
            raise TruncatedProfile(f"line {self._line}: the body ends within a group: {quote(rest[-100:])}")
        if self._sum != self.total:
            raise TruncatedProfile(
                f"line 1: total {self.total}, but the counts of the groups add up to {self._sum}"
            )
        return []

    def _read_header(self) -> None:
        text = b"".join(self._pieces)
        header, end, rest = text.partition(b"\n")
        if not end and len(text) < HEADER_LIMIT and (self._profile + b" profile: total").startswith(text[:24]):
            self._keep(text)
            return
        match = HEADER.fullmatch(header)
        if match is None or not end:
            raise NotAProfile(f"not a {self._profile.decode()} profile: the body starts with {quote(header)}")
        if match[1] != self._profile:
            raise NotAProfile(f"not a {self._profile.decode()} profile but a {quote(match[1])} profile")
        self.total = int(match[2])
        self._keep(rest)
        if self.total >= MAX_GOROUTINES:
            raise self._malformed(f"expected a total below {MAX_GOROUTINES}", header, 1)
        self._line = 2

    def _groups(self, text: bytes) -> list[Group]:
        """Return the groups of `text`, which ends at the end of a group."""
        groups = self._cached_groups(text)
        if groups is None:
            return self._parsed_groups(text)
        self._sum += sum(count for _, count in groups)
        self._line += text.count(b"\n") + 2
        return groups

    def _cached_groups(self, text: bytes) -> list[Group] | None:
        """Return the groups of `text` if all are cached, as in most bodies, else None.

        Splitting at the long " @ 0x" is much faster than at the short blank line. So each piece ends with the
        count of the next group. If a piece does not, a label contains " @ 0x", and the result is None.
        """
        newer, get = self._cache.traces.newer.get, self._cache.traces.get
        groups: list[Group] = []
        pieces = text.split(b" @ 0x")
        if len(pieces) == 1:
            return None if text.strip() else []
        count = pieces[0]
        pieces[-1] += b"\n\n0"
        for piece in pieces[1:]:
            rest, end, following = piece.rpartition(b"\n\n")
            key = hash(rest)
            trace = newer(key) or get(key)
            if trace is None or not end or not COUNT.fullmatch(count):
                return None
            groups.append((trace, int(count)))
            count = following
        return groups

    def _parsed_groups(self, text: bytes) -> list[Group]:
        """Parse the groups of `text` line by line, and cache them; raises MalformedProfile."""
        traces = self._cache.traces
        groups: list[Group] = []
        for block in text.split(b"\n\n"):
            count, mark, rest = block.partition(b" @")
            if not mark or not COUNT.fullmatch(count):
                raise self._malformed("expected `count @ counters`", block.partition(b"\n")[0], self._line)
            key = hash(rest.removeprefix(b" 0x"))
            trace = traces.newer.get(key) or traces.get(key)
            if trace is None:
                repeated = traces.admits(key)
                trace = self._trace(rest, repeated=repeated)
                if repeated:
                    traces.put(key, trace, 1 + len(rest) // 1024)
            goroutines = int(count)
            self._sum += goroutines
            groups.append((trace, goroutines))
            self._line += block.count(b"\n") + 2
        return groups

    def _trace(self, text: bytes, *, repeated: bool) -> Trace:
        if text.count(b"\n") > MAX_DEPTH:
            raise self._malformed(f"expected at most {MAX_DEPTH} lines in a group", text, self._line)
        lines = text.split(b"\n")
        counters = lines[0]
        if counters.count(b" ") > MAX_DEPTH:
            raise self._malformed(f"expected at most {MAX_DEPTH} program counters", counters, self._line)
        if COUNTERS.fullmatch(counters) is None:
            raise self._malformed("expected program counters", counters, self._line)
        first = 1
        labels: tuple[tuple[str, str], ...] = ()
        if len(lines) > 1 and lines[1].startswith(LABELS):
            labels = self._labels(lines[1])
            first = 2
        cached = self._frames
        frames = tuple(
            cached.get(line) or self._frame(line, number, keep=repeated)
            for number, line in enumerate(lines[first:], self._line + first)
        )
        parked_at = _parked_at(counters, lines[first]) if frames else 0
        parked = self._cache.symbols.get(parked_at, "")
        return Trace(
            frames,
            counters,
            labels=labels,
            truncated=bool(frames) and _is_truncated(counters, lines[-1]),
            parked=parked,
            parked_at=0 if parked else parked_at,
            repeated=repeated,
        )

    def _frame(self, line: bytes, number: int, *, keep: bool) -> Frame:
        self._check_length(line, number)
        cells = [cell for cell in line.split(b"\t") if cell]
        if not 2 <= len(cells) <= 4 or cells[0] != b"#" or ADDRESS.fullmatch(cells[1]) is None:
            raise self._malformed("expected a frame", line, number)
        if len(cells) == 2:
            frame = UNKNOWN
        else:
            function, plus, _ = cells[2].rpartition(b"+0x")
            if len(cells) == 3 or not plus:
                raise self._malformed("expected function+0xoffset and file:line", line, number)
            frame = self._named(function, cells[3], line, number, keep=keep)
        if len(self._frames) >= MAX_STACKS:
            self._frames.clear()
        self._frames[line] = frame
        return frame

    def _named(self, function: bytes, place: bytes, line: bytes, number: int, *, keep: bool) -> Frame:
        frames = self._cache.frames
        if (frame := frames.get((function, place))) is None:
            file, colon, file_line = place.rpartition(b":")  # Windows paths contain another colon
            if not colon or not NUMBER.fullmatch(file_line):
                raise self._malformed("expected file:line", line, number)
            frame = Frame(decode(function), decode(file), int(file_line))
            if keep:
                frames.put((function, place), frame, 1 + len(line) // 1024)
        return frame

    def _labels(self, line: bytes) -> tuple[tuple[str, str], ...]:
        self._check_length(line, self._line + 1)
        pairs: list[tuple[str, str]] = []
        end = len(LABELS)
        while match := LABEL.match(line, end):
            if len(pairs) >= MAX_LABELS:
                raise self._malformed(f"expected at most {MAX_LABELS} labels", line, self._line + 1)
            pairs.append((unquote(match[1]), unquote(match[2])))
            end = match.end()
        if end != len(line) and line[end:] != b"}":  # Go prints also an empty set
            raise self._malformed("expected labels", line, self._line + 1)
        return tuple(pairs)

    def _check_length(self, line: bytes, number: int) -> None:
        if len(line) > MAX_TEXT:
            raise self._malformed(f"expected at most {MAX_TEXT} bytes in a line", line, number)

    def _malformed(self, expected: str, line: bytes, number: int) -> MalformedProfile:
        return MalformedProfile(f"line {number}: {expected}, found {quote(line)}")


def parse(body: bytes, cache: ParseCache | None = None, profile: bytes = b"goroutine") -> Profile:
    """Return the profile in `body`, which is named `profile`; raises ProfileError."""
    parser = Parser(cache, profile)
    groups: list[Group] = []
    for start in range(0, len(body), PIECE_SIZE):  # pieces that fit the processor's cache are parsed faster
        groups += parser.feed(body[start : start + PIECE_SIZE])
    parser.close()
    return Profile(parser.total or 0, tuple(groups))


def first_visible(frames: Sequence[Frame]) -> int:
    """Return the index of the first frame that Go's text shows, 0 if all are hidden."""
    return next((i for i, frame in enumerate(frames) if not frame.function.startswith(HIDDEN_PREFIXES)), 0)


def _is_truncated(counters: bytes, last_frame: bytes) -> bool:
    """Return whether the root is missing. A complete trace ends with the counter of the hidden runtime.goexit."""
    return _address(last_frame) == int(counters.rpartition(b" ")[2] or b"0", 16) - 1


def _parked_at(counters: bytes, first_frame: bytes) -> int:
    """Return the address of the hidden frame below the first visible one, 0 if no frame is hidden."""
    hidden, visible, _ = (counters + b" ").partition(b" %#x " % (_address(first_frame) + 1))
    return int(hidden.rpartition(b" ")[2], 16) - 1 if hidden and visible else 0


def _address(frame: bytes) -> int:
    return int(next(cell for cell in frame.split(b"\t")[1:] if cell), 16)
