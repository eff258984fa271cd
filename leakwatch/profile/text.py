"""Parses the text of `/debug/pprof/goroutine?debug=1`, identical from Go 1.19 to 1.27.

    goroutine profile: total 183                        header; the sum of all counts equals it
    12 @ 0x48bdaa 0x41816e 0x723c69                     group: count, raw program counters, leaf first
    # labels: {"k":"v"}                                 optional; Go's %q quoting, which is not JSON
    #       0x723c68  main.deep+0x28  /src/main.go:139  frame; tabs between the cells; address = counter - 1
                                                        a blank line ends each group

Runtime frames at the leaf and runtime.goexit at the root have a counter but no line. This file may look at
bytes only: no clock, no socket. A group's text hardly ever changes from scrape to scrape, apart from its
count, so what follows the count is remembered as a Trace.
"""

import re
from collections.abc import Iterator, Mapping

from leakwatch.errors import QUOTE_LIMIT, MalformedProfile, NotAProfile, TruncatedProfile, quote
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile.cache import GenerationCache

Group = tuple[Trace, int]

HEADER = re.compile(rb"(\S+) profile: total (\d{1,18})")
HEADER_LIMIT = 256
LINES_LIMIT = 10_000
"""Of one group; Go prints at most 128 counters, each with a few lines where calls were inlined."""

DIGITS = 18
NUMBER = re.compile(rb"\d{1,%d}" % DIGITS)
"""More than that is no count and no line number, and would not fit the numbers they become."""

PIECE = 131_072
MAX_CODE = 0x10FFFF
COUNTERS = re.compile(rb"(?: 0x[0-9a-f]+)*")
ADDRESS = re.compile(rb"0x[0-9a-f]+")
LABELS = b"# labels: {"
LABEL = re.compile(rb'"((?:[^"\\]|\\.)*)":"((?:[^"\\]|\\.)*)"(?:, |\}$)')
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))")
ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}

PASTED_FRAME = re.compile(
    rb"^#[ \t]+(0x[0-9a-f]+)(?:[ \t]+(\S+\+0x[0-9a-f]+)[ \t]+(\S.*?:\d+))?[ \t]*$", re.MULTILINE
)

UNKNOWN = Frame("?")
"""The frame of a counter that Go could not name."""


class TextCache:
    """What parsers remember from body to body; one for all parsers of a program.

    Traces are keyed by the hash of their text and not by the text itself, which would be most of the memory of
    a fleet; Python's hash of bytes is keyed with a secret, so a collision is no more than a cosmic accident.
    `symbols`: address -> function, where that is known of the one program whose bodies are parsed.
    """

    __slots__ = ("frames", "symbols", "traces")

    def __init__(self, size: int = 100_000, symbols: Mapping[int, str] | None = None) -> None:
        self.symbols = symbols or {}
        self.traces: GenerationCache[int, Trace] = GenerationCache(size)
        self.frames: GenerationCache[tuple[bytes, bytes], Frame] = GenerationCache(size)


