"""Finds the goroutines and groups in the lines of one source, and the ends of dumps and profiles."""

import re

from leakwatch.pasted import shapes
from leakwatch.pasted.goroutine import GoroutineReader
from leakwatch.pasted.groups import GroupReader
from leakwatch.pasted.prefixes import time_in
from leakwatch.pasted.section import Section, SectionParser
from leakwatch.profile.cache import ParseCache

MAX_HEADER_PIECES = 4
DUMP, PROFILE, GOLEAK = "a dump", "a profile", "a report of goleak"
KINDS = (
    (b"SIGQUIT: ", "a SIGQUIT dump"),
    (b"panic: test timed out", "a go test timeout"),
    (b"panic: ", "a panic"),
    (b"panic serving ", "a panic"),
    (b"fatal error: ", "a fatal error"),
    (b"leaktest: ", "a report of leaktest"),
    (b"found unexpected goroutines", GOLEAK),
)


THREAD = b"-----"
"""The line before what each other thread prints, with GOTRACEBACK=crash."""
DOTS = frozenset((b"...", b"[...]", b"....", "\u2026".encode()))
"""Lines that stand for what was left out."""


class Scanner:
    """Reads the lines of one source. `sections`: its dumps and profiles."""

    def __init__(self, cache: ParseCache) -> None:
        self.sections: list[Section] = []
        self._cache = cache
        self._parser: SectionParser | None = None
        self._goroutine: GoroutineReader | None = None
        self._group: GroupReader | None = None
        self._header: list[bytes] = []
        """The pieces of a broken first line."""
        self._header_line = 0
        self._prefix = b""
        """The prefix of the current line."""
        self._begun = b""
        """The prefix of the first line of the current goroutine or group."""
        self._has_dots = False
        """Whether dots follow the first line of the section."""
        self._kind = DUMP
        self._boundary = False
        """Whether the next goroutine begins a dump."""
        self._is_thread = False
        """Whether the next dump is what a thread prints after a dump."""

    def feed(self, number: int, line: bytes, prefix: bytes) -> None:
        """Read line `number` of the file, without its prefix."""
        self._prefix = prefix
        line = shapes.bare(line)
        if self._header and line:
            line, number = _joined(b"".join(self._header), line), self._header_line
        if b"oroutine" in line and self._first_line(line, number):
            return
        if b" profile: total " in line and self._profile_line(line, number):
            return
        if self._header:
            self._skip_header()
        if b" @" in line and (match := shapes.GROUP.fullmatch(line)) is not None:
            self._end()
            self._begun = prefix
            self._open(PROFILE, number)
            self._group = GroupReader(int(match[1]), match[2], number)
        elif self._is_boundary(line):
            self._end()
            self._boundary = True
        elif line in DOTS:
            self._has_dots = True
        elif self._goroutine is not None:
            self._goroutine.feed(line, number)
        elif self._group is not None and line:
            self._group.feed(line)

    def close(self) -> None:
        """Finish the last goroutine or group."""
        if self._header:
            self._skip_header().repairs.is_cut = True
        self._end(is_last=True)

    def _is_boundary(self, line: bytes) -> bool:
        """Return whether `line` stands between two dumps; record what it announces."""
        kind = next((kind for mark, kind in KINDS if mark in line[:200]), "")
        self._kind = kind or self._kind
        self._is_thread = self._is_thread or line == THREAD
        return shapes.BOUNDARY.match(line) is not None

    def _first_line(self, line: bytes, number: int) -> bool:
        """Begin a goroutine if `line` is its first line, or the beginning of this."""
        header = shapes.header(line)
        if header is None:
            return False
        if not header.is_complete:
            if len(self._header) >= MAX_HEADER_PIECES:
                return False
            self._header, self._header_line = [line], number
            return True
        self._header = []
        self._is_boundary(line)
        goroutine = self._goroutine
        if goroutine is not None and goroutine.number == header.number and goroutine.is_empty:
            self._goroutine = None  # old versions of goleak print two first lines
        self._end()
        if header.is_goleak:
            self._kind = GOLEAK
        self._goroutine, self._begun = GoroutineReader(header, number), self._prefix
        return True

    def _profile_line(self, line: bytes, number: int) -> bool:
        """Begin a profile if `line` is its header."""
        match = shapes.TOTAL.search(line)
        if match is None or match.end() != len(line):
            return False
        self._end()
        self._boundary, self._kind = False, DUMP
        self._parser = SectionParser(
            Section(kind=PROFILE, line=number, profile=match[1].decode(), total=int(match[2])), self._cache
        )
        self._parser.section.time = time_in(self._prefix)
        self.sections.append(self._parser.section)
        return True

    def _skip_header(self) -> Section:
        """Count a goroutine with an incomplete first line as damaged, and return its section."""
        self._end()
        section = self._open(self._kind, self._header_line).section
        section.repairs.skip(1, self._header_line)
        self._header = []
        return section

    def _open(self, kind: str, line: int) -> SectionParser:
        """Return the parser of the current section, or of a new one if the current section cannot continue."""
        parser, is_profile = self._parser, kind == PROFILE
        if parser is None or self._boundary or bool(parser.section.profile) != is_profile:
            section = Section(kind=kind, line=line, profile="goroutine" if is_profile else "")
            section.time = time_in(self._begun)
            section.is_thread, self._is_thread = self._is_thread, False
            parser = self._parser = SectionParser(section, self._cache)
            self.sections.append(section)
            self._boundary, self._kind = False, DUMP
        return parser

    def _end(self, *, is_last: bool = False) -> None:
        """Finish the current goroutine or group."""
        goroutine, group, self._goroutine, self._group = self._goroutine, self._group, None, None
        if goroutine is not None and not (goroutine.is_tentative and goroutine.is_empty):
            parser = self._open(self._kind, goroutine.line)
            if parser.begins_dump(goroutine):
                self._boundary = True
                parser = self._open(self._kind, goroutine.line)
            parser.add_goroutine(goroutine, is_last=is_last)
        elif group is not None and self._parser is not None:
            self._parser.add_group(group, is_last=is_last)
        if self._has_dots and self._parser is not None:
            self._parser.section.is_part = True
            self._has_dots = False


def _joined(begin: bytes, rest: bytes) -> bytes:
    """Return a broken first line with its next piece."""
    if b"[" not in begin:  # `goroutine 18 gp=0xc000 m=nil [select]:`
        whole = begin + rest
        return whole if rest[:1] != b"[" and not re.match(rb"[a-z]+=", rest) else begin + b" " + rest
    if begin.count(b"{") > begin.count(b"}"):
        return begin + (b" " if begin.endswith((b'",', b":")) else b"") + rest
    end, head = (match[0] if match else b"" for match in map(shapes.STATE_WORD.match, (begin[::-1], rest)))
    is_word = (end and head and end[::-1] + head in shapes.STATE_WORDS) or rest[:1] in b"]:,)"
    return begin + (b"" if is_word else b" ") + rest
