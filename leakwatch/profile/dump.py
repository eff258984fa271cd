r"""Parses full dumps, `/debug/pprof/goroutine?debug=2` and the output of a panic, from Go 1.19 to 1.27.

    goroutine 35 [chan receive, 5 minutes, locked to thread] {worker: w1}:    number, state, wait time, labels
    main.(*Box[...]).Wait(0xc00012e000?, {0x5db818, 0x3})                     call, leaf first: argument words
    \t/src/main.go:139 +0x28                                                  its file and line
    main.inlined(...)
    \t/src/main.go:141
    ...203 frames elided...                                                   the middle of a deep stack is missing
    created by main.main in goroutine 1                                       the goroutine since 1.21
    \t/src/main.go:97 +0x1d
    [originating from goroutine 1]:                                           with GODEBUG=tracebackancestors=10:
    main.main(...)                                                            the stack of the goroutine that
    \t/src/main.go:97 +0x1d                                                   started it, then that of the
    created by runtime.main                                                   before, and so on
    \t/usr/local/go/src/runtime/proc.go:1
                                                                              a blank line between goroutines

Argument words may be secrets, so they are removed before parsing. Nothing marks the end, and Go truncates a dump
at 64 MiB. The garbage collector measures the wait time: a dump omits it during the first minute, and until the
second collection. Other text, such as the message of a panic, is counted and omitted.
"""

import re
from collections import Counter
from dataclasses import dataclass

from leakwatch.errors import MalformedProfile, NotAProfile, TruncatedProfile
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile.cache import GenerationCache
from leakwatch.profile.dump_header import HEADER, labels_of, malformed, redacted
from leakwatch.profile.goroutine import Ancestor, Goroutine
from leakwatch.profile.limits import MAX_ANCESTORS, MAX_DEPTH, MAX_TEXT
from leakwatch.profile.quoting import decode
from leakwatch.profile.text import NUMBER, PIECE_SIZE, UNKNOWN, first_visible
from leakwatch.profile.wait_reason import wait_reason

SIZE_LIMIT = 64 << 20
"""Size at which Go truncates a dump."""

MAX_PREFIX = 1 << 20
"""Number of bytes within which the first goroutine must end, and largest size of a goroutine."""

START = re.compile(rb"^goroutine \d+ (?:[a-z]+=\S+ )*\[", re.MULTILINE)
NOTE = re.compile(rb" \((leaked|scan|durable)\)")
MINUTES = re.compile(rb", (\d{1,18}) minutes")
ARGUMENT_WORDS = re.compile(rb"\([^()\n]*\)$", re.MULTILINE)
PLACE = re.compile(rb"\t(.*):(-?\d{1,18})(?: \+0x[0-9a-f]+)?(?: [a-z]+=0x[0-9a-f]+)*")
ELIDED = re.compile(rb"\.\.\.(\d+|additional) frames elided\.\.\.")
OTHER_THREAD = b"\tgoroutine running on other thread"
CREATED_BY = b"created by "
NON_GO = b"non-Go function"
ANCESTOR = b"[originating from goroutine "
EXIT_STATUS = b"exit status "
GOEXIT = "runtime.goexit"


