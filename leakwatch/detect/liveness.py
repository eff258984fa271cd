"""Liveness: whether the goroutines that stacks gained are alive or stuck, as full dumps show it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leakwatch.detect.windows import Window
from leakwatch.model import Fingerprint

StackLiveness = Mapping[int, bool]
"""Span of a window in blocks -> whether the goroutines that came within it are alive; missing if unknown."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The liveness of stacks and sites in the latest full dump of a target, or in those of a service."""

    by_stack: Mapping[Fingerprint, StackLiveness] = field(default_factory=dict)

    def word(self, fingerprint: Fingerprint) -> str:
        """Return "alive", "stuck" or "mixed", or "" if the liveness of a stack is unknown."""
        spans = self.by_stack.get(fingerprint)
        if not spans:
            return ""
        return "mixed" if len({*spans.values()}) > 1 else "alive" if all(spans.values()) else "stuck"

    def is_alive(self, fingerprint: Fingerprint, window: Window) -> bool:
        """Return whether the goroutines that a stack gained in a window are alive.

        Alive in one window and stuck in none means alive in all.
        """
        spans = self.by_stack.get(fingerprint)
        if not spans:
            return False
        return spans.get(window.span, False) or all(spans.values())


def merged_liveness(own: Liveness, others: Iterable[Liveness]) -> Liveness:
    """Return the liveness of the stacks of a target, or of a service if `own` is empty.

    Other targets count for the stacks that are unknown on the own one: a stack is alive if it is alive on one of
    them and stuck on none.
    """
    by_stack: dict[Fingerprint, dict[int, bool]] = {}
    for other in others:
        for fingerprint, spans in other.by_stack.items():
            known = by_stack.setdefault(fingerprint, {})
            for span, is_alive in spans.items():
                known[span] = known.get(span, True) and is_alive
    return Liveness({**by_stack, **{key: spans for key, spans in own.by_stack.items() if spans}})
