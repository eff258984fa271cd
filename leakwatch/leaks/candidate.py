"""The life of one stack or site of a service: what is thought of it on each target, put together."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leakwatch.leaks.model import Transition
from leakwatch.leaks.reason import combined
from leakwatch.model import NO_GROWTH, Judgement, Stack, Verdict

POOLED: Final = ""
"""The name under which the judgement of a whole service comes; no target is called so."""

TURNS: Final = 20  # of a life that are remembered
BELOW: Final = 0.9  # of a ceiling: clearly below it
STAYS: Final = 3600.0  # seconds below it that a ceiling still counts as exceeded


@dataclass(slots=True)
class Candidate:
    """One stack or site under suspicion: who said what last, and what was told of it."""

    stack: Stack
    opened_at: float
    judgements: dict[str, Judgement] = field(default_factory=dict)
    verdict: Verdict = Verdict.NORMAL
    highest: Verdict = Verdict.NORMAL
    proofs: dict[str, int] = field(default_factory=dict)
    """Target -> goroutines that the runtime itself says are leaked."""
    told: Verdict = Verdict.NORMAL
    """Normal also while another one speaks for it, or it is ignored."""
    detected_at: float | None = None
    since: float = 0.0
    """When what the verdict says began."""
    turns: deque[Transition] = field(default_factory=lambda: deque(maxlen=TURNS))
    exceeded: dict[int, float] = field(default_factory=dict)
    """Ceiling -> until when it counts as exceeded."""
    _verdicts: Counter[Verdict] = field(default_factory=Counter)
    """How many judgements have each: thousands of targets may judge it, one at a time."""

    def think(self, target: str, judgement: Judgement | None) -> bool:
        """Take in what is thought of it on a target, None for nothing; tell whether others grow with it now."""
        old = self.judgements.get(target)
        if old is not None:
            self._verdicts[old.verdict] -= 1
        if judgement is not None:
            self.judgements[target] = judgement
            self._verdicts[judgement.verdict] += 1
        elif old is not None:
            del self.judgements[target]
        before, now = (said.related if said else frozenset() for said in (old, judgement))
        return before != now

    def prove(self, target: str, goroutines: int) -> None:
        """Take in how many goroutines of a target are proven to be leaked."""
        if goroutines:
            self.proofs[target] = goroutines
        else:
            self.proofs.pop(target, None)

    def settle(self, time: float) -> bool:
        """Come to a verdict on the judgements of now, and on what is proven of one that grows.

        Tells whether it is another one.
        """
        verdict = self._judged
        if verdict is Verdict.LEAKING and self.proofs:
            verdict = Verdict.PROVEN
        if verdict >= Verdict.LEAKING and self.detected_at is None:
            self.detected_at = time
        if verdict is self.verdict:
            return False
        self.verdict, self.highest = verdict, max(verdict, self.highest)
        self.turns.append(Transition(verdict, time))
        self.since = self.rose if verdict is Verdict.PLATEAU else time
        return True

    @property
    def _judged(self) -> Verdict:
        """The highest that its counts give."""
        return max((verdict for verdict, times in self._verdicts.items() if times), default=Verdict.NORMAL)

    @property
    def said(self) -> Sequence[Judgement]:
        """What the verdict is founded on: the service as a whole if it says so, else its targets one by one.

        While it goes on somewhere, those where it is over grow by nothing.
        """
        pooled = self.judgements.get(POOLED)
        if pooled is not None and pooled.verdict is self._judged:
            return [pooled]
        own = [judgement for target, judgement in self.judgements.items() if target != POOLED]
        if self.verdict < Verdict.SUSPECTED:
            return own
        return [one if one.verdict >= Verdict.SUSPECTED else _over(one) for one in own]

    @property
    def targets(self) -> set[str]:
        """Those where it grows or grew."""
        own = self.judgements.keys() - {POOLED}
        return own.union(*(judgement.targets for judgement in self.judgements.values()))

    def is_on(self, target: str) -> bool:
        """Tell whether it grows or grew on a target."""
        pooled = self.judgements.get(POOLED)
        return target in self.judgements or (pooled is not None and target in pooled.targets)

    def rate_on(self, target: str) -> float:
        """Return the goroutines per second on a target, or on all where it cannot be told, while it last grew."""
        said = self.judgements.get(target) or self.judgements.get(POOLED)
        return said.grew.rate if said else 0.0

    @property
    def rate(self) -> float:
        """Goroutines per second, over all targets, while it last grew."""
        return combined([judgement.grew for judgement in self.said]).rate

    @property
    def rose(self) -> float:
        """When it last grew, on whichever target."""
        return max((judgement.rose for judgement in self.said), default=0.0)

    @property
    def score(self) -> float:
        """The highest of now."""
        return max((judgement.score for judgement in self.said), default=0.0)

    def exceeds(self, ceiling: int, goroutines: int, time: float) -> bool:
        """Tell whether there are more goroutines than `ceiling`, or were until they went clearly below it."""
        until = self.exceeded.get(ceiling, 0.0)
        if goroutines > (BELOW * ceiling if time < until else ceiling):
            self.exceeded[ceiling] = until = time + STAYS
        return time < until


def _over(judgement: Judgement) -> Judgement:
    return replace(judgement, growth=NO_GROWTH, grew=NO_GROWTH)
