"""Calls of own code into the module that a leak is in: on allocation paths and in full dumps."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.model import Frame, Stack
from leakwatch.profile.blame import IsOwn, innermost_own, is_written, part_of
from leakwatch.profile.goroutine import Goroutine
from leakwatch.profile.heap import HeapRecord

MOST: Final = 5  # functions of one result


@dataclass(frozen=True, slots=True)
class HeapCaller:
    """Own code, and the live bytes and sampled objects that a part has allocated for it."""

    function: Frame
    size: float
    objects: int


@dataclass(frozen=True, slots=True)
class HeapPart:
    """Live bytes that one module, or part of the standard library, has allocated for own code.

    `goroutines`: those of the leak at that time; `callers`: the largest ones.
    """

    size: float
    goroutines: int
    callers: tuple[HeapCaller, ...]


class HeapTally:
    """Sums up the live bytes of `parts` by the own code that called them."""

    def __init__(self, parts: Collection[str], is_own: IsOwn) -> None:
        self._parts = frozenset(parts)
        self._is_own = is_own
        self._frames: dict[Frame, tuple[bool, str]] = {}
        """Frame -> whether it is own code, and its part if that is wanted."""
        self._sums: dict[tuple[str, str], HeapCaller] = {}
        """Part and own function -> its sums; the frame is that of the largest record."""
        self._largest: dict[tuple[str, str], float] = {}

    def add(self, records: Iterable[HeapRecord]) -> None:
        """Add the records of a profile."""
        for record in records:
            called: set[str] = set()
            for frame in record.frames:
                is_own, part = self._frames.get(frame) or self._look_up(frame)
                if is_own:
                    for each in called:
                        self._add((each, frame.function), frame, record)
                    break
                if part:
                    called.add(part)

    def parts(self, goroutines: Mapping[str, int]) -> dict[str, HeapPart]:
        """Return part -> its live bytes; `goroutines`: part -> goroutines of the leak in it, for all parts."""
        parts = {}
        for part, number in goroutines.items():
            callers = [caller for (each, _), caller in self._sums.items() if each == part]
            callers.sort(key=lambda caller: -caller.size)
            parts[part] = HeapPart(sum(caller.size for caller in callers), number, tuple(callers[:MOST]))
        return parts

    def _look_up(self, frame: Frame) -> tuple[bool, str]:
        is_own = is_written(frame) and self._is_own(frame)
        part = "" if is_own else part_of(frame.function)
        self._frames[frame] = result = is_own, part if part in self._parts else ""
        return result

    def _add(self, key: tuple[str, str], frame: Frame, record: HeapRecord) -> None:
        before = self._sums.get(key, HeapCaller(frame, 0.0, 0))
        if record.size > self._largest.get(key, 0.0):
            self._largest[key] = record.size
        else:
            frame = before.function
        self._sums[key] = HeapCaller(frame, before.size + record.size, before.objects + record.objects)


CREATOR: Final = "creator"  # it started the goroutine
ANCESTOR: Final = "ancestor"  # it called what started the goroutine
FAR_ANCESTOR: Final = "far ancestor"  # it called something else, such as a server, which then opened it
PARENT_INSIDE: Final = "parent inside"  # it runs in the goroutine that started it, and still calls the same part
PARENT: Final = "parent"  # it runs in the goroutine that started it, and does something else now


@dataclass(frozen=True, slots=True)
class Starter:
    """Own code that started goroutines of a leak; `relation`: one of the constants above."""

    function: Frame
    relation: str
    goroutines: int


ByNumber = Callable[[int], Goroutine | None]
"""Returns the goroutine with this number in a full dump, None if it has ended."""


def starters(stack: Stack, goroutines: Iterable[Goroutine], by_number: ByNumber, is_own: IsOwn) -> list[Starter]:
    """Return the own code that started the `goroutines` of `stack`, the most frequent first."""
    counts = Counter[tuple[Frame, str]]()
    for goroutine in goroutines:
        starter = _starter(goroutine, part_of(stack.blamed.function), by_number, is_own)
        if starter is not None:
            counts[starter] += 1
    return [Starter(*starter, number) for starter, number in counts.most_common(MOST)]


def _starter(goroutine: Goroutine, part: str, by_number: ByNumber, is_own: IsOwn) -> tuple[Frame, str] | None:
    """Return the own code that started a goroutine, and its relation; `part`: the part that the stack blames."""
    creator = goroutine.creator
    if creator is not None and is_own(creator):
        return creator, CREATOR
    parts = {part, part_of(creator.function)} if creator else {part}
    for ancestor in goroutine.ancestors:
        own = innermost_own(ancestor.frames, is_own)
        if own is not None:
            is_near = own == 0 or _calls(ancestor.frames[:own], parts)
            return ancestor.frames[own], ANCESTOR if is_near else FAR_ANCESTOR
    parent = by_number(goroutine.parent)
    frames = parent.trace.frames if parent else ()
    own = innermost_own(frames, is_own)
    if own is None:
        return None
    return frames[own], PARENT_INSIDE if _calls(frames[:own], parts) else PARENT


def _calls(frames: Sequence[Frame], parts: Collection[str]) -> bool:
    return any(part_of(frame.function) in parts for frame in frames)
