"""All leaks of all services: what is thought of stacks and sites on each target, and what of it is told."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from leakwatch.leaks.candidate import POOLED, Candidate
from leakwatch.leaks.grouping import Group, groups
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.model import Event, Findings, Leak, MemoryCost
from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.ownership.source_links import LinkContext, Links
from leakwatch.leaks.reason import combined, sentence, with_proof
from leakwatch.model import Fingerprint, Frame, Judgement, Stack, Verdict

__all__ = ["POOLED", "Judged", "LeakTracker"]

Count = Callable[[str, Fingerprint], int]
"""Service, fingerprint -> goroutines now, over all targets of the service."""
Labels = Callable[[str], Mapping[str, Mapping[str, str]]]
"""Service -> the labels of its targets, by name."""
FactsOf = Callable[[str, str], LinkContext]
"""Service, target -> what links may tell of it."""
PARTS = 20
"""How often in a block of many targets it is looked at what is one leak, though no verdict has turned."""
MANY = 1 << 30  # updates
ASKED = 8  # targets of a leak, for what links tell of them: /metrics makes those of all leaks
Judged = Mapping[Fingerprint, tuple[Stack, Judgement]]
Proven = Mapping[Fingerprint, int]
"""Stack or site -> goroutines that the runtime of one target says are leaked."""
Learned = Callable[[str, Sequence[Fingerprint], Collection[str]], Findings]
"""Service, the stacks and sites of a leak, the targets it is on -> what closer looks told."""
Cost = Callable[[Leak], MemoryCost | None]
"""What a leak takes."""


@dataclass(slots=True)
class ServiceLeaks:
    """One service: what is under suspicion, and as which leaks it is told."""

    lives: dict[Fingerprint, Candidate] = field(default_factory=dict)
    groups: Mapping[Fingerprint, Group] = field(default_factory=dict)
    rules: dict[Fingerprint, IgnoreRule] = field(default_factory=dict)
    """The rule that keeps a leak out of sight."""
    updates: int = 0
    """Since the groups were made."""


class LeakTracker:
    """All leaks; `count`, `labels`, `facts` and `learned` are asked about a service."""

    def __init__(
        self,
        count: Count,
        labels: Labels,
        facts: FactsOf,
        learned: Learned = lambda *_: Findings(),
        cost: Cost = lambda _: None,
    ) -> None:
        self._services: dict[str, ServiceLeaks] = {}
        self._count = count
        self._labels = labels
        self._facts = facts
        self._learned = learned
        self._cost = cost
        self._time = 0.0
        self.turns = 0
        """How many verdicts have turned."""
        self.assign(Owners(), (), Links())

    def assign(self, owners: Owners, rules: Sequence[IgnoreRule], links: Links) -> None:
        """Take what tells whose a leak is, what is kept out of sight and where sources are shown, from now on."""
        self._owners, self._rules, self._links = owners, rules, links
        for known in self._services.values():
            known.updates = MANY

    def forget(self) -> None:
        """Forget all leaks."""
        self._services.clear()
        self.turns += 1

    def told(self, service: str) -> ServiceLeaks:
        """Return what is known and was told of a service."""
        return self._services.get(service, ServiceLeaks())

    def take(self, service: str, told: ServiceLeaks) -> None:
        """Go on with what others know of a service, in place of ours."""
        self._services[service] = told

    def rename(self, service: str, old: str, new: str) -> None:
        """Go on under the name of another target, `new`, with what is thought of target `old`."""
        known = self._services.get(service, ServiceLeaks())
        for life in known.lives.values():
            said = life.judgements.get(old)
            life.think(old, None)
            if said and new not in life.judgements:
                life.think(new, said)
            life.proofs.pop(old, None)  # its process has ended

    def update(
        self, service: str, target: str, judged: Judged, time: float, proven: Proven = MappingProxyType({})
    ) -> list[Event]:
        """Take in all that is thought of a target's stacks and sites at `time`; return the verdicts that changed.

        `target` is POOLED for what is thought of the service as a whole.
        """
        self._time = max(self._time, time)
        if not judged and service not in self._services:
            return []
        known = self._services.setdefault(service, ServiceLeaks())
        lives, news = known.lives, False
        for fingerprint, (stack, judgement) in judged.items():
            life = lives.setdefault(fingerprint, Candidate(stack, time))
            life.stack = stack
            news |= life.think(target, judgement)
        for fingerprint, life in lives.items():
            if fingerprint not in judged:
                news |= life.think(target, None)
            life.prove(target, proven.get(fingerprint, 0))
            news |= life.settle(time)
        known.updates += 1
        most = max((len(life.judgements) for life in lives.values()), default=0)
        return self._group(service, known, time) if news or known.updates * PARTS >= most else []

    def _group(self, service: str, known: ServiceLeaks, time: float) -> list[Event]:
        """Put together what is one leak, leave out what is ignored; return the verdicts that changed."""
        known.updates, lives = 0, known.lives
        rules = {key: rule for key, life in lives.items() if (rule := self._rule(service, life))}
        known.groups = groups(lives, rules)
        known.rules = {key: rules[key] for key in known.groups.keys() & rules.keys()}
        events = self._tell(service, known, time)
        self.turns += len(events)
        for fingerprint in [key for key, life in lives.items() if life.verdict is Verdict.NORMAL]:
            del lives[fingerprint]
        if not lives:
            del self._services[service]
        return events

    def _tell(self, service: str, known: ServiceLeaks, time: float) -> list[Event]:
        """Return the events of the leaks whose verdict is not what was told of them last."""
        events = []
        for fingerprint, life in known.lives.items():
            group = known.groups.get(fingerprint, Group(life))
            silent = fingerprint not in known.groups or fingerprint in known.rules
            verdict = Verdict.NORMAL if silent else group.verdict
            if verdict is not life.told:
                events.append(Event(time, life.told, replace(self._leak(service, group), verdict=verdict)))
                life.told = verdict
        return events

    def _rule(self, service: str, life: Candidate) -> IgnoreRule | None:
        """Return the rule that keeps out a stack or site: one that matches on all targets that it grows on."""
        if not self._rules:
            return None
        labels = self._labels(service)
        on = [labels[name] for name in life.targets & labels.keys()] or list(labels.values()) or [{}]
        for rule in self._rules:
            if rule.is_over(self._time) or not all(rule.matches(life.stack, some) for some in on):
                continue
            goroutines = self._count(service, life.stack.fingerprint)
            if rule.at_most is None or not life.exceeds(rule.at_most, goroutines, self._time):
                return rule
        return None

    def all(self) -> list[Leak]:
        """Return the leaks with their numbers of now, the most urgent first, then the fastest."""
        leaks = [
            self._leak(service, group)
            for service, known in self._services.items()
            for fingerprint, group in known.groups.items()
            if fingerprint not in known.rules
        ]
        return sorted(leaks, key=lambda leak: (leak.verdict, leak.growth.rate), reverse=True)

    def one(self, service: str, fingerprint: Fingerprint) -> Leak | None:
        """Return the leak that this stack or site tells, with its numbers of now; None if it tells none."""
        known = self.told(service)
        group = known.groups.get(fingerprint)
        return self._leak(service, group) if group and fingerprint not in known.rules else None

    def on(self, service: str, target: str) -> list[tuple[Stack, Verdict, float]]:
        """Return the leaks of a service that grow or grew on one target: verdict, and goroutines per second there.

        Asked at each scrape, so it costs little where many targets leak, and nothing where none does.
        """
        known = self._services.get(service)
        if known is None:
            return []
        return [
            (group.head.stack, group.verdict, group.head.rate_on(target))
            for fingerprint, group in known.groups.items()
            if fingerprint not in known.rules and any(life.is_on(target) for life in (group.head, *group.related))
        ]

    def ignored(self) -> dict[str, int]:
        """Return rule -> the leaks that it keeps out of sight now."""
        found = {str(rule): 0 for rule in self._rules}
        for known in self._services.values():
            for rule in known.rules.values():
                found[str(rule)] += 1
        return found

    def source(self, service: str, targets: Sequence[str], frame: Frame, frames: Sequence[Frame]) -> str:
        """Return where the source of a frame is shown, "" if not known; `frames`: its stack, on these targets."""
        if not self._links:
            return ""
        asked = targets or sorted(self._labels(service))  # where a leak has ended, none of them has it
        return self._links.link(frame, frames, [self._facts(service, name) for name in asked[:ASKED]])

    def _leak(self, service: str, group: Group) -> Leak:
        life, said = group.head, group.head.said
        stack, targets = life.stack, group.targets
        goroutines = self._count(service, stack.fingerprint)
        keys = [one.stack.fingerprint for one in (life, *group.related)]
        findings = self._learned(service, keys, targets)
        proven = group.verdict is Verdict.PROVEN
        why = sentence(group.verdict, said, goroutines, life.since, self._time) if said else ""
        leak = Leak(
            service,
            stack,
            group.verdict,
            goroutines,
            combined([judgement.growth for judgement in said]),
            1.0 if proven else max((judgement.confidence for judgement in said), default=0.0),
            min((judgement.first_seen for judgement in said), default=math.nan),
            life.detected_at,
            targets,
            self._owners.owner(stack),
            life.highest,
            combined([judgement.grew for judgement in said]),
            tuple(life.turns),
            tuple(other.stack for other in group.related),
            with_proof(why, group.verdict, findings.proven),
            findings,
            self.source(service, targets, stack.blamed, stack.frames),
        )
        return replace(leak, memory=self._cost(leak))

    def suspects(self, service: str, target: str) -> Mapping[Fingerprint, Stack]:
        """Return the stacks and sites that are told as a leak, and grow on a target."""
        known = self._services.get(service, ServiceLeaks())
        return {
            life.stack.fingerprint: life.stack
            for key, group in known.groups.items()
            if key not in known.rules and group.verdict >= Verdict.SUSPECTED
            for life in (group.head, *group.related)
            if life.is_on(target)
        }
