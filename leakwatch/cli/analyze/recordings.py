"""Recordings: observations of targets from saved profiles or counts, merged in the order of time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from leakwatch.cli.analyze.spacing import Spacing, spacing
from leakwatch.cli.symbol_files import Warn
from leakwatch.detect.dumped import DumpedStacks
from leakwatch.errors import quote
from leakwatch.model import Samples, Target

YEAR_10000 = 253_402_300_800.0
"""Unix seconds. A later time is in another unit."""
UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One profile of a recording: its time in unix seconds, target, total and samples.

    `dumps`: the full dumps from then until the next profile, with their times.
    """

    time: float
    target: Target
    total: int
    samples: Samples
    dumps: Sequence[tuple[float, DumpedStacks]] = ()


@dataclass(slots=True, kw_only=True)
class RecordedTarget:
    """One target of a recording, with the number of profiles that were read and skipped."""

    target: Target
    times: list[float] = field(default_factory=list)
    """Times of all profiles in unix seconds, ascending."""
    profiles: int = 0
    skipped: int = 0
    first: float | None = None
    """Time of the first profile that was read."""
    last: float | None = None

    @property
    def name(self) -> str:
        """Service and target for messages, or only the target if they are equal."""
        service, name = self.target.service, self.target.name
        return name if service == name else f"{service}/{name}"

    @property
    def spacing(self) -> Spacing:
        """The spacing of the profiles."""
        return spacing(self.times)

    def overlaps(self, other: "RecordedTarget") -> bool:
        """Return whether the times of both targets overlap."""
        return self.times[0] <= other.times[-1] and other.times[0] <= self.times[-1]

    def count_profile(self, time: float) -> None:
        """Count a profile that was read."""
        self.profiles += 1
        self.first = time if self.first is None else self.first
        self.last = time


class ProfileRecording(Protocol):
    """Profiles of one target or more."""

    @property
    def targets(self) -> Sequence[RecordedTarget]:
        """The targets."""

    @property
    def times(self) -> Sequence[float]:
        """The times of all profiles in unix seconds, ascending."""

    def observations(self) -> Iterator[Observation | None]:
        """Yield one observation per time, None if the profile cannot be read."""


def parse_time(text: str) -> float:
    """Return unix seconds; raises ValueError, with the unit if the time is in a finer one."""
    try:
        time = float(text)
    except ValueError:
        time = -1.0
    if 0 <= time < YEAR_10000:
        return time
    unit = next((unit for factor, unit in UNITS.items() if YEAR_10000 <= time < factor * YEAR_10000), "")
    error = f"in {unit}, not in seconds" if unit else "not a unix time in seconds"
    raise ValueError(f"time {quote(text)} is {error}")


def rename_overlapping(recordings: Iterable[ProfileRecording], warn: Warn) -> None:
    """Rename targets that have equal names and overlapping times. Without overlap they are the same target."""
    by_target: dict[Target, list[RecordedTarget]] = {}
    for recorded in (recorded for recording in recordings for recorded in recording.targets if recorded.times):
        original, number = recorded.target, 1
        while any(recorded.overlaps(other) for other in by_target.get(recorded.target, ())):
            number += 1
            recorded.target = Target(original.service, f"{original.name} ({number})")
        if number > 1:
            warn(f"two targets are named {quote(original.name)}: one is now {quote(recorded.target.name)}")
        by_target.setdefault(recorded.target, []).append(recorded)


def merge(recordings: Sequence[ProfileRecording]) -> Iterator[Observation | None]:
    """Yield the observations of all recordings in the order of time, None for each profile that cannot be read."""
    streams = [recording.observations() for recording in recordings]
    order = heapq.merge(
        *([(time, number) for time in recording.times] for number, recording in enumerate(recordings))
    )
    for _, number in order:
        yield next(streams[number])
