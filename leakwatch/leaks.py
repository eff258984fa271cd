"""The life of a leak: what is thought of a stack on each target of a service, put together.

One thing that leaks may hold several goroutines, each with its own stack: stacks that grow in step are one leak,
told under the name of one of them, its related stacks beside it.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from leakwatch.ignore import Rule
from leakwatch.model import Event, Fingerprint, Judgement, Leak, Stack, Turn, Verdict
from leakwatch.reason import combined, sentence

POOLED = ""
"""The name under which the judgement of a whole service comes; no target is called so."""

TURNS = 20  # of a life that are remembered

Key = tuple[str, Fingerprint]
Count = Callable[[str, Fingerprint], int]
"""Service, fingerprint -> goroutines now, over all targets of the service."""
Labels = Callable[[str], Iterable[Mapping[str, str]]]
"""Service -> the labels of its targets."""
Judged = Mapping[Fingerprint, tuple[Stack, Judgement]]


@dataclass(slots=True)
class Life:
    """One stack under suspicion: who said what last, and what was told of it."""

    stack: Stack
    opened_at: float
    judgements: dict[str, Judgement] = field(default_factory=dict)
    verdict: Verdict = Verdict.NORMAL
    highest: Verdict = Verdict.NORMAL
    told: Verdict = Verdict.NORMAL
    """Normal also while the stack is related to another one, or ignored."""
    detected_at: float | None = None
    turns: deque[Turn] = field(default_factory=lambda: deque(maxlen=TURNS))
    related: dict[Fingerprint, Stack] = field(default_factory=dict)
    rule: Rule | None = None
    """The rule that keeps it out of sight."""


class Leaks:
    """All leaks; `count` and `labels` are asked about a service.

    `owners`: prefix of a package -> team.
    """

    def __init__(
        self, count: Count, labels: Labels, owners: Mapping[str, str], rules: Sequence[Rule] = ()
    ) -> None:
        self._services: dict[str, dict[Fingerprint, Life]] = {}
        self._count = count
        self._labels = labels
        self._time = 0.0
        self._owners: list[tuple[str, str]] = []
        self._rules: Sequence[Rule] = ()
        self.assign(owners, rules)

    def assign(self, owners: Mapping[str, str], rules: Sequence[Rule]) -> None:
        """Take `owners` and `rules` from now on."""
        self._owners = sorted(owners.items(), key=lambda item: len(item[0]), reverse=True)
        self._rules = rules

    def forget(self) -> None:
        """Forget all leaks."""
        self._services.clear()

    def rename(self, service: str, old: str, new: str) -> None:
        """Go on under the name of another target, `new`, with what is thought of target `old`."""
        for life in self._services.get(service, {}).values():
            if old in life.judgements:
                life.judgements.setdefault(new, life.judgements.pop(old))

    def update(self, service: str, target: str, judged: Judged, time: float) -> list[Event]:
        """Take in all that is thought of a target's stacks at `time`; return the verdicts that changed.

        `target` is POOLED for what is thought of the service as a whole.
        """
        self._time = max(self._time, time)
        if not judged and service not in self._services:
            return []
        lives = self._services.setdefault(service, {})
        for fingerprint, (stack, judgement) in judged.items():
            life = lives.setdefault(fingerprint, Life(stack, time))
            life.stack = stack
            life.judgements[target] = judgement
        for fingerprint, life in lives.items():
            if fingerprint not in judged:
                life.judgements.pop(target, None)
            self._settle(life, time)
        _relate(lives)
        events = self._tell(service, lives, time)
        for fingerprint in [key for key, life in lives.items() if life.verdict is Verdict.NORMAL]:
            del lives[fingerprint]
        return events

    def _settle(self, life: Life, time: float) -> None:
        verdict = max((judgement.verdict for judgement in life.judgements.values()), default=Verdict.NORMAL)
        if verdict >= Verdict.LEAKING and life.detected_at is None:
            life.detected_at = time
        if verdict is not life.verdict:
            life.turns.append(Turn(verdict, time))
        life.verdict, life.highest = verdict, max(verdict, life.highest)

    def _tell(self, service: str, lives: Mapping[Fingerprint, Life], time: float) -> list[Event]:
        """Return the events of the leaks whose verdict is not what was told of them last."""
        events = []
        hidden = {fingerprint for life in lives.values() for fingerprint in life.related}
        for fingerprint, life in lives.items():
            life.rule = self._rule(service, fingerprint, life)
            verdict = Verdict.NORMAL if fingerprint in hidden or life.rule else _verdict(life, lives)
            if verdict is not life.told:
                leak = self._leak(service, fingerprint, life, lives)
                events.append(Event(time, life.told, replace(leak, verdict=verdict)))
                life.told = verdict
        return events

    def _rule(self, service: str, fingerprint: Fingerprint, life: Life) -> Rule | None:
        if not self._rules:
            return None
        goroutines, labels = self._count(service, fingerprint), list(self._labels(service)) or [{}]
        return next(
            (
                rule
                for rule in self._rules
                if rule.holds(goroutines, self._time) and any(rule.matches(life.stack, some) for some in labels)
            ),
            None,
        )

    def all(self) -> list[Leak]:
        """Return the leaks with their numbers of now, the most urgent first, then the fastest."""
        leaks = [
            self._leak(service, fingerprint, life, lives)
            for service, lives in self._services.items()
            for fingerprint, life in lives.items()
            if life.told is not Verdict.NORMAL
        ]
        return sorted(leaks, key=lambda leak: (leak.verdict, leak.growth.rate), reverse=True)

    def ignored(self) -> dict[str, int]:
        """Return rule -> the leaks that it keeps out of sight now."""
        found = {str(rule): 0 for rule in self._rules}
        for lives in self._services.values():
            for life in lives.values():
                if life.rule is not None:
                    found[str(life.rule)] += 1
        return found

    def owner(self, function: str) -> str:
        """Return the team whose prefix of `function` is the longest, "" where there is none."""
        return next((team for prefix, team in self._owners if function.startswith(prefix)), "")

    def _leak(self, service: str, fingerprint: Fingerprint, life: Life, lives: Mapping[Fingerprint, Life]) -> Leak:
        # What the service as a whole says counts for more than what its targets say one by one.
        said = [life.judgements[POOLED]] if POOLED in life.judgements else list(life.judgements.values())
        verdict = _verdict(life, lives)
        goroutines = self._count(service, fingerprint)
        since = next((turn.time for turn in reversed(life.turns) if turn.verdict is verdict), life.opened_at)
        return Leak(
            service,
            life.stack,
            verdict,
            goroutines,
            combined([judgement.growth for judgement in said]),
            max((judgement.confidence for judgement in said), default=0.0),
            min((judgement.first_seen for judgement in said), default=math.nan),
            life.detected_at,
            _targets(life),
            self.owner(life.stack.blamed.function),
            life.highest,
            combined([judgement.grew for judgement in said]),
            tuple(life.turns),
            tuple(life.related.values()),
            sentence(verdict, said, goroutines, since, self._time) if said else "",
        )


def _targets(life: Life) -> tuple[str, ...]:
    own = {target for target in life.judgements if target != POOLED}
    return tuple(sorted(own.union(*(judgement.targets for judgement in life.judgements.values()))))


def _verdict(life: Life, lives: Mapping[Fingerprint, Life]) -> Verdict:
    """Return the verdict of a leak: the highest of its stacks."""
    return max(life.verdict, *(lives[other].verdict for other in life.related if other in lives), Verdict.NORMAL)


def _relate(lives: Mapping[Fingerprint, Life]) -> None:
    """Give each group of stacks that grow in step to the worst of them, the one that was told first."""
    free = {key: life for key, life in lives.items() if life.verdict is not Verdict.NORMAL}
    for life in lives.values():
        life.related = {}
    for first in sorted(free, key=lambda key: _rank(free[key])):
        if first not in free:
            continue
        group, todo = {first: free.pop(first)}, [first]
        while todo:
            for judgement in group[todo.pop()].judgements.values():
                for other in judgement.related & free.keys():
                    group[other] = free.pop(other)
                    todo.append(other)
        lives[first].related = {other: lives[other].stack for other in group if other != first}


def _rank(life: Life) -> tuple[bool, bool, float, float, Fingerprint]:
    rate = sum(judgement.growth.rate for judgement in life.judgements.values())
    told = life.told is not Verdict.NORMAL
    return life.verdict < Verdict.LEAKING, not told, life.opened_at, -rate, life.stack.fingerprint
