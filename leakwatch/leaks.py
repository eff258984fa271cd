"""The life of a leak: the judgements of a service's targets, put together per stack."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from leakwatch.model import Event, Fingerprint, Growth, Judgement, Leak, Stack, Verdict


@dataclass(slots=True)
class Life:
    """One leak while it lasts: who said what last, and since when."""

    stack: Stack
    judgements: dict[str, Judgement] = field(default_factory=dict)
    verdict: Verdict = Verdict.NORMAL
    detected_at: float | None = None


Count = Callable[[str, Fingerprint], int]
"""Service, fingerprint -> goroutines now, over all targets of the service."""


class Leaks:
    """All leaks.

    `owners`: prefix of a package -> team; `count` is asked for the goroutines of a service's stack.
    """

    def __init__(self, count: Count, owners: Mapping[str, str]) -> None:
        self._lives: dict[tuple[str, Fingerprint], Life] = {}
        self._count = count
        self._owners: list[tuple[str, str]] = []
        self.assign(owners)

    def assign(self, owners: Mapping[str, str]) -> None:
        """Take `owners` from now on."""
        self._owners = sorted(owners.items(), key=lambda item: len(item[0]), reverse=True)

    def forget(self) -> None:
        """Forget all leaks."""
        self._lives.clear()

    def update(
        self, service: str, target: str, judged: Mapping[Fingerprint, tuple[Stack, Judgement]], time: float
    ) -> list[Event]:
        """Take in all that is thought of a target's stacks at `time`; return the verdicts that changed."""
        for fingerprint, (stack, judgement) in judged.items():
            life = self._lives.setdefault((service, fingerprint), Life(stack))
            life.stack = stack
            life.judgements[target] = judgement
        events = []
        for key, life in list(self._lives.items()):
            if key[0] != service:
                continue
            if key[1] not in judged:
                life.judgements.pop(target, None)
            events += self._settle(key, life, time)
        return events

    def _settle(self, key: tuple[str, Fingerprint], life: Life, time: float) -> list[Event]:
        before = life.verdict
        life.verdict = max((judgement.verdict for judgement in life.judgements.values()), default=Verdict.NORMAL)
        if life.verdict >= Verdict.LEAKING and life.detected_at is None:
            life.detected_at = time
        if life.verdict is before:
            return []
        leak = self._leak(key, life)
        if life.verdict is Verdict.NORMAL:
            del self._lives[key]
        return [Event(time, before, leak)]

    def all(self) -> list[Leak]:
        """Return the leaks with their numbers of now, the most urgent first, then the fastest."""
        leaks = [self._leak(key, life) for key, life in self._lives.items()]
        return sorted(leaks, key=lambda leak: (leak.verdict, leak.growth.rate), reverse=True)

    def owner(self, function: str) -> str:
        """Return the team whose prefix of `function` is the longest, "" where there is none."""
        return next((team for prefix, team in self._owners if function.startswith(prefix)), "")

    def _leak(self, key: tuple[str, Fingerprint], life: Life) -> Leak:
        service, fingerprint = key
        judgements = life.judgements.values()
        return Leak(
            service,
            life.stack,
            life.verdict,
            self._count(service, fingerprint),
            _sum([judgement.growth for judgement in judgements]),
            max((judgement.confidence for judgement in judgements), default=0.0),
            min((judgement.first_seen for judgement in judgements), default=math.nan),
            life.detected_at,
            tuple(sorted(life.judgements)),
            self.owner(life.stack.blamed.function),
        )


def _sum(growths: list[Growth]) -> Growth:
    """Return the growth of all together; the errors of different targets are independent."""
    rate = sum(growth.rate for growth in growths)
    low = math.hypot(*(growth.rate - growth.low for growth in growths))
    high = math.hypot(*(growth.high - growth.rate for growth in growths))
    return Growth(rate, rate - low, rate + high)
