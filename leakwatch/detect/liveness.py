"""Liveness: whether the goroutines that stacks gained are alive or stuck, as full dumps show it. Pure.

A pool that fills and a leak have the same counts. Of the goroutines that a stack gained between t - T and t - T/4,
those of a leak still wait in a dump at time t, and those of a pool have run in the meantime. With K(w), the number
of goroutines that have waited for w or longer, and the level of the count,

    waiting  = K(T/4) - K(T)
    expected = level(t - T/4) - level(t - T)
    alive:  waiting <= 0.3 expected, or (waiting - expected) / level(t - T) >= 0.5: older goroutines woke up too
    stuck:  waiting >= 0.7 expected, and that share <= 0.2
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from leakwatch.detect.windows import SPANS, Window
from leakwatch.model import Fingerprint

MIN_GROWTH: Final = 4.0  # goroutines
MAX_ALIVE: Final = 0.3
MIN_STUCK: Final = 0.7
MIN_WOKE: Final = 0.5
MAX_WOKE: Final = 0.2
MIN_BASE: Final = 5.0  # goroutines; of fewer, the share that woke up is too uncertain


@dataclass(frozen=True, slots=True, kw_only=True)
class Gained:
    """The goroutines that a stack gained within a span T, according to the counts and a full dump.

    `before`: goroutines at the beginning of the span; `growth`: from then until the dump; `expected`: growth until
    T/4 before the dump; `waiting`: goroutines that began to wait between T and T/4 before the dump.
    """

    before: float
    growth: float
    expected: float
    waiting: float

    def __add__(self, other: "Gained") -> "Gained":
        """Return the sum over two targets."""
        return Gained(
            before=self.before + other.before,
            growth=self.growth + other.growth,
            expected=self.expected + other.expected,
            waiting=self.waiting + other.waiting,
        )

    @property
    def is_alive(self) -> bool | None:
        """Whether they are alive, None if unknown."""
        if self.growth < MIN_GROWTH or self.expected < max(MIN_GROWTH, self.growth / 4):
            return None  # goroutines younger than a quarter of the span show nothing: all have waited for less
        has_base = self.before >= max(MIN_BASE, self.growth / 4)
        woke = (self.waiting - self.expected) / self.before if has_base else 0.0
        if self.waiting <= MAX_ALIVE * self.expected or woke >= MIN_WOKE:
            return True
        return False if self.waiting >= MIN_STUCK * self.expected and woke <= MAX_WOKE else None


StackLiveness = Mapping[int, Gained]
"""Span of a window in blocks -> the goroutines that a stack gained within it."""


def living(goroutines: int) -> StackLiveness:
    """Return the liveness of goroutines that are known to be alive."""
    gained = max(float(goroutines), MIN_GROWTH)
    return dict.fromkeys(SPANS, Gained(before=0.0, growth=gained, expected=gained, waiting=0.0))


@dataclass(frozen=True, slots=True)
class Liveness:
    """The liveness of stacks and sites in the latest full dump of a target, or in those of a service."""

    by_stack: Mapping[Fingerprint, StackLiveness] = field(default_factory=dict)

    def spans(self, fingerprint: Fingerprint) -> dict[int, bool]:
        """Return the spans for which the liveness of a stack is known, and whether it is alive in them."""
        gained = self.by_stack.get(fingerprint, {})
        return {span: alive for span, each in gained.items() if (alive := each.is_alive) is not None}

    def word(self, fingerprint: Fingerprint) -> str:
        """Return "alive", "stuck" or "mixed", or "" if the liveness of a stack is unknown."""
        known = {*self.spans(fingerprint).values()}
        return "" if not known else "mixed" if len(known) > 1 else "alive" if known == {True} else "stuck"

    def is_alive(self, fingerprint: Fingerprint, window: Window) -> bool:
        """Return whether the goroutines that a stack gained in a window are alive.

        A stack that is alive in one window and stuck in none is alive in all.
        """
        spans = self.spans(fingerprint)
        return spans.get(window.span, False) or (bool(spans) and all(spans.values()))


def merged_liveness(own: Liveness, others: Iterable[Liveness]) -> Liveness:
    """Return the liveness of the stacks of a target, or of a service if `own` is empty.

    `others`: of the other targets. Their goroutines are added up, and decide about stacks of which the liveness is
    unknown in `own`: a single replica may have gained too few, such as 6 sessions in two hours.
    """
    by_stack: dict[Fingerprint, dict[int, Gained]] = {}
    for other in others:
        for fingerprint, spans in other.by_stack.items():
            sums = by_stack.setdefault(fingerprint, {})
            for span, gained in spans.items():
                sums[span] = sums[span] + gained if span in sums else gained
    return Liveness({**by_stack, **{key: spans for key, spans in own.by_stack.items() if own.spans(key)}})
