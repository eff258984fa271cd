"""Recorded profiles as observations in the order of time: the other way into the pipeline, beside scraping."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from leakwatch.cli.analyze.spacing import Spacing, spacing
from leakwatch.errors import quote
from leakwatch.model import Samples, Target

LATEST = 253_402_300_800.0
"""The year 10000; what is later is in another unit."""

Say = Callable[[str], None]
"""Takes one line about something that was left out."""

Observation = tuple[float, Target, int, Samples]
"""Time in unix seconds, target, total, samples."""


@dataclass(slots=True)
class RecordedTarget:
    """What was recorded of one target: how many profiles could be read, how many not, and when."""

    target: Target
    times: list[float] = field(default_factory=list)
    """Of all of them, in unix seconds, ascending."""
    profiles: int = 0
    skipped: int = 0
    first: float | None = None
    last: float | None = None

    @property
    def name(self) -> str:
        """What to call the target in a complaint."""
        service, name = self.target.service, self.target.name
        return name if service == name else f"{service}/{name}"

    @property
    def spacing(self) -> Spacing:
        """How its profiles lie in time."""
        return spacing(self.times)

    def overlaps(self, other: "RecordedTarget") -> bool:
        """Tell whether it was recorded at the same time as `other`."""
        return self.times[0] <= other.times[-1] and other.times[0] <= self.times[-1]

    def read(self, time: float) -> None:
        """Count a profile that could be read."""
        self.profiles += 1
        self.first = time if self.first is None else self.first
        self.last = time


class Recording(Protocol):
    """Profiles of one target or more, in the order of their `times`; `kept` says what became of them."""

    @property
    def kept(self) -> Sequence[RecordedTarget]:
        """What was recorded of each target."""

    @property
    def times(self) -> Sequence[float]:
        """In unix seconds, ascending."""

    def observations(self) -> Iterator[Observation | None]:
        """Yield an observation per time, None where the profile cannot be read."""


def unix(text: str) -> float:
    """Return the unix time in seconds that `text` says; raises ValueError, which names other units."""
    try:
        time = float(text)
    except ValueError:
        time = -1.0
    if 0 <= time < LATEST:
        return time
    units = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
    unit = next((unit for factor, unit in units.items() if LATEST <= time < factor * LATEST), "")
    said = f"in {unit}, not in seconds" if unit else "no unix time in seconds"
    raise ValueError(f"time {quote(text)} is {said}")


def tell_apart(recordings: Iterable[Recording], say: Say) -> None:
    """Rename targets that are called alike and whose times overlap; those that follow one another are one."""
    known: dict[Target, list[RecordedTarget]] = {}
    for kept in (kept for one in recordings for kept in one.kept if kept.times):
        named, number = kept.target, 1
        while any(kept.overlaps(other) for other in known.get(kept.target, ())):
            number += 1
            kept.target = Target(named.service, f"{named.name} ({number})")
        if number > 1:
            say(f"two targets are called {quote(named.name)}: one is now {quote(kept.target.name)}")
        known.setdefault(kept.target, []).append(kept)


def merge(recordings: Sequence[Recording]) -> Iterator[Observation | None]:
    """Yield the observations of all `recordings` in the order of time, None for each that cannot be read."""
    streams = [recording.observations() for recording in recordings]
    order = heapq.merge(*([(time, number) for time in one.times] for number, one in enumerate(recordings)))
    for _, number in order:
        yield next(streams[number])
