"""Values of leaks: findings, memory cost, leaks and events."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leakwatch.model import Growth, Stack, Verdict, Waiting


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 10-90 % band."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Limit:
    """When a target reaches its memory limit of `size` bytes, in seconds from now, if the leak goes on so.

    `soonest` is None where the heap that its goroutines hold is not known, `latest` where it may not grow at all.
    """

    target: str
    size: float
    soonest: float | None
    latest: float | None


@dataclass(frozen=True, slots=True)
class MemoryCost:
    """What a leak costs in bytes, over all targets of its service.

    `stack`: what each goroutine takes at least; `resident`: with the heap that it holds, None where that is not
    known; `source` says how they are known. `limit` is that of the target that comes first.
    """

    stack: Estimate
    resident: Estimate | None
    source: str
    goroutines: int
    growth: Growth
    limit: Limit | None = None

    @property
    def each(self) -> Estimate:
        """The best that is known of one goroutine."""
        return self.resident or self.stack

    @property
    def per_second(self) -> Estimate:
        """How many bytes more it takes each second."""
        rate, each = self.growth, self.each
        low, high = rate.low * (each.low if rate.low > 0 else each.high), rate.high * each.high
        return Estimate(rate.rate * each.value, low, high)


@dataclass(frozen=True, slots=True)
class Findings:
    """What closer looks told of a leak, over all its targets.

    `proven`: goroutines of which the runtime itself says that nothing can wake them; None where it was not asked
    or cannot tell. `waiting`: from the latest full dumps, None where there is none. `older`: seconds -> at least
    so many goroutines are older, as the counts show. `missing`: what could not be learned -> why.
    """

    proven: int | None = None
    waiting: Waiting | None = None
    older: Mapping[float, int] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transition:
    """A leak had `verdict` from `time` on, in unix seconds."""

    verdict: Verdict
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A stack of a service with a verdict other than normal, over all targets of the service.

    `targets` are the names of those where it grows or grew; `goroutines` counts those of every target.
    `detected_at` is when leaking was first said, None before; `highest` is the highest verdict so far; `life` are
    the latest turns, oldest first; `related` are stacks that grow in step with it; `reason` is one sentence for a
    reader.
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
    """The rate while it last grew."""
    life: tuple[Transition, ...]
    related: tuple[Stack, ...]
    reason: str
    findings: Findings = Findings()
    source: str = ""
    """Where the source of the blamed frame is shown: a URL, "" where that is not known."""
    memory: MemoryCost | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A leak's verdict changed at `time`, from `before`."""

    time: float
    before: Verdict
    leak: Leak

    @property
    def kind(self) -> str:
        """What happened in the life of the leak: opened, suspected, leaking, plateau, recovered or closed."""
        if self.leak.verdict is Verdict.NORMAL:
            return "closed"
        opened = self.before is Verdict.NORMAL and self.leak.verdict is Verdict.SUSPECTED
        return "opened" if opened else self.leak.verdict.word