class Parser:
    """Reads one body of a `profile` in pieces of any size and gives each group when it is complete."""

    __slots__ = ("_frames", "_line", "_memory", "_pieces", "_profile", "_sum", "total")

    def __init__(self, memory: TextCache | None = None, profile: bytes = b"goroutine") -> None:
        self.total: int | None = None
        """What the header says, None before it was read."""
        self._profile = profile
        self._memory = memory or TextCache()
        self._frames: dict[bytes, Frame] = {}
        self._pieces: list[bytes] = []
        self._line = 1
        self._sum = 0

    def feed(self, data: bytes) -> list[Group]:
        """Return the groups that `data` completes; raises NotAProfile and MalformedProfile."""
        pieces = self._pieces
        complete = b"\n\n" in data or (data[:1] == b"\n" and bool(pieces) and pieces[-1][-1:] == b"\n")
        if data:
            pieces.append(data)
        if self.total is None:
            self._read_header()
        elif not complete:  # joining only what has an end keeps one endless line linear
            return []
        if self.total is None:
            return []
        text, end, rest = b"".join(self._pieces).rpartition(b"\n\n")
        self._pieces = [rest] if rest else []
        return self._groups(text) if end else []

    def steps(self) -> Iterator[None]:
        """Do the work of `close` in small steps: there is none."""
        return iter(())

    def close(self) -> list[Group]:
        """Say that the body is over; return the groups that are left, none here.

        Raises NotAProfile and TruncatedProfile.
        """
        rest = b"".join(self._pieces)
        if self.total is None:
            what = f"starts with {quote(rest)}" if rest else "is empty"
            raise NotAProfile(f"not a {self._profile.decode()} profile: the body {what}")
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
            self._pieces = [text]
            return
        match = HEADER.fullmatch(header)
        if match is None or not end:
            raise NotAProfile(f"not a {self._profile.decode()} profile: the body starts with {quote(header)}")
        if match[1] != self._profile:
            raise NotAProfile(f"not a {self._profile.decode()} profile but a {quote(match[1])} profile")
        self.total = int(match[2])
        self._pieces = [rest] if rest else []
        self._line = 2

    def _groups(self, text: bytes) -> list[Group]:
        """Return the groups of `text`, which ends where a group ends."""
        groups = self._known_groups(text)
        if groups is None:
            return self._any_groups(text)
        self._sum += sum(count for _, count in groups)
        self._line += text.count(b"\n") + 2
        return groups

    def _known_groups(self, text: bytes) -> list[Group] | None:
        """Return the groups of `text` if all of them are remembered: the way of nearly all bodies of a fleet.

        Splitting at the long " @ 0x" is much faster than at the short blank line, so each piece ends with the
        count of the next group; where a piece does not, a label has that text and the careful way is taken.
        """
        young, old, is_number = self._memory.traces.young.get, self._memory.traces.get, NUMBER.fullmatch
        groups: list[Group] = []
        pieces = text.split(b" @ 0x")
        count = pieces[0]
        pieces[-1] += b"\n\n0"
        for piece in pieces[1:]:
            rest, end, following = piece.rpartition(b"\n\n")
            key = hash(rest)
            trace = young(key) or old(key)
            if trace is None or not end or not is_number(count):
                return None
            groups.append((trace, int(count)))
            count = following
        return groups

    def _any_groups(self, text: bytes) -> list[Group]:
        """Return the groups of `text`, line by line, and remember them; raises MalformedProfile."""
        traces, is_number = self._memory.traces, NUMBER.fullmatch
        groups: list[Group] = []
        for block in text.split(b"\n\n"):
            count, at, rest = block.partition(b" @")
            if not at or not is_number(count):
                raise self._malformed("expected `count @ counters`", block.partition(b"\n")[0], self._line)
            key = hash(rest.removeprefix(b" 0x"))
            trace = traces.young.get(key) or traces.get(key)
            if trace is None:
                trace = self._trace(rest)
                traces.put(key, trace, 1 + len(rest) // 1024)
            goroutines = int(count)
            self._sum += goroutines
            groups.append((trace, goroutines))
            self._line += block.count(b"\n") + 2
        return groups

    def _trace(self, text: bytes) -> Trace:
        if text.count(b"\n") > LINES_LIMIT:
            raise self._malformed(
                f"expected at most {LINES_LIMIT} lines in a group", text[:QUOTE_LIMIT], self._line
            )
        lines = text.split(b"\n")
        counters = lines[0]
        if COUNTERS.fullmatch(counters) is None:
            raise self._malformed("expected program counters", counters, self._line)
        at = 1
        labels: tuple[tuple[str, str], ...] = ()
        if len(lines) > 1 and lines[1].startswith(LABELS):
            labels = self._labels(lines[1])
            at = 2
        known = self._frames
        frames = tuple(
            known.get(line) or self._frame(line, self._line + at + i) for i, line in enumerate(lines[at:])
        )
        if not frames:
            return Trace(frames, counters, labels)
        parked_at = _parked_at(counters, lines[at])
        parked = self._memory.symbols.get(parked_at, "")
        return Trace(frames, counters, labels, _is_cut(counters, lines[-1]), parked, 0 if parked else parked_at)

    def _frame(self, line: bytes, number: int) -> Frame:
        cells = [cell for cell in line.split(b"\t") if cell]
        if not 2 <= len(cells) <= 4 or cells[0] != b"#" or ADDRESS.fullmatch(cells[1]) is None:
            raise self._malformed("expected a frame", line, number)
        if len(cells) == 2:
            frame = UNKNOWN
        else:
            function, plus, _ = cells[2].rpartition(b"+0x")
            if len(cells) == 3 or not plus:
                raise self._malformed("expected function+0xoffset and file:line", line, number)
            frame = self._named(function, cells[3], line, number)
        self._frames[line] = frame
        return frame

    def _named(self, function: bytes, place: bytes, line: bytes, number: int) -> Frame:
        frames = self._memory.frames
        frame = frames.get((function, place))
        if frame is None:
            file, colon, at = place.rpartition(b":")  # the last one: Windows paths have one of their own
            if not colon or not NUMBER.fullmatch(at):
                raise self._malformed("expected file:line", line, number)
            frame = Frame(decode(function), decode(file), int(at))
            frames.put((function, place), frame)
        return frame

    def _labels(self, line: bytes) -> tuple[tuple[str, str], ...]:
        pairs = []
        at = len(LABELS)
        while match := LABEL.match(line, at):
            pairs.append((unquote(match[1]), unquote(match[2])))
            at = match.end()
        if at != len(line) and line[at:] != b"}":  # Go does print an empty set
            raise self._malformed("expected labels", line, self._line + 1)
        return tuple(pairs)

    def _malformed(self, expected: str, line: bytes, number: int) -> MalformedProfile:
        return MalformedProfile(f"line {number}: {expected}, found {quote(line)}")


def parse(body: bytes, memory: TextCache | None = None) -> Profile:
    """Return the profile that `body` holds; raises ProfileError."""
    parser = Parser(memory)
    groups: list[Group] = []
    for at in range(0, len(body), PIECE):  # pieces that fit the processor's cache are faster than one large one
        groups += parser.feed(body[at : at + PIECE])
    parser.close()
    return Profile(parser.total or 0, tuple(groups))


def unpaste(body: bytes) -> bytes:
    """Return `body` with what browsers, blogs and chats do to it undone: spaces for tabs, CR LF, lost ends."""
    lines = body.removeprefix(b"\xef\xbb\xbf").strip().split(b"\n")
    body = b"\n".join(line.rstrip() for line in lines) + b"\n\n"
    return PASTED_FRAME.sub(lambda m: b"#\t" + b"\t".join(cell for cell in m.groups() if cell), body)


def _is_cut(counters: bytes, last_frame: bytes) -> bool:
    """Tell whether the root side is missing: Go hides runtime.goexit, so the last counter has no frame line."""
    return _address(last_frame) == int(counters.rpartition(b" ")[2] or b"0", 16) - 1


def _parked_at(counters: bytes, first_frame: bytes) -> int:
    """Return the address of the hidden frame next to the first that is shown, 0 where none is hidden."""
    hidden, shown, _ = (counters + b" ").partition(b" %#x " % (_address(first_frame) + 1))
    return int(hidden.rpartition(b" ")[2], 16) - 1 if hidden and shown else 0


def _address(frame: bytes) -> int:
    return int(next(cell for cell in frame.split(b"\t")[1:] if cell), 16)


def decode(data: bytes) -> str:
    """Return `data` as text; what is no UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace")


def unquote(quoted: bytes) -> str:
    """Return what stands between the quotes of Go's %q."""
    return decode(ESCAPE.sub(_unescape, quoted) if b"\\" in quoted else quoted)


def _unescape(match: re.Match[bytes]) -> bytes:
    byte, short, long, other = match.groups()
    if byte:
        return bytes.fromhex(byte.decode())
    if short or long:
        code = int(short or long, 16)
        return chr(code).encode("utf-8", "surrogatepass") if code <= MAX_CODE else match[0]
    return ESCAPED.get(other, other)
