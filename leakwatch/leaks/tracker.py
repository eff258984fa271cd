"""Turns the judgements of a service into its leaks and events. The state is in ServiceState."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from leakwatch.causes.catalogue import Catalogue
from leakwatch.causes.model import Cause, CountedStack
from leakwatch.leaks.callers import callers
from leakwatch.leaks.candidate import Candidate
from leakwatch.leaks.findings import Suspects, findings
from leakwatch.leaks.grouping import Group, groups
from leakwatch.leaks.holders import holders
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.labels import OWNER, agreed_labels
from leakwatch.leaks.memory_cost import memory_cost
from leakwatch.leaks.model import Event, Leak, RelatedStack, Severity
from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.ownership.source_links import Links
from leakwatch.leaks.reason import combined, sentence, with_proof
from leakwatch.leaks.rollout import build_growth, record_builds, with_build
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.severity import is_page, process_growths
from leakwatch.model import Fingerprint, Frame, JudgedStacks, Stack, Verdict
from leakwatch.profile.blame import IsOwn
from leakwatch.profile.stacks import Identifier

GROUPINGS_PER_BLOCK: Final = 20  # of a service with many targets, while no verdict changes
FRESH: Final = 5.0  # seconds: building 500 leaks of 2,000 targets takes 85 ms
LINK_TARGETS: Final = 8  # targets that a source link is built from; metrics need the links of all leaks


@dataclass(frozen=True, slots=True)
class LeakOnTarget:
    """A leak on one of its targets.

    `rate`: goroutines per second on the target; `members`: the stacks and sites of the leak that grow there.
    """

    stack: Stack
    verdict: Verdict
    rate: float
    members: tuple[Stack, ...] = ()


class LeakTracker:
    """Groups judged stacks into leaks, and reports the verdicts that change."""

    def __init__(self) -> None:
        self.revision = 0
        """Changes with each event, and whenever states are dropped or replaced."""
        self._owners, self._rules, self._links = Owners(), tuple[IgnoreRule, ...](), Links()
        self._is_own: IsOwn = Identifier().is_own
        self._causes = Catalogue()
        default = DetectionSettings()
        self._page_within, self._rate_unit = default.page_within, default.rate_unit
        self._target_labels = default.target_labels

    def configure(self, owners: Owners, settings: DetectionSettings, is_own: IsOwn) -> None:
        """Use these owners and settings, and this predicate for own code, from now on."""
        self._owners, self._is_own = owners, is_own
        self._rules, self._links, self._causes = settings.ignore, settings.links, settings.causes
        self._page_within, self._rate_unit = settings.page_within, settings.rate_unit
        self._target_labels = settings.target_labels

    def update(
        self,
        service: ServiceState,
        target: str,
        judged: JudgedStacks,
        time: float,
        proven: Mapping[Fingerprint, int] = MappingProxyType({}),
    ) -> list[Event]:
        """Record all judgements of a target at `time`; return the verdicts that changed.

        `target`: POOLED for the judgements of the whole service; `proven`: leaked goroutines by stack or site.
        """
        service.time = max(service.time, time)
        leaks = service.leaks
        if not judged and not leaks.candidates:
            return []
        changed = False
        for fingerprint, pair in judged.items():
            candidate = leaks.candidates.setdefault(fingerprint, Candidate(pair.stack, time))
            candidate.stack = pair.stack
            changed |= candidate.set_judgement(target, pair.judgement)
        if target in service.targets:
            record_builds(service.targets[target], service.targets.values(), leaks.candidates)
        for fingerprint, candidate in leaks.candidates.items():
            if fingerprint not in judged:
                changed |= candidate.set_judgement(target, None)
            candidate.set_proof(target, proven.get(fingerprint, 0))
            changed |= candidate.update_verdict(time)
        leaks.updates += 1
        most = max((len(candidate.judgements) for candidate in leaks.candidates.values()), default=0)
        return self.regroup(service, time) if changed or leaks.updates * GROUPINGS_PER_BLOCK >= most else []

    def regroup(self, service: ServiceState, time: float) -> list[Event]:
        """Group the candidates into leaks, without the ignored ones; return the verdicts that changed."""
        leaks, candidates = service.leaks, service.leaks.candidates
        leaks.updates, leaks.built_at = 0, float("-inf")
        rules = {key: rule for key, candidate in candidates.items() if (rule := self._rule(service, candidate))}
        leaks.groups = groups(candidates, self._is_own, rules)
        leaks.rules = {key: rules[key] for key in leaks.groups.keys() & rules.keys()}
        leaks.causes = {key: leaks.causes[key] for key in leaks.groups.keys() & leaks.causes.keys()}
        events = self._report(service, time)
        self.revision += len(events)
        for key in [key for key, candidate in candidates.items() if candidate.verdict is Verdict.NORMAL]:
            del candidates[key]
        return events

    def _report(self, service: ServiceState, time: float) -> list[Event]:
        """Return an event for each leak with a verdict other than the reported one."""
        events = []
        leaks = service.leaks
        for key, candidate in leaks.candidates.items():
            group = leaks.groups.get(key, Group(candidate))
            hidden = key not in leaks.groups or key in leaks.rules
            verdict = Verdict.NORMAL if hidden else group.verdict
            if verdict is not candidate.reported:
                leak = replace(self._leak(service, group, self._labels(service)), verdict=verdict)
                events.append(Event(time, candidate.reported, leak))
                candidate.reported = verdict
        return events

    def _rule(self, service: ServiceState, candidate: Candidate) -> IgnoreRule | None:
        """Return the rule that ignores a stack or site: one that matches on all targets where it grows."""
        if not self._rules:
            return None
        labels = service.labels()
        names = candidate.targets & labels.keys()
        label_sets = [labels[name] for name in names] or list(labels.values()) or [{}]
        for rule in self._rules:
            if rule.is_over(service.time) or not all(
                rule.matches(candidate.stack, label_set) for label_set in label_sets
            ):
                continue
            goroutines = service.count(candidate.stack.fingerprint)
            if rule.at_most is None or not candidate.exceeds(rule.at_most, goroutines, service.time):
                return rule
        return None

    def leaks(self, services: Iterable[ServiceState]) -> list[Leak]:
        """Return the open leaks, by verdict, pages before tickets, then the fastest."""
        leaks = [leak for service in services for leak in self._of_service(service)]
        return sorted(
            leaks, key=lambda leak: (leak.verdict, leak.severity == "page", leak.growth.rate), reverse=True
        )

    def _of_service(self, service: ServiceState) -> Sequence[Leak]:
        """Return the leaks of a service; new counts appear after at most FRESH seconds."""
        leaks = service.leaks
        if leaks.groups and service.time - leaks.built_at >= FRESH:
            labels = self._labels(service)
            leaks.built = [
                self._leak(service, group, labels) for key, group in leaks.groups.items() if key not in leaks.rules
            ]
            leaks.built_at = service.time
        return leaks.built if leaks.groups else []

    def leak(self, service: ServiceState, fingerprint: Fingerprint) -> Leak | None:
        """Return the open leak that a stack or site represents, None if it represents none."""
        return next((leak for leak in self._of_service(service) if leak.stack.fingerprint == fingerprint), None)

    def on_target(self, service: ServiceState, target: str) -> list[LeakOnTarget]:
        """Return the leaks that grow or grew on one target.

        Every scrape calls this method: its cost is small if many targets leak, and zero if none does.
        """
        leaks = service.leaks
        on_target = []
        for key, group in leaks.groups.items():
            members = tuple(member.stack for member in group.members if member.is_on(target))
            if members and key not in leaks.rules:
                rate = group.head.rate_on(target)
                on_target.append(LeakOnTarget(group.head.stack, group.verdict, rate, members))
        return on_target

    def ignored(self, services: Iterable[ServiceState]) -> dict[str, int]:
        """Return rule -> number of leaks that it ignores now."""
        counts = Counter(str(rule) for service in services for rule in service.leaks.rules.values())
        # A reload may have removed a rule that still ignores a leak until the next grouping.
        return {str(rule): counts[str(rule)] for rule in self._rules}

    def source(self, service: ServiceState, targets: Sequence[str], frame: Frame, frames: Sequence[Frame]) -> str:
        """Return the source URL of a frame, "" if unknown; `frames`: its stack, `targets`: where it was seen."""
        if not self._links:
            return ""
        names = targets or sorted(service.labels())  # a leak that has ended is on no target
        return self._links.link(frame, frames, [service.link_context(name) for name in names[:LINK_TARGETS]])

    def _labels(self, service: ServiceState) -> Mapping[str, str]:
        """Return the labels that the targets of a service have in common: the owner and the target labels."""
        return agreed_labels([state.target for state in service.current_states], (OWNER, *self._target_labels))

    def _leak(self, service: ServiceState, group: Group, labels: Mapping[str, str]) -> Leak:
        leaks, head, judgements, targets = service.leaks, group.head, group.head.deciding_judgements, group.targets
        stack, stacks = head.stack, [member.stack for member in group.members]
        goroutines = service.count(stack.fingerprint)
        keys = [member.stack.fingerprint for member in group.members]
        states = service.select(targets)
        results = findings(
            keys, [state.probe_results for state in states], [state.older(keys[0]) for state in states]
        )
        times = head.since, service.time
        reason = sentence(group.verdict, judgements, goroutines, *times, self._rate_unit) if judgements else ""
        proven = group.verdict is Verdict.PROVEN
        build = build_growth(head, service.targets.values())
        leak = Leak(
            service=service.name,
            stack=stack,
            verdict=group.verdict,
            goroutines=goroutines,
            growth=combined([judgement.growth for judgement in judgements]),
            confidence=1.0 if proven else max((judgement.confidence for judgement in judgements), default=0.0),
            first_seen=head.earliest(judgement.first_seen for judgement in judgements),
            detected_at=head.detected_at,
            targets=targets,
            owner=self._owners.owner(stack, labels[OWNER]),
            target_labels={name: labels[name] for name in self._target_labels},
            highest=head.highest,
            grew=combined([judgement.grew for judgement in judgements]),
            transitions=tuple(head.transitions),
            related=_related(service, group),
            in_step=tuple(leaks.groups[key].head.stack for key in group.in_step if key in leaks.groups),
            cause=self._cause(service, group),
            holders=holders(stacks, [state.history for state in states[:LINK_TARGETS]], self._is_own),
            callers=callers(stacks, states, self._is_own, leaks.seen_calls),
            reason=with_build(with_proof(reason, group.verdict, results.proven), build),
            findings=results,
            source=self.source(service, targets, stack.blamed, stack.frames),
        )
        leak = replace(leak, memory=memory_cost(service, leak))
        return replace(leak, severity=self._severity(service, head, leak))

    def _severity(self, service: ServiceState, head: Candidate, leak: Leak) -> Severity:
        """Return the severity of a leak. Whether it is a page is kept in `head`, as the onsets are."""
        if leak.highest < Verdict.LEAKING:
            return ""
        states = service.select(leak.targets)
        limit = leak.memory.limit if leak.memory else None
        head.is_page = leak.verdict >= Verdict.LEAKING and is_page(
            process_growths(states, head, leak), limit, self._page_within, was_page=head.is_page
        )
        return "page" if head.is_page else "ticket"

    def _cause(self, service: ServiceState, group: Group) -> Cause | None:
        """Return the likely cause of a leak; it takes 0.8 ms, and is kept until stacks or wait reasons change."""
        causes, key = service.leaks.causes, group.head.stack.fingerprint
        stacks = [stack for member in group.members for stack in service.stacks_of(member.stack)]
        members = frozenset((stack.fingerprint, stack.wait) for stack in stacks)
        known = causes.get(key)
        if known is None or known[0] != members:
            counted = [CountedStack(stack, service.count(stack.fingerprint)) for stack in stacks]
            known = causes[key] = members, self._causes.explain(counted, self._is_own)
        return known[1]


def _related(service: ServiceState, group: Group) -> tuple[RelatedStack, ...]:
    """Return the stacks of a leak beside its head, the largest first."""
    related = [
        RelatedStack(
            member.stack,
            member.verdict,
            service.count(member.stack.fingerprint),
            combined([judgement.grew for judgement in member.deciding_judgements]),
        )
        for member in group.related
    ]
    return tuple(sorted(related, key=lambda other: -other.goroutines))


def suspects(leaks: Iterable[LeakOnTarget]) -> Suspects:
    """Return the suspected stacks and sites of a target, from the leaks on it."""
    return {
        stack.fingerprint: stack for leak in leaks if leak.verdict >= Verdict.SUSPECTED for stack in leak.members
    }


def without_own_code(leaks: Iterable[LeakOnTarget], is_own: IsOwn) -> Suspects:
    """Return the suspects that belong to a leak without own code; a stack with own code blames it."""
    return suspects(
        leak for leak in leaks if not any(is_own(stack.blamed) for stack in (leak.stack, *leak.members))
    )
