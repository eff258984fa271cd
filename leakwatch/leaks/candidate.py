"""One stack or site of a service that is not normal: its judgements on all targets, and the verdict they give."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leakwatch.leaks.model import Transition
from leakwatch.leaks.reason import combined
from leakwatch.model import NO_GROWTH, Judgement, Stack, Verdict

POOLED: Final = ""
"""Name of the judgement of the whole service, in place of a target name."""

TRANSITIONS: Final = 20  # transitions that are kept
BELOW: Final = 0.9  # share of a ceiling below which it is clearly not exceeded
HOLD: Final = 3600.0  # seconds for which a ceiling counts as exceeded after the last excess


@dataclass(slots=True)
class Candidate:
    """A stack or site with at least one judgement; `opened_at`: unix seconds."""

    stack: Stack
    opened_at: float
    judgements: dict[str, Judgement] = field(default_factory=dict)
    verdict: Verdict = Verdict.NORMAL
    highest: Verdict = Verdict.NORMAL
    proofs: dict[str, int] = field(default_factory=dict)
    """Target -> goroutines that the runtime reports as leaked."""
    builds: dict[str, str] = field(default_factory=dict)
    """Target -> its build, if the stack grows there and not on older targets of another build."""
    reported: Verdict = Verdict.NORMAL
    """The verdict of the last event; normal while another stack represents the leak or a rule ignores it."""
    detected_at: float | None = None
    first_seen: float | None = None
    """Earliest time at which any judgement has seen the growth begin."""
    since: float = 0.0
    """Beginning of the state that the verdict describes."""
    transitions: deque[Transition] = field(default_factory=lambda: deque(maxlen=TRANSITIONS))
    exceeded: dict[int, float] = field(default_factory=dict)
    """Ceiling -> time until which it counts as exceeded."""
    is_page: bool = False
    """Whether the leak that the stack represents is a page."""
    onsets: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Target -> the onset of the growth, and the goroutines of the process then."""
    _verdicts: Counter[Verdict] = field(default_factory=Counter)
    """Judgements per verdict: thousands of targets may judge the stack, one at a time."""

    def set_judgement(self, target: str, judgement: Judgement | None) -> bool:
        """Set or remove the judgement on a target; return whether its related stacks changed."""
        old = self.judgements.get(target)
        if old is not None:
            self._verdicts[old.verdict] -= 1
        if judgement is not None:
            self.judgements[target] = judgement
            self._verdicts[judgement.verdict] += 1
        elif old is not None:
            del self.judgements[target]
            self.builds.pop(target, None)
        before, now = (each.related if each else frozenset() for each in (old, judgement))
        return before != now

    def set_proof(self, target: str, goroutines: int) -> None:
        """Set the number of goroutines that the runtime of a target reports as leaked."""
        if goroutines:
            self.proofs[target] = goroutines
        else:
            self.proofs.pop(target, None)

    def update_verdict(self, time: float) -> bool:
        """Derive the verdict from all judgements and proofs; return whether it changed."""
        verdict = self._highest_judged
        if verdict is Verdict.LEAKING and self.proofs:
            verdict = Verdict.PROVEN
        if verdict >= Verdict.LEAKING and self.detected_at is None:
            self.detected_at = time
        if verdict is self.verdict:
            return False
        self.verdict, self.highest = verdict, max(verdict, self.highest)
        self.transitions.append(Transition(verdict, time))
        self.since = self.rose if verdict is Verdict.PLATEAU else time
        return True

    def earliest(self, times: Iterable[float]) -> float:
        """Return the earliest of these and all previous times, NaN without any.

        A judgement that begins again, or that covers fewer hours, sees the growth begin later than it did.
        """
        self.first_seen = min((*times, *(() if self.first_seen is None else (self.first_seen,))), default=None)
        return math.nan if self.first_seen is None else self.first_seen

    @property
    def _highest_judged(self) -> Verdict:
        """The highest verdict of all judgements."""
        return max((verdict for verdict, times in self._verdicts.items() if times), default=Verdict.NORMAL)

    @property
    def deciding_judgements(self) -> Sequence[Judgement]:
        """The judgements behind the verdict: the pooled one if it has the highest verdict, else those per target.

        While the leak grows on some target, the targets where it ended count with a growth of zero.
        """
        pooled = self.judgements.get(POOLED)
        if pooled is not None and pooled.verdict is self._highest_judged:
            return [pooled]
        own = [judgement for target, judgement in self.judgements.items() if target != POOLED]
        if self.verdict < Verdict.SUSPECTED:
            return own
        return [
            judgement if judgement.verdict >= Verdict.SUSPECTED else _without_growth(judgement)
            for judgement in own
        ]

    @property
    def targets(self) -> set[str]:
        """Names of the targets where the stack grows or grew."""
        own = self.judgements.keys() - {POOLED}
        return own.union(*(judgement.targets for judgement in self.judgements.values()))

    def is_on(self, target: str) -> bool:
        """Return whether the stack grows or grew on a target."""
        pooled = self.judgements.get(POOLED)
        return target in self.judgements or (pooled is not None and target in pooled.targets)

    def rate_on(self, target: str) -> float:
        """Return goroutines per second on a target while the stack last grew; else the pooled rate."""
        judgement = self.judgements.get(target) or self.judgements.get(POOLED)
        return judgement.grew.rate if judgement else 0.0

    @property
    def rate(self) -> float:
        """Goroutines per second over all targets, while the stack last grew."""
        return combined([judgement.grew for judgement in self.deciding_judgements]).rate

    @property
    def rose(self) -> float:
        """Time of the last growth on any target."""
        return max((judgement.rose for judgement in self.deciding_judgements), default=0.0)

    @property
    def score(self) -> float:
        """The highest current score."""
        return max((judgement.score for judgement in self.deciding_judgements), default=0.0)

    def exceeds(self, ceiling: int, goroutines: int, time: float) -> bool:
        """Return whether there are more goroutines than `ceiling`, with hysteresis."""
        until = self.exceeded.get(ceiling, 0.0)
        if goroutines > (BELOW * ceiling if time < until else ceiling):
            self.exceeded[ceiling] = until = time + HOLD
        return time < until


def _without_growth(judgement: Judgement) -> Judgement:
    return replace(judgement, growth=NO_GROWTH, grew=NO_GROWTH)
