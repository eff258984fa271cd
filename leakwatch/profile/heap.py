r"""Parses the text of `/debug/pprof/heap?debug=1`, the same in Go 1.19, 1.26 and 1.27.

    heap profile: 269: 6965016 [332: 6986992] @ heap/1048576    header: sums of all records, 2 x sampling rate
    2: 2048 [3: 3072] @ 0x48c145 0x427585                       record: live objects: bytes [all ever allocated]
    #\t0x427584\tmain.(*Client).Stock+0x28\t/src/main.go:51     frame, as in a goroutine profile; leaf first
                                                                a blank line ends each record
    # runtime.MemStats                                          statistics, ignored

Go samples one allocation per `rate` bytes on average, so a small object stands for many others: live bytes are
scaled as pprof scales them. Most records have no live objects; these are checked and counted, but not decoded.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile, TruncatedProfile, quote
from leakwatch.model import Frame
from leakwatch.profile.limits import MAX_DEPTH, MAX_GROUP, MAX_RECORDS, MAX_TEXT
from leakwatch.profile.quoting import decode
from leakwatch.profile.text import HEADER_LIMIT, STEP, UNKNOWN

NAME: Final = b"heap profile: "
HEADER: Final = re.compile(rb"heap profile: (\d{1,18}): (\d{1,18}) \[\d{1,18}: \d{1,18}\] @ heap/(\d{1,18})")
RECORD: Final = re.compile(rb"(\d{1,18}): (\d{1,18}) \[\d{1,18}: \d{1,18}\] @(?: 0x[0-9a-f]{1,16})*+")
FRAME: Final = re.compile(rb"#\t0x[0-9a-f]{1,16}(?:\t([^\t]+)\+0x[0-9a-f]{1,16}\t+([^\t]*):(\d{1,18}))?")
STATISTICS: Final = b"# runtime.MemStats"


@dataclass(frozen=True, slots=True)
class HeapRecord:
    """Live memory that was allocated on one call path.

    `objects`: in the sample; `size`: the bytes that they stand for; `frames`: leaf first.
    """

    objects: int
    size: float
    frames: tuple[Frame, ...]


class Parser:
    """Parses one body, in pieces of any size."""

    __slots__ = ("_frames", "_is_over", "_line", "_pieces", "_rate", "_records", "_size", "_sums", "_totals")

    def __init__(self) -> None:
        self._totals: tuple[int, int] | None = None
        """Objects and bytes in the header, None until the header was parsed."""
        self._rate = 0
        self._frames: dict[bytes, Frame] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        """Bytes of `_pieces`."""
        self._line = 1
        self._records = 0
        self._sums = 0, 0
        self._is_over = False
        """Whether the statistics have begun, which are ignored."""

    def feed(self, data: bytes) -> list[HeapRecord]:
        """Return the live records that `data` completes; raises NotAProfile and MalformedProfile."""
        return [record for records in self.feed_steps(data) for record in records]

    def feed_steps(self, data: bytes) -> Iterator[list[HeapRecord]]:
        """Yield the live records that `data` completes, in small steps.

        Raises NotAProfile and MalformedProfile.
        """
        for start in range(0, len(data), STEP):
            yield self._feed(data[start : start + STEP])
            if self._size > MAX_GROUP:
                self._check_group()

    def _check_group(self) -> None:
        """Drop the statistics, which may be long; raise MalformedProfile if they have not begun."""
        found = b"".join(self._pieces).lstrip(b"\n")
        if not found.startswith(STATISTICS):
            raise self._malformed(f"expected at most {MAX_GROUP} bytes in a record", found, self._line)
        self._is_over = True
        self._keep(b"")

    def _feed(self, data: bytes) -> list[HeapRecord]:
        if self._is_over:
            return []
        pieces = self._pieces
        complete = b"\n\n" in data or (data[:1] == b"\n" and bool(pieces) and pieces[-1][-1:] == b"\n")
        pieces.append(data)
        self._size += len(data)
        if self._totals is None:
            self._read_header()
        elif not complete:  # joining each piece would take quadratic time for a long line
            return []
        if self._totals is None:
            return []
        text, end, rest = b"".join(self._pieces).rpartition(b"\n\n")
        self._keep(rest)
        return self._parse(text) if end else []

    def _keep(self, rest: bytes) -> None:
        """Keep the text of an incomplete record."""
        self._pieces, self._size = [rest] if rest else [], len(rest)

    def close(self) -> None:
        """Check that the body is complete; raises NotAProfile and TruncatedProfile."""
        rest = b"".join(self._pieces).strip()
        if self._totals is None:
            problem = f"starts with {quote(rest)}" if rest else "is empty"
            raise NotAProfile(f"not a heap profile: the body {problem}")
        if not self._is_over and rest and not rest.startswith(STATISTICS):
            raise TruncatedProfile(f"line {self._line}: the body ends within a record: {quote(rest[-100:])}")
        if self._sums != self._totals:
            raise TruncatedProfile(
                f"line 1: {self._totals[0]} objects of {self._totals[1]} bytes, but the records add up to"
                f" {self._sums[0]} of {self._sums[1]}"
            )

    def _read_header(self) -> None:
        text = b"".join(self._pieces)
        header, end, rest = text.partition(b"\n")
        if not end and len(text) < HEADER_LIMIT and NAME.startswith(text[: len(NAME)]):
            self._keep(text)
            return
        match = HEADER.fullmatch(header) if len(header) < HEADER_LIMIT else None
        if match is None or not end:
            raise NotAProfile(f"not a heap profile: the body starts with {quote(header)}")
        self._totals = int(match[1]), int(match[2])
        self._rate = int(match[3]) // 2
        self._keep(rest)
        self._line = 2

    def _parse(self, text: bytes) -> list[HeapRecord]:
        """Return the live records of `text`, which ends at the end of a record."""
        records = []
        for block in text.split(b"\n\n"):  # two blank lines precede the statistics
            record = block.strip(b"\n")
            if record.startswith(STATISTICS):
                self._is_over = True
                self._keep(b"")
                break
            if record and (live := self._record(record)):
                records.append(live)
            self._line += block.count(b"\n") + 2
        return records

    def _record(self, block: bytes) -> HeapRecord | None:
        """Return a record, None if it has no live objects."""
        first, _, lines = block.partition(b"\n")
        self._check_length(first, self._line)
        self._records += 1
        if self._records > MAX_RECORDS:
            raise self._malformed(f"expected at most {MAX_RECORDS} records", first, self._line)
        if first.count(b" 0x") > MAX_DEPTH or lines.count(b"\n") > MAX_DEPTH:
            raise self._malformed(f"expected at most {MAX_DEPTH} calls in a record", first, self._line)
        match = RECORD.fullmatch(first)
        if match is None:
            raise self._malformed("expected `objects: bytes [objects: bytes] @ counters`", first, self._line)
        objects, size = int(match[1]), int(match[2])
        self._sums = self._sums[0] + objects, self._sums[1] + size
        if not objects:
            return None
        cached = self._frames
        frames = tuple(
            cached.get(line) or self._frame(line, number)
            for number, line in enumerate(lines.split(b"\n") if lines else [], self._line + 1)
        )
        return HeapRecord(objects, scaled(objects, size, self._rate), frames)

    def _frame(self, line: bytes, number: int) -> Frame:
        self._check_length(line, number)
        match = FRAME.fullmatch(line)
        if match is None:
            raise self._malformed("expected a frame", line, number)
        frame = UNKNOWN if match[1] is None else Frame(decode(match[1]), decode(match[2]), int(match[3]))
        self._frames[line] = frame
        return frame

    def _check_length(self, line: bytes, number: int) -> None:
        if len(line) > MAX_TEXT:
            raise self._malformed(f"expected at most {MAX_TEXT} bytes in a line", line, number)

    def _malformed(self, expected: str, line: bytes, number: int) -> MalformedProfile:
        return MalformedProfile(f"line {number}: {expected}, found {quote(line)}")


def scaled(objects: int, size: int, rate: int) -> float:
    """Return the live bytes that sampled `objects` stand for; `size`: their bytes, `rate`: bytes per sample."""
    if rate <= 1 or not size:
        return float(size)
    return size / -math.expm1(-size / objects / rate)
