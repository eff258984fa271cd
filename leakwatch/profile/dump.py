r"""Parses full dumps, `/debug/pprof/goroutine?debug=2` and what Go prints at a panic, from Go 1.19 to 1.27.

    goroutine 35 [chan receive, 5 minutes, locked to thread] {worker: w1}:    number, state, how long, labels
    main.(*Box[...]).Wait(0xc00012e000?, {0x5db818, 0x3})                     call, leaf first: argument words
    \t/src/main.go:139 +0x28                                                  its place
    main.inlined(...)
    \t/src/main.go:141
    ...203 frames elided...                                                   the middle of a deep stack is missing
    created by main.main in goroutine 1                                       the goroutine since 1.21
    \t/src/main.go:97 +0x1d
                                                                              a blank line parts goroutines

Argument words may be secrets: they are taken off before anything else is done. Nothing marks the end, and Go stops
at 64 MiB wherever that is. The minutes come from the garbage collector: none are shown in the first minute, and
until it has run twice. Other text, as comes with a panic, is counted and left out. Bytes only: no I/O.
"""

import re
from collections import Counter
from dataclasses import dataclass

from leakwatch.errors import MalformedProfile, NotAProfile, TruncatedProfile, quote
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile.cache import GenerationCache
from leakwatch.profile.text import DIGITS, PIECE, UNKNOWN, decode, unquote
from leakwatch.profile.wait_reason import wait_reason

FULL = 64 << 20
"""Go's dumps never are longer; one that is as long was cut."""

NOISE = 1 << 20
"""Bytes in which the first goroutine must have ended."""

START = re.compile(rb"^goroutine \d+ (?:[a-z]+=\S+ )*\[", re.MULTILINE)
HEADER = re.compile(rb"goroutine (\d{1,18})(?: [a-z]+=\S+)* \[([^\],{]*)((?:, [^\],{]*)*)")
LABEL = re.compile(rb'(?:"((?:[^"\\]|\\.)*)"|([\w./]*)): (?:"((?:[^"\\]|\\.)*)"|([\w./]*))(?:, |(\}))')
NOTE = re.compile(rb" \((leaked|scan|durable)\)")
MINUTES = re.compile(rb", (\d{1,18}) minutes")
ARGUMENTS = re.compile(rb"\([^()\n]*\)$", re.MULTILINE)
SECRET = re.compile(rb"[({](?!\*).*", re.DOTALL)
PLACE = re.compile(rb"\t(.*):(\d{1,18})(?: \+0x[0-9a-f]+)?(?: [a-z]+=0x[0-9a-f]+)*")
ELIDED = re.compile(rb"\.\.\.(\d+|additional) frames elided\.\.\.")
ELSEWHERE = b"\tgoroutine running on other thread"
BIRTH = b"created by "
FOREIGN = b"non-Go function"
ORIGIN = b"[originating from goroutine "
EXIT = b"exit status "
GOEXIT = "runtime.goexit"
HIDDEN = ("runtime.", "internal/runtime/")


@dataclass(frozen=True, slots=True)
class Goroutine:
    """One goroutine of a dump.

    `trace` has the frames that debug=1 would show, none before it first runs; `gap`: so many of them come before
    the place where the middle is missing, 0 if it is not. `state` is in the words of Go 1.24, `minutes` how long
    it has been in it, None where the dump does not say. `creator` is the call that started it, in goroutine
    `parent` (0: not said).
    """

    number: int
    trace: Trace
    state: str
    minutes: int | None = None
    creator: Frame | None = None
    parent: int = 0
    gap: int = 0
    locked: bool = False
    leaked: bool = False


@dataclass(frozen=True, slots=True)
class Dump:
    """The goroutines of a dump; `truncated`: more followed, which are lost; `ignored`: pieces of other text."""

    goroutines: tuple[Goroutine, ...]
    truncated: bool = False
    ignored: int = 0

    def profile(self) -> Profile:
        """Return what debug=1 would have said."""
        counts = Counter(goroutine.trace for goroutine in self.goroutines)
        return Profile(len(self.goroutines), tuple(counts.most_common()))


@dataclass(frozen=True, slots=True)
class Calls:
    """What follows a header, without who created it."""

    frames: tuple[Frame, ...]
    gap: int = 0
    truncated: bool = False
    parked: str = ""