@dataclass(frozen=True, slots=True)
class Dump:
    """The goroutines of a dump; `truncated`: whether its end is missing; `ignored`: number of other paragraphs."""

    goroutines: tuple[Goroutine, ...]
    truncated: bool = False
    ignored: int = 0

    def profile(self) -> Profile:
        """Return the profile with the groups that debug=1 would show."""
        counts = Counter(goroutine.trace for goroutine in self.goroutines)
        return Profile(len(self.goroutines), tuple(counts.most_common()))


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one goroutine, without its creator."""

    frames: tuple[Frame, ...]
    gap: int = 0
    truncated: bool = False
    parked: str = ""


class Parser:
    """Parses one dump, in pieces of any size."""

    __slots__ = (
        "_ancestor_calls", "_calls", "_count", "_frames", "_line", "_open", "_pieces", "_size", "_traces",
        "ignored", "truncated",
    )  # fmt: skip

    def __init__(self) -> None:
        self.truncated = False
        """Whether the end of the dump is missing. Valid after `close`."""
        self.ignored = 0
        """Number of paragraphs that are not goroutines."""
        self._calls: GenerationCache[int, Calls] = GenerationCache(100_000)
        self._ancestor_calls: GenerationCache[int, tuple[Frame, ...]] = GenerationCache(100_000)
        self._frames: GenerationCache[tuple[bytes, bytes], Frame] = GenerationCache(100_000)
        self._traces: GenerationCache[tuple[int, str, tuple[tuple[str, str], ...]], Trace] = GenerationCache(
            100_000
        )
        self._pieces: list[bytes] = []
        self._line = 1
        self._count = 0
        self._size = 0
        self._open = 0
        """Bytes of `_pieces`."""

    def feed(self, data: bytes) -> list[Goroutine]:
        """Return the goroutines that `data` completes; raises NotAProfile and MalformedProfile."""
        pieces = self._pieces
        complete = b"\n\n" in data or (data[:1] == b"\n" and bool(pieces) and pieces[-1][-1:] == b"\n")
        self._size += len(data)
        self._open += len(data)
        if data:
            pieces.append(data)
        goroutines: list[Goroutine] = []
        if complete:  # joining each piece would take quadratic time for a long line
            body, _, rest = b"".join(pieces).rpartition(b"\n\n")
            self._pieces, self._open = [rest] if rest else [], len(rest)
            goroutines = self._goroutines(body)
        if not self._count and self._size > MAX_PREFIX:
            raise NotAProfile(f"not a dump of goroutines: no goroutine ends within {MAX_PREFIX} bytes")
        if self._open > MAX_PREFIX and START.match(self._pieces[0]):
            raise malformed(f"expected at most {MAX_PREFIX} bytes in a goroutine", self._pieces[0], self._line)
        return goroutines

    def close(self) -> list[Goroutine]:
        """Return the remaining goroutines; raises NotAProfile, and TruncatedProfile if none was complete."""
        rest = b"".join(self._pieces)
        begun = START.search(rest) is not None
        self.truncated = self._size == SIZE_LIMIT or (rest != b"" and not rest.endswith(b"\n"))
        goroutines: list[Goroutine] = []
        if rest.endswith(b"\n"):
            try:
                goroutines = self._goroutines(rest)
            except MalformedProfile:
                self.truncated = True
            if goroutines and not _has_root(goroutines[-1]):
                self.truncated = True
                self._count -= 1
                goroutines.pop()
        if not self._count and not begun:
            problem = f"starts with {redacted(rest)}" if rest else "is empty"
            raise NotAProfile(f"not a dump of goroutines: the body {problem}")
        if not self._count:
            raise TruncatedProfile(f"line {self._line}: the dump ends within its first goroutine")
        return goroutines

    def _goroutines(self, body: bytes) -> list[Goroutine]:
        """Return the goroutines of `body`, which ends at the end of a goroutine."""
        goroutines = []
        for block in ARGUMENT_WORDS.sub(b"", body).split(b"\n\n"):
            match = START.search(block)
            if match is not None:
                start = match.start()
                self.ignored += block[:start].strip() != b""  # the message of a panic before its goroutine
                line = self._line + block.count(b"\n", 0, start)
                goroutine = self._goroutine(block[start:].rstrip(b"\n"), line)
                self._count += 1
                if goroutine.number:  # 0 is the scheduler of a thread
                    goroutines.append(goroutine)
            elif block.strip():
                self.ignored += 1
            self._line += block.count(b"\n") + 2
        return goroutines

    def _goroutine(self, block: bytes, line: int) -> Goroutine:
        header, _, rest = block.partition(b"\n")
        match = HEADER.match(header)
        if match is None:
            raise malformed("expected `goroutine N [state]:`", header, line)
        number, words, notes = match.groups()
        labels = labels_of(header, match.end(), line)
        own, _, ancestors = (b"\n" + rest).partition(b"\n" + ANCESTOR)
        text, _, created_by = own.partition(b"\n" + CREATED_BY)
        key = hash(text)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._read_calls(text, line)
            self._calls.put(key, calls, 1 + len(text) // 1024)
        state = decode(NOTE.sub(b"", words).removesuffix(b" labels:"))
        if state == "semacquire" and calls.frames:
            state = wait_reason(calls.frames) or state  # Go 1.19 has this state for all locks, 1.23 for WaitGroup
        trace = self._traces.get((key, state, labels))
        if trace is None:
            trace = Trace(calls.frames, labels=labels, truncated=calls.truncated, parked=calls.parked, wait=state)
            self._traces.put((key, state, labels), trace)
        minutes = MINUTES.match(notes)
        creator, parent = self._creator(created_by, line + 1 + text.count(b"\n")) if created_by else (None, 0)
        return Goroutine(
            number=int(number),
            trace=trace,
            state=state,
            minutes=int(minutes[1]) if minutes else None,
            creator=creator,
            parent=parent,
            gap=calls.gap,
            locked=b", locked to thread" in notes,
            leaked=b" (leaked)" in words,
            ancestors=self._ancestors(ancestors, line + 1 + own.count(b"\n")) if ancestors else (),
        )

    def _ancestors(self, text: bytes, line: int) -> tuple[Ancestor, ...]:
        """Return the nearest ancestors in `text`, which begins at line `line` with the number of the first one."""
        ancestors = []
        for ancestor in text.split(b"\n" + ANCESTOR, MAX_ANCESTORS)[:MAX_ANCESTORS]:
            number, mark, calls = ancestor.partition(b"]:")
            if not mark or not NUMBER.fullmatch(number):
                raise malformed("expected the number of a goroutine", number.partition(b"\n")[0], line)
            key = hash(calls)
            frames = self._ancestor_calls.get(key)
            if frames is None:
                frames = self._ancestor_frames(calls, line)
                self._ancestor_calls.put(key, frames, 1 + len(calls) // 1024)
            ancestors.append(Ancestor(int(number), frames))
            line += 1 + ancestor.count(b"\n")
        return tuple(ancestors)

    def _ancestor_frames(self, calls: bytes, line: int) -> tuple[Frame, ...]:
        """Return the frames in `calls`, and the call that started the goroutine as the last one."""
        text, _, created_by = calls.partition(b"\n" + CREATED_BY)
        frames = self._read_calls(text, line).frames
        if not created_by:
            return frames
        return (*frames, self._creator(created_by, line + 1 + text.count(b"\n"))[0])

    def _read_calls(self, text: bytes, line: int) -> Calls:
        """Return the calls in `text`. Its first line is empty, in place of the header at line `line`."""
        if text.count(b"\n") > 2 * MAX_DEPTH:
            raise malformed(f"expected at most {MAX_DEPTH} calls in a goroutine", text[1:], line + 1)
        lines = text.split(b"\n")
        frames: list[Frame] = []
        gap, truncated, i = 0, False, 1
        while i < len(lines):
            function = lines[i]
            if function.startswith(EXIT_STATUS):
                break
            elided = ELIDED.fullmatch(function)
            if elided is not None:
                gap, truncated = (gap, True) if elided[1] == b"additional" else (len(frames), truncated)
            elif function.startswith(NON_GO):
                frames.append(UNKNOWN)
                i += function == NON_GO  # the next line has only an address
            elif not function.startswith(OTHER_THREAD):
                frames.append(self._frame(function, lines[i + 1 : i + 2], line + i))
                i += 1
            i += 1
        if len(frames) == 2 and frames[1].function == GOEXIT and b" +0x" not in lines[2]:
            return Calls(())  # the goroutine has not run yet
        frames = [frame for frame in frames if frame.function != GOEXIT]
        leaf = first_visible(frames)
        parked = frames[leaf - 1].function if leaf else ""
        return Calls(tuple(frames[leaf:]), max(gap - leaf, 0), truncated, parked)

    def _frame(self, function: bytes, places: list[bytes], line: int) -> Frame:
        """Return the frame of a call; `places`: the next line, or nothing at the end of the text."""
        place = places[0] if places else b""
        frame = self._frames.get((function, place))
        if frame is None:
            if len(function) + len(place) > MAX_TEXT:
                raise malformed(f"expected at most {MAX_TEXT} bytes in a call", function, line)
            match = PLACE.fullmatch(place)
            if match is None or not function.strip() or function.startswith(b"\t"):
                invalid, number = (place, line + 1) if places and function.strip() else (function, line)
                raise malformed("expected a call and its file:line", invalid, number)
            name = "runtime.gopanic" if function == b"panic" else decode(function)
            frame = Frame(name, decode(match[1]), max(int(match[2]), 0))  # Go prints -2 if it has no line
            self._frames.put((function, place), frame, 1 + (len(function) + len(place)) // 1024)
        return frame

    def _creator(self, created_by: bytes, line: int) -> tuple[Frame, int]:
        function, *places = created_by.split(b"\n", 2)
        function, _, parent = function.partition(b" in goroutine ")
        if parent and not NUMBER.fullmatch(parent):
            raise malformed("expected the number of a goroutine", parent, line)
        return self._frame(function, places[:1], line), int(parent or 0)


def parse(body: bytes) -> Dump:
    """Return the complete goroutines in `body`; raises ProfileError."""
    parser = Parser()
    goroutines: list[Goroutine] = []
    for start in range(0, len(body), PIECE_SIZE):
        goroutines += parser.feed(body[start : start + PIECE_SIZE])
    goroutines += parser.close()
    return Dump(tuple(goroutines), parser.truncated, parser.ignored)


def _has_root(goroutine: Goroutine) -> bool:
    """Return whether `goroutine` ends with its creator or, if it is the main goroutine, with main or init."""
    root = goroutine.trace.frames[-1].function if goroutine.number == 1 and goroutine.trace.frames else ""
    return goroutine.creator is not None or root in {"main.main", "runtime.main"} or ".init" in root
