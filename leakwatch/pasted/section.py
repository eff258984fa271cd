"""One dump or profile of a text that may have several, and what was repaired in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from leakwatch.errors import ProfileError
from leakwatch.model import Profile
from leakwatch.pasted.goroutine import GoroutineReader
from leakwatch.pasted.groups import GroupReader
from leakwatch.profile import dump, text
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.goroutine import Goroutine

PROFILER = b"runtime/pprof.writeGoroutineStacks"
"""The function that writes debug=2: its goroutine is the first of a dump."""
PRINTERS = (b"runtime/debug.Stack", b"runtime/debug.PrintStack")


@dataclass(slots=True, kw_only=True)
class Repairs:
    """Numbers of the repairs of one section, in goroutines and lines."""

    skipped: int = 0
    """Damaged goroutines that were left out."""
    first_skipped: int = 0
    """Line of the first damaged goroutine."""
    joined: int = 0
    noise: int = 0
    missing_places: int = 0
    without_calls: int = 0
    """Goroutines of groups that have addresses but no calls."""
    rootless: int = 0
    """Goroutines without the outermost call."""
    is_cut: bool = False
    """Whether the text ends within a goroutine or a group."""

    def skip(self, goroutines: int, line: int) -> None:
        """Count goroutines that were left out, at a line of the file."""
        self.skipped += goroutines
        self.first_skipped = self.first_skipped or line


@dataclass(slots=True, kw_only=True)
class Section:
    """The goroutines or groups of one dump or profile.

    `kind`: its name for messages. `profile`: the name in the header of debug=1, "" for a dump. `total`: the number
    of goroutines in this header, None if it is missing.
    """

    kind: str
    line: int
    profile: str = ""
    total: int | None = None
    time: float | None = None
    """Time in the prefix of the first line, in unix seconds."""
    is_part: bool = False
    """Whether an ellipsis shows that groups were left out."""
    is_thread: bool = False
    """Whether it is what one thread prints after the dump (GOTRACEBACK=crash): its goroutine again."""
    numbers: set[int] = field(default_factory=set)
    has_running: bool = False
    repairs: Repairs = field(default_factory=Repairs)
    goroutines: list[Goroutine] = field(default_factory=list)
    groups: list[text.Group] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The number of goroutines that were read."""
        return len(self.goroutines) + sum(count for _, count in self.groups)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was read or skipped."""
        return not self.size and not self.repairs.skipped and self.total != 0

    def result(self) -> Profile | dump.Dump:
        """Return the profile or the dump."""
        if self.profile:
            return Profile(self.size, tuple(self.groups))
        return dump.Dump(tuple(self.goroutines), self.repairs.is_cut)


class SectionParser:
    """Parses the goroutines and groups of one section with the strict parsers, and counts those that fail."""

    def __init__(self, section: Section, cache: ParseCache) -> None:
        self.section = section
        self._dump = dump.Parser()
        self._text = text.Parser(cache)
        if section.profile:
            self._text.feed(b"goroutine profile: total 0\n")

    def begins_dump(self, reader: GoroutineReader) -> bool:
        """Return whether `reader` has the first goroutine of another dump."""
        section = self.section
        if not section.numbers or reader.number == 0:
            return False
        if reader.number in section.numbers or reader.first_call == PROFILER:
            return True
        return section.has_running and reader.first_call in PRINTERS

    def add_goroutine(self, reader: GoroutineReader, *, is_last: bool) -> None:
        """Parse a goroutine."""
        section, repairs = self.section, self.section.repairs
        if reader.is_empty and is_last:  # only the first line was saved, unless the others have no calls either
            goroutines = section.goroutines
            reader.damaged = not (goroutines and not goroutines[-1].trace.frames)
        printed = reader.close(is_last=is_last)
        section.numbers.add(reader.number)
        section.has_running = section.has_running or b"[running" in printed.partition(b"\n")[0]
        repairs.joined += reader.joined
        repairs.noise += reader.noise
        if not reader.damaged:
            try:
                parsed = self._dump.feed(printed)
            except ProfileError:
                reader.damaged = True
            else:
                section.goroutines += parsed
                repairs.missing_places += reader.missing_places
                repairs.rootless += not reader.has_root
        if reader.damaged and reader.number:
            repairs.skip(1, reader.damaged_line or reader.line)
        is_cut = reader.damaged or (not reader.has_root and len(section.numbers) > 1)
        repairs.is_cut = repairs.is_cut or (is_last and is_cut)

    def add_group(self, reader: GroupReader, *, is_last: bool) -> None:
        """Parse a group."""
        repairs = self.section.repairs
        printed = reader.close()
        repairs.joined += reader.joined
        repairs.without_calls += reader.count if reader.has_lost_calls else 0
        if not reader.damaged:
            try:
                self.section.groups += self._text.feed(printed)
            except ProfileError:
                reader.damaged = True
        if reader.damaged:
            repairs.skip(reader.count, reader.line)
            repairs.is_cut = repairs.is_cut or is_last


def complete(sections: Iterable[Section]) -> list[Section]:
    """Return the sections that have goroutines, in the order of the file. Threads repeat goroutines."""
    found: list[Section] = []
    for section in sorted(sections, key=lambda section: section.line):
        if found and section.is_thread and section.size <= 1 and section.numbers <= {0, *found[-1].numbers}:
            _add_thread(section, found[-1])
        elif not section.is_empty:
            found.append(section)
    return found


def _add_thread(thread: Section, section: Section) -> None:
    """Replace a goroutine of `section` if only its own thread has its calls."""
    repeated = {goroutine.number: goroutine for goroutine in thread.goroutines}
    section.goroutines = [
        goroutine if goroutine.trace.frames else repeated.get(goroutine.number, goroutine)
        for goroutine in section.goroutines
    ]