class Parser:
    """Reads one dump in pieces of any size and gives each goroutine when it is complete."""

    __slots__ = ("_calls", "_frames", "_line", "_pieces", "_seen", "_size", "_traces", "ignored", "truncated")

    def __init__(self) -> None:
        self.truncated = False
        """Whether the end is missing, known when the parser is closed."""
        self.ignored = 0
        """Pieces of text that are no goroutines."""
        self._calls: GenerationCache[int, Calls] = GenerationCache(100_000)
        self._frames: GenerationCache[tuple[bytes, bytes], Frame] = GenerationCache(100_000)
        self._traces: GenerationCache[tuple[int, str, tuple[tuple[str, str], ...]], Trace] = GenerationCache(
            100_000
        )
        self._pieces: list[bytes] = []
        self._line = 1
        self._seen = 0
        self._size = 0

    def feed(self, data: bytes) -> list[Goroutine]:
        """Return the goroutines that `data` completes; raises NotAProfile and MalformedProfile."""
        pieces = self._pieces
        complete = b"\n\n" in data or (data[:1] == b"\n" and bool(pieces) and pieces[-1][-1:] == b"\n")
        self._size += len(data)
        if data:
            pieces.append(data)
        found: list[Goroutine] = []
        if complete:  # joining only what has an end keeps one endless line linear
            body, _, rest = b"".join(pieces).rpartition(b"\n\n")
            self._pieces = [rest] if rest else []
            found = self._goroutines(body)
        if not self._seen and self._size > NOISE:
            raise NotAProfile(f"not a dump of goroutines: none ends in the first {NOISE} bytes")
        return found

    def close(self) -> list[Goroutine]:
        """Return what the end completes; raises NotAProfile, and TruncatedProfile if not even one is whole."""
        rest = b"".join(self._pieces)
        begun = START.search(rest) is not None
        self.truncated = self._size == FULL or (rest != b"" and not rest.endswith(b"\n"))
        found: list[Goroutine] = []
        if rest.endswith(b"\n"):
            try:
                found = self._goroutines(rest)
            except MalformedProfile:
                self.truncated = True
            if found and not _has_root(found[-1]):
                self.truncated = True
                self._seen -= 1
                found.pop()
        if not self._seen and not begun:
            what = f"starts with {_shown(rest)}" if rest else "is empty"
            raise NotAProfile(f"not a dump of goroutines: the body {what}")
        if not self._seen:
            raise TruncatedProfile(f"line {self._line}: the dump ends within its first goroutine")
        return found

    def _goroutines(self, body: bytes) -> list[Goroutine]:
        """Return the goroutines of `body`, which ends where one ends."""
        found = []
        for block in ARGUMENTS.sub(b"", body).split(b"\n\n"):
            start = START.search(block)
            if start is not None:
                at = start.start()
                self.ignored += block[:at].strip() != b""  # what panicked, without a blank line after it
                goroutine = self._goroutine(block[at:].rstrip(b"\n"), self._line + block.count(b"\n", 0, at))
                self._seen += 1
                if goroutine.number:  # 0 is what a thread runs between goroutines
                    found.append(goroutine)
            elif block.strip():
                self.ignored += 1
            self._line += block.count(b"\n") + 2
        return found

    def _goroutine(self, block: bytes, line: int) -> Goroutine:
        head, _, rest = block.partition(b"\n")
        match = HEADER.match(head)
        if match is None:
            raise _malformed("expected `goroutine N [state]:`", head, line)
        number, words, more = match.groups()
        labels = _labels(head, match.end(), line)
        text, _, birth = (b"\n" + rest).partition(b"\n" + BIRTH)
        key = hash(text)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._read_calls(text, line)
            self._calls.put(key, calls, 1 + len(text) // 1024)
        state = decode(NOTE.sub(b"", words).removesuffix(b" labels:"))
        if state == "semacquire" and calls.frames:
            state = wait_reason(calls.frames) or state  # Go 1.19 says so of all locks, 1.23 of wait groups
        trace = self._traces.get((key, state, labels))
        if trace is None:
            trace = Trace(calls.frames, labels=labels, truncated=calls.truncated, parked=calls.parked, wait=state)
            self._traces.put((key, state, labels), trace)
        minutes = MINUTES.match(more)
        creator, parent = self._creator(birth, line + 1 + text.count(b"\n")) if birth else (None, 0)
        return Goroutine(
            number=int(number),
            trace=trace,
            state=state,
            minutes=int(minutes[1]) if minutes else None,
            creator=creator,
            parent=parent,
            gap=calls.gap,
            locked=b", locked to thread" in more,
            leaked=b" (leaked)" in words,
        )

    def _read_calls(self, text: bytes, line: int) -> Calls:
        """Return the calls in `text`, whose first line is empty and stands for line `line`, the header's."""
        lines = text.split(b"\n")
        frames: list[Frame] = []
        gap, cut, at = 0, False, 1
        while at < len(lines):
            function = lines[at]
            if function.startswith((EXIT, ORIGIN)):
                break
            elided = ELIDED.fullmatch(function)
            if elided is not None:
                gap, cut = (gap, True) if elided[1] == b"additional" else (len(frames), cut)
            elif function.startswith(FOREIGN):
                frames.append(UNKNOWN)
                at += function == FOREIGN  # the line after it has but an address
            elif not function.startswith(ELSEWHERE):
                frames.append(self._frame(function, lines[at + 1 : at + 2], line + at))
                at += 1
            at += 1
        if len(frames) == 2 and frames[1].function == GOEXIT and b" +0x" not in lines[2]:
            return Calls(())  # it was created and has not run yet
        frames = [frame for frame in frames if frame.function != GOEXIT]
        shown = next((i for i, frame in enumerate(frames) if not frame.function.startswith(HIDDEN)), 0)
        parked = frames[shown - 1].function if shown else ""
        return Calls(tuple(frames[shown:]), max(gap - shown, 0), cut, parked)

    def _frame(self, function: bytes, places: list[bytes], line: int) -> Frame:
        """Return the frame of a call; `places` has the line after it, if there is one."""
        place = places[0] if places else b""
        frame = self._frames.get((function, place))
        if frame is None:
            match = PLACE.fullmatch(place)
            if match is None or not function.strip() or function.startswith(b"\t"):
                wrong, number = (place, line + 1) if places and function.strip() else (function, line)
                raise _malformed("expected a call and its file:line", wrong, number)
            name = "runtime.gopanic" if function == b"panic" else decode(function)
            frame = Frame(name, decode(match[1]), int(match[2]))
            self._frames.put((function, place), frame)
        return frame

    def _creator(self, birth: bytes, line: int) -> tuple[Frame, int]:
        function, *places = birth.split(b"\n", 2)
        function, _, parent = function.partition(b" in goroutine ")
        if parent and not (parent.isdigit() and len(parent) <= DIGITS):
            raise _malformed("expected the number of a goroutine", parent, line)
        return self._frame(function, places[:1], line), int(parent or 0)


def parse(body: bytes) -> Dump:
    """Return the goroutines that `body` holds whole; raises ProfileError."""
    parser = Parser()
    found: list[Goroutine] = []
    for at in range(0, len(body), PIECE):
        found += parser.feed(body[at : at + PIECE])
    found += parser.close()
    return Dump(tuple(found), parser.truncated, parser.ignored)


def unpaste(body: bytes) -> bytes:
    """Return `body` with what browsers and chats do to it undone; what is as Go printed it stays as it is."""
    if b"\n\t" in body and b"\r\n" not in body:
        return body
    lines = [line.rstrip() for line in body.removeprefix(b"\xef\xbb\xbf").strip().split(b"\n")]
    return b"".join((b"\t" if line[:1].isspace() else b"") + line.strip() + b"\n" for line in lines)


def _has_root(goroutine: Goroutine) -> bool:
    """Tell whether its last lines are there: who created it or, of the first, where a program starts."""
    first = goroutine.trace.frames[-1].function if goroutine.number == 1 and goroutine.trace.frames else ""
    return goroutine.creator is not None or first in {"main.main", "runtime.main"} or ".init" in first


def _labels(head: bytes, at: int, line: int) -> tuple[tuple[str, str], ...]:
    """Return the labels in a header from `at` on: within the bracket (Go 1.26), or after it."""
    pairs = []
    if head.startswith((b"{", b"] {"), at):
        at = head.index(b"{", at) + 1
        while match := LABEL.match(head, at):
            key, plain_key, value, plain_value, end = match.groups()
            pairs.append((unquote(key or plain_key or b""), unquote(value or plain_value or b"")))
            at = match.end()
            if end:
                break
    if head[at:] not in {b"]:", b":"}:
        raise _malformed("expected `goroutine N [state]:`", head, line)
    return tuple(sorted(pairs))


def _malformed(expected: str, text: bytes, line: int) -> MalformedProfile:
    return MalformedProfile(f"line {line}: {expected}, found {_shown(text)}")


def _shown(text: bytes) -> str:
    """Return `text` quoted, without argument words and labels."""
    return quote(SECRET.sub(b"...", text, count=1))
