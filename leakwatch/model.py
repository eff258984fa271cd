"""The values that flow through leakwatch; words as in docs/words.md. No behaviour, no I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NewType

from leakwatch.errors import REASONS

Fingerprint = NewType("Fingerprint", str)
"""The stable identity of a stack: 16 hex digits."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One call in a stack: function as Go prints it, file and line ("" and 0 when unknown)."""

    function: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One stack as a profile prints it.

    `frames` are the visible ones, leaf first; `counters` are the raw program counters as text ("0x.." parted by
    spaces, leaf first, hidden runtime frames included). `truncated`: the profile cut the root side, so the
    origin is unknown. `parked` is the hidden function that the innermost visible one called, "" where the profile
    does not name it; `parked_at` is its address, 0 where nothing is hidden or where it is named. `wait` is the
    wait reason, where the profile itself says so. Compared by identity, because a parser gives equal text the
    same object.
    """

    frames: tuple[Frame, ...]
    counters: bytes = b""
    labels: tuple[tuple[str, str], ...] = ()
    truncated: bool = False
    parked: str = ""
    parked_at: int = 0
    wait: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """Which process a target runs in: `start` differs between two starts, `build` between two builds.

    Both are opaque text, "" where unknown.
    """

    start: str = ""
    build: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One parsed body: the groups in the order of the body, and the sum of their counts."""

    total: int
    groups: tuple[tuple[Trace, int], ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack with its identity and what it says to a reader.

    `frames` leaf first; `blamed` is the frame to look at, `origin` the outermost function, `wait` the wait
    reason in debug=2's words ("" when unknown). A `site` is all stacks that blame one function; its only frame is
    that function, and it has the origin and the wait reason that all of them have.
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
    """A stack and its number of goroutines in one profile; `trace` is its largest, None where there is no body."""

    stack: Stack
    goroutines: int
    trace: Trace | None = field(default=None, compare=False)


Samples = Mapping[Fingerprint, Sample]


@dataclass(frozen=True, slots=True)
class Target:
    """One scrape address of one process; two targets are the same when service and address are.

    `name` is the address as users write it (label `target`), `labels` are those of its target group.
    """

    service: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def shown(self) -> Mapping[str, str]:
        """Its labels, with `service` and `target` as metrics and alerts have them."""
        return {**self.labels, "service": self.service, "target": self.name}


class Verdict(IntEnum):
    """What we think of a series; ordered by how much it wants attention."""

    NORMAL = 0
    RECOVERED = 1
    PLATEAU = 2
    SUSPECTED = 3
    LEAKING = 4
    PROVEN = 5

    @property
    def word(self) -> str:
        """The verdict as metrics, pages and docs spell it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Growth:
    """A rate in goroutines per second with its 10-90 % band."""

    rate: float
    low: float
    high: float


NO_GROWTH: Final = Growth(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the detector says of one series; times in unix seconds.

    `window` names the window that gave the score; `first_seen` is when the growth began; `confidence` is between
    0 and 1. `grew` is the rate while it last grew, `growth` that of now.
    """

    verdict: Verdict
    score: float
    window: str
    growth: Growth
    confidence: float
    first_seen: float
    since: float
    """When the growth of this lifetime began."""
    goroutines: int
    grew: Growth
    before: float
    """Goroutines until the growth began; nan for a whole service, whose targets restart."""
    gained: float
    """Goroutines more than then."""
    left: tuple[float, float] | None
    """Goroutines that left per second, then and now; None where scrapes are too few to tell."""
    restarted: bool = False
    """It leaked before the process restarted, and has not yet grown again."""
    related: frozenset[Fingerprint] = frozenset()
    """Stacks of the same target that grow in step with it."""
    targets: tuple[str, ...] = ()
    """Of a whole service: those that it grows on."""
    rose: float = 0.0
    """When its floor last rose to where it had not been."""


@dataclass(slots=True)
class TargetHealth:
    """How the scrapes of one target went; `results` counts "success" and each reason."""

    results: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(("success", *REASONS), 0)))
    up: bool | None = None
    duration: float = 0.0
    body_bytes: int = 0
    reason: str = ""
    error: str = ""
    time: float = 0.0
    since: float = 0.0
    """When it went up, or down."""
    interval: float = 0.0
    """Seconds from scrape to scrape, stretched where the target would pay too much."""


@dataclass(frozen=True, slots=True)
class JudgedStack:
    """A stack or site and its judgement."""

    stack: Stack
    judgement: Judgement


JudgedStacks = Mapping[Fingerprint, JudgedStack]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How some goroutines wait: how many for so many minutes (None: not said), in each state, by each creator."""

    minutes: Mapping[int | None, int]
    states: Mapping[str, int]
    creators: Mapping[Frame, int]
