"""The result of reading a saved file: its dumps and profiles, and one sentence about how they were read."""

from dataclasses import dataclass, field

from leakwatch.model import Profile
from leakwatch.pasted.section import Section
from leakwatch.profile.dump import Dump

LISTED = 5
"""Dumps that a sentence lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedProfile:
    """A profile or dump of a saved file.

    `repairs`: how the text differs from what Go prints, in words; `skipped`: number of damaged goroutines that
    were left out; `part_of`: total in the header, if it is larger; `is_proven`: whether Go's runtime reports all
    goroutines as leaked; `is_difference`: whether counts are changes, which may be negative; `time`: in unix
    seconds, None if the body does not have it; `is_intact`: whether the file has exactly what Go prints;
    `has_waits`: whether the format has wait reasons.
    """

    source: Profile | Dump
    kind: str
    repairs: tuple[str, ...] = ()
    skipped: int = 0
    part_of: int | None = None
    is_proven: bool = False
    is_difference: bool = False
    time: float | None = None
    is_intact: bool = True
    has_waits: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether the counts are those of the process: nothing was skipped, and no part is missing."""
        is_truncated = isinstance(self.source, Dump) and self.source.truncated
        return not (self.skipped or self.part_of is not None or is_truncated or self.is_difference)

    @property
    def total(self) -> int:
        """The number of goroutines that were read."""
        return len(self.source.goroutines) if isinstance(self.source, Dump) else self.source.total


@dataclass(frozen=True, slots=True)
class SavedFile:
    """The profiles of a file, in their order; `formats`: the formats around them, such as "a journald log"."""

    profiles: tuple[SavedProfile, ...]
    formats: tuple[str, ...] = field(default=())

    def sentence(self, index: int) -> str:
        """Return how the profile `index` was read, "" if it is exactly what Go prints."""
        index %= len(self.profiles)
        profile = self.profiles[index]
        if profile.is_intact:
            return ""
        parts = [
            f"read {counted(profile.total, 'goroutine')} from {profile.kind}{self._place()}",
            *profile.repairs,
        ]
        if len(self.profiles) > 1:
            sizes = [str(profile.total) for profile in self.profiles]
            listed = ", ".join(sizes if len(sizes) <= LISTED else ("...", *sizes[-LISTED:]))
            parts.append(
                f"the file has {len(self.profiles)}, of {listed} goroutines: this is number {index + 1}"
                " (--dump N or --dump all for others; `leakwatch diff` compares the first with the last)"
            )
        return "; ".join(parts)

    def as_json(self, index: int) -> dict[str, object]:
        """Return how a profile was read, as JSON."""
        index %= len(self.profiles)
        profile = self.profiles[index]
        return {
            "kind": profile.kind,
            "formats": list(self.formats),
            "message": self.sentence(index),
            "skipped": profile.skipped,
            "part_of": profile.part_of,
            "dump": index + 1,
            "dumps": len(self.profiles),
        }

    def _place(self) -> str:
        return f" in {', '.join(self.formats)}" if self.formats else ""


def has_waits(source: Profile | Dump) -> bool:
    """Return whether a profile names what its goroutines wait for, which debug=1 does not."""
    if isinstance(source, Dump):
        return True
    return any(trace.parked or trace.wait for trace, _ in source.groups) or not source.groups


def saved_profile(section: Section) -> SavedProfile:
    """Return the result of one section."""
    total = section.total
    part_of = total if total is not None and total > section.size else None
    return SavedProfile(
        source=section.result(),
        kind=section.kind,
        repairs=tuple(_repairs(section, part_of)),
        skipped=section.repairs.skipped,
        part_of=part_of,
        is_proven=section.profile == "goroutineleak",
        time=section.time,
        is_intact=False,
        has_waits=has_waits(section.result()),
    )


def _repairs(section: Section, part_of: int | None) -> list[str]:
    """Return the differences from what Go prints, in words."""
    repairs = section.repairs
    differences = {
        f"skipped {repairs.skipped} damaged {'one' if repairs.skipped == 1 else 'ones'}"
        f" (line {repairs.first_skipped})": repairs.skipped,
        _completeness(section, part_of): True,
        "the text ends early": repairs.is_cut,
        f"the outermost calls of {repairs.rootless} may be missing": repairs.rootless and not repairs.is_cut,
        "their calls are missing": 0 < section.size == repairs.without_calls,
        f"{counted(repairs.missing_places, 'call')} without file": repairs.missing_places,
        f"joined {counted(repairs.joined, 'broken line')}": repairs.joined,
        f"left out {counted(repairs.noise, 'other line')}": repairs.noise,
    }
    return [words for words, applies in differences.items() if words and applies]


def _completeness(section: Section, part_of: int | None) -> str:
    """Return whether the header or an ellipsis shows that groups are missing, in words."""
    if part_of is not None:
        return f"a part of {part_of}"
    if section.is_part:
        return "dots show that a part is missing"
    if section.profile and section.total is None:
        return "the header is missing, so the total is unknown"
    return f"its header has only {section.total}" if (section.total or section.size) < section.size else ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 goroutine" and "2 goroutines"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
