"""Values of leaks: findings, memory cost, leaks and events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from leakwatch.causes.model import Cause
from leakwatch.model import Frame, Growth, Stack, Verdict, Waiting


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 10-90 % band."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Time until a target reaches its memory limit of `size` bytes at the current growth, in seconds from now.

    `soonest` is None if the heap of the leak is unknown, `latest` if the leak may not grow at all.
    """

    target: str
    size: float
    soonest: float | None
    latest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCost:
    """Bytes that a leak holds, over all targets of its service.

    `stack`: stack of one goroutine, at least; `resident`: stack and heap of one goroutine, None if unknown;
    `source`: how they were measured; `limit`: of the target that reaches its memory limit first.
    """

    stack: Estimate
    resident: Estimate | None
    source: str
    goroutines: int
    growth: Growth
    limit: Limit | None = None

    @property
    def per_goroutine(self) -> Estimate:
        """Bytes of one goroutine, with its heap if known."""
        return self.resident or self.stack

    @property
    def per_second(self) -> Estimate:
        """Growth in bytes per second."""
        growth, cost = self.growth, self.per_goroutine
        low = growth.low * (cost.low if growth.low > 0 else cost.high)
        return Estimate(growth.rate * cost.value, low, growth.high * cost.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Results of all probes for one leak, over all its targets.

    `proven`: goroutines that the runtime reports as leaked, None without a proof; `waiting`: wait times of the
    latest full dumps, None without one; `dumped_at`: time of the earliest of these dumps; `older`: age in seconds
    -> goroutines that are at least that old, by their counts; `unavailable`: probe -> why it has no result.
    """

    proven: int | None = None
    waiting: Waiting | None = None
    dumped_at: float | None = None
    older: Mapping[float, int] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)


Severity = Literal["page", "ticket", ""]
"""How urgent a leak is; "" for a stack that was never leaking."""

Way = Literal["ancestors", "creator", "heap", "seen", "labels"]
"""How a caller was found: ancestors or creators in a full dump, heap profile, other stacks, labels."""
Certainty = Literal["certain", "likely", "possible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The own code that opens what a leak holds, or a label of its goroutines.

    `function`: None for a label. `share`: of the goroutines of the leak, or for the heap of the live bytes that
    `part` has allocated for own code; None if unknown. `part`: the module that the function calls, or the part of
    the standard library. `is_weak`: whether healthy code calls this part as well, which is likely for net/http.
    `label`, `value`: of the goroutines.
    """

    way: Way
    certainty: Certainty
    function: Frame | None = None
    share: float | None = None
    part: str = ""
    is_weak: bool = False
    label: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """The change to `verdict` at `time`, in unix seconds."""

    verdict: Verdict
    time: float


@dataclass(frozen=True, slots=True)
class RelatedStack:
    """A stack or site that belongs to a leak beside its head; `goroutines` and `grew`: over all targets."""

    stack: Stack
    verdict: Verdict
    goroutines: int
    grew: Growth


@dataclass(frozen=True, slots=True)
class Holder:
    """A stack that the goroutines of a leak probably wait for, and its goroutines over all targets."""

    stack: Stack
    goroutines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A stack of a service with a verdict other than normal, over all targets of the service.

    `targets`: names of the targets where the leak grows or grew; `goroutines`: of all targets; `detected_at`: time
    of the first verdict `leaking`, None before; `highest`: the highest verdict so far; `transitions`: the latest
    ones, oldest first; `related`: the other stacks of the leak, the largest first; `in_step`: heads of other leaks
    that grow in step; `cause`: the likely cause, None if nothing in the catalogue fits; `holders`: what the
    goroutines probably wait for; `reason`: one sentence.
    """

    service: str
    stack: Stack
    verdict: Verdict
    goroutines: int
    growth: Growth
    confidence: float
    first_seen: float
    detected_at: float | None
    targets: tuple[str, ...]
    owner: str
    highest: Verdict
    grew: Growth
    """Growth while the leak last grew."""
    transitions: tuple[Transition, ...]
    related: tuple[RelatedStack, ...]
    reason: str
    in_step: tuple[Stack, ...] = ()
    cause: Cause | None = None
    holders: tuple[Holder, ...] = ()
    findings: Findings = Findings()
    source: str = ""
    """URL of the source of the blamed frame, "" if unknown."""
    memory: MemoryCost | None = None
    callers: tuple[Caller, ...] = ()
    """The callers of a leak without own code: the best first, at most 5."""
    severity: Severity = ""
    target_labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of `metrics.target_labels`, "" if the targets of the service differ."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change of the verdict of a reported leak at `time`, in unix seconds; `before`: the previous verdict."""

    time: float
    before: Verdict
    leak: Leak

    @property
    def kind(self) -> str:
        """The kind of the change: opened, closed, or the new verdict."""
        if self.leak.verdict is Verdict.NORMAL:
            return "closed"
        opened = self.before is Verdict.NORMAL and self.leak.verdict is Verdict.SUSPECTED
        return "opened" if opened else self.leak.verdict.word
