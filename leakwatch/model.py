"""Values that several packages exchange, named as in docs/words.md."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Final, NewType

from leakwatch.errors import REASONS

Fingerprint = NewType("Fingerprint", str)
"""The identity of a stack, the same in all builds: 16 hex digits."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One call in a stack: the function as Go prints it, file and line ("" and 0 if unknown)."""

    function: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A stack as a profile prints it.

    `frames`: visible frames, leaf first. `counters`: program counters as text ("0x.." after spaces, leaf first),
    also those of hidden runtime frames. `truncated`: whether the root is missing, so that the origin is unknown.
    `parked`: the hidden function that the innermost visible frame called, "" if the profile does not name it.
    `parked_at`: the address of this function, 0 if it is named or no frame is hidden. `wait`: the wait reason, if
    the profile has it. `repeated`: whether the parser keeps the trace, because an earlier group had it.

    Traces compare by identity, because a parser returns the same object for equal text.
    """

    frames: tuple[Frame, ...]
    counters: bytes = b""
    _: KW_ONLY
    labels: tuple[tuple[str, str], ...] = ()
    truncated: bool = False
    parked: str = ""
    parked_at: int = 0
    wait: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """The process of a target. `start` identifies its start, `build` its binary; both are "" if unknown."""

    start: str = ""
    build: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One parsed body: its groups in their order, and the sum of their counts."""

    total: int
    groups: tuple[tuple[Trace, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An identified stack, or a site.

    `frames`: leaf first. `wait`: the wait reason in the words of debug=2, "" if unknown. `site`: whether this is a
    site, that is all stacks with one blamed function. The only frame of a site is this function. Its origin and
    wait reason are those that all its stacks share.
    """

    fingerprint: Fingerprint
    frames: tuple[Frame, ...]
    blamed: Frame
    origin: str
    wait: str
    truncated: bool = False
    site: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A stack and its number of goroutines in one profile; `trace`: its largest group, None without a body."""

    stack: Stack
    goroutines: int
    trace: Trace | None = field(default=None, compare=False)


Samples = Mapping[Fingerprint, Sample]


@dataclass(frozen=True, slots=True)
class Target:
    """One scrape address of one process. Targets with the same service and name are equal.

    `name`: the address as users write it (label `target`). `labels`: those of the target group.
    """

    service: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def all_labels(self) -> Mapping[str, str]:
        """The labels of the target in metrics and alerts, with `service` and `target`."""
        return {**self.labels, "service": self.service, "target": self.name}


class Verdict(IntEnum):
    """The verdict on a series, ordered by urgency."""

    NORMAL = 0
    RECOVERED = 1
    PLATEAU = 2
    SUSPECTED = 3
    LEAKING = 4
    PROVEN = 5

    @cached_property
    def word(self) -> str:
        """The verdict as metrics, pages and docs spell it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Growth:
    """A rate in goroutines per second, with its 10-90 % band."""

    rate: float
    low: float
    high: float


NO_GROWTH: Final = Growth(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The result of the detector for one series; times in unix seconds.

    `window`: the name of the window with this score. `growth`: the current rate. `grew`: the rate during the
    latest growth. `first_seen`: when the growth began, also in an earlier process. `confidence`: between 0 and 1.
    """

    verdict: Verdict
    score: float
    window: str
    growth: Growth
    confidence: float
    first_seen: float
    since: float
    """When the growth in this lifetime of the process began."""
    goroutines: int
    grew: Growth
    before: float
    """Goroutines before the growth; nan for a service, because its targets restart."""
    gained: float
    """Increase of goroutines since then."""
    left: tuple[float, float] | None
    """Departures per second, when the growth began and now; None if there are too few scrapes."""
    stuck: int | None = None
    """Stuck goroutines in the latest full dump, if it confirmed the leak; the growth is then that of these."""
    restarted: bool = False
    """Whether the series leaked before the process restarted, and has not grown since."""
    related: frozenset[Fingerprint] = frozenset()
    """Stacks of the same target that grow in step."""
    targets: tuple[str, ...] = ()
    """For a service: the targets with growth."""
    rose: float = 0.0
    """When the floor last reached a new maximum."""


@dataclass(slots=True, kw_only=True)
class TargetHealth:
    """The results of the scrapes of one target; `results`: their number by reason, or "success"."""

    results: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(("success", *REASONS), 0)))
    up: bool | None = None
    duration: float = 0.0
    body_bytes: int = 0
    reason: str = ""
    error: str = ""
    time: float = 0.0
    since: float = 0.0
    """When the target went up or down."""
    interval: float = 0.0
    """Seconds between two scrapes, stretched if scrapes cost too much or leakwatch is overloaded."""
    stretched_by: str = ""
    """The cost that stretches the interval, or "overload"; "" if it is not stretched."""
    cost: float = 0.0
    """Mean share of one core that scrapes cost the service, at most, over the last minutes."""

    def after_restart(self) -> "TargetHealth":
        """Return the health that a new process of leakwatch begins with.

        Its counters begin at zero: a counter that continues below its last exported value would count everything
        twice. A target that was down is down since then, and whether another one is still up is unknown.
        """
        return TargetHealth(
            up=self.up and None, reason=self.reason, error=self.error, time=self.time, since=self.since
        )


@dataclass(frozen=True, slots=True)
class JudgedStack:
    """A stack or site and its judgement."""

    stack: Stack
    judgement: Judgement


JudgedStacks = Mapping[Fingerprint, JudgedStack]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How goroutines wait: their number by minutes (None: unknown), by state and by creator."""

    minutes: Mapping[int | None, int]
    states: Mapping[str, int]
    creators: Mapping[Frame, int]
