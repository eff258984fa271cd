"""State of one service: its targets, pooled history and judgements, and its leaks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from leakwatch.causes.model import Cause
from leakwatch.detect.history import History
from leakwatch.detect.plain import Plain, PlainReader, PlainWriter, SharedValues
from leakwatch.detect.pool import Pool
from leakwatch.errors import StateError, quote
from leakwatch.leaks.candidate import Candidate
from leakwatch.leaks.grouping import Group
from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.leaks.model import Leak
from leakwatch.leaks.ownership.source_links import LinkContext
from leakwatch.leaks.pooled_detector import PooledDetector
from leakwatch.leaks.seen_calls import SeenCalls
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.sites import Functions
from leakwatch.leaks.target_state import DepartedTarget, TargetState
from leakwatch.model import Fingerprint, JudgedStacks, Stack, Target

NEVER: Final = float("-inf")
Explained = frozenset[tuple[Fingerprint, str]]
"""Stacks with their wait reasons."""
AT_ONCE: Final = 1 << 30  # updates, more than any service has targets
STACKS_OF_SITE: Final = 20  # that are compared with the catalogue of causes


@dataclass(frozen=True, slots=True)
class ServicePlain:
    """The plain values of a service, of its current and departed targets, and those that they share."""

    shared: Plain
    service: Plain
    targets: Sequence[Plain]


@dataclass(slots=True)
class ServiceLeaks:
    """Candidates of one service, their grouping into leaks, and the leaks as last built."""

    candidates: dict[Fingerprint, Candidate] = field(default_factory=dict)
    groups: Mapping[Fingerprint, Group] = field(default_factory=dict)
    rules: dict[Fingerprint, IgnoreRule] = field(default_factory=dict)
    """Leak -> the rule that ignores it."""
    updates: int = 0
    """Updates since the last grouping."""
    causes: dict[Fingerprint, tuple[Explained, Cause | None]] = field(default_factory=dict)
    """Leak -> its stacks with their wait reasons, and their likely cause; a cache."""
    seen_calls: SeenCalls = field(default_factory=SeenCalls)
    built: list[Leak] = field(default_factory=list)
    built_at: float = NEVER

    def to_plain(self, writer: PlainWriter) -> Plain:
        """Return the state: rules by their patterns, and no built leaks, which are a cache."""
        return {
            "candidates": writer.write(dict[Fingerprint, Candidate], self.candidates),
            "groups": {
                key: [member.stack.fingerprint for member in group.related] for key, group in self.groups.items()
            },
            "rules": {key: str(rule) for key, rule in self.rules.items()},
            "updates": self.updates,
        }

    def restore(self, plain: PlainReader, rules: Sequence[IgnoreRule]) -> None:
        """Restore other leaks into these new ones; rules that are not in `rules` have been removed."""
        self.candidates = plain["candidates"].read(dict[Fingerprint, Candidate])
        groups = plain["groups"].read(dict[Fingerprint, list[Fingerprint]])
        if not self.candidates.keys() >= set(groups).union(*groups.values()):
            raise plain["groups"].error("have members that are not candidates")
        self.groups = {
            key: Group(self.candidates[key], tuple(self.candidates[other] for other in related))
            for key, related in groups.items()
        }
        names = plain["rules"].read(dict[Fingerprint, str])
        by_name = {str(rule): rule for rule in rules}
        self.rules = {key: by_name[name] for key, name in names.items() if name in by_name}
        self.updates = plain["updates"].read(int)

    def invalidate(self) -> None:
        """Group the candidates and build the leaks again at the next update, whatever its target."""
        self.updates, self.built_at = AT_ONCE, NEVER
        self.causes.clear()
        self.seen_calls.clear()

    def rename(self, old: str, new: str) -> None:
        """Move the judgements of target `old` to its replacement `new`."""
        for candidate in self.candidates.values():
            judgement = candidate.judgements.get(old)
            candidate.set_judgement(old, None)
            if judgement and new not in candidate.judgements:
                candidate.set_judgement(new, judgement)
            candidate.proofs.pop(old, None)  # the process has ended


class ServiceState:
    """All state of one service: its targets, its pooled judgements and its leaks."""

    STATE: ClassVar = {"time": float, "functions": Functions, "judged": JudgedStacks}

    def __init__(self, name: str) -> None:
        self.name = name
        self.time = 0.0
        """Time of the latest profile."""
        self.targets: dict[str, TargetState] = {}
        """By name."""
        self.departed: dict[Target, DepartedTarget] = {}
        self.leaks = ServiceLeaks()
        self.functions = Functions()
        self.judged: JudgedStacks = {}
        """The latest pooled judgements."""
        self._pooled: tuple[PooledDetector, PooledDetector] | None = None

    def to_plain(self, shared: SharedValues, now: float) -> Plain:
        """Return the state as plain values, without `states`, which have their own; arguments as for a target.

        The plain values of a target may be older or newer than those of its service.
        """
        writer = PlainWriter(shared, now)
        own = {
            "name": self.name,
            "leaks": self.leaks.to_plain(writer),
            "departed": {target.name: departed.time for target, departed in self.departed.items()},
            "pooled": self._pooled
            and [
                detector.to_plain(writer, histories)
                for detector, histories in zip(self._pooled, _histories(self.states), strict=True)
            ],
        }
        return writer.document({**own, **writer.state(self)})

    def all_to_plain(self, now: float) -> ServicePlain:
        """Return the plain values of the service and its targets."""
        shared = SharedValues()
        service = self.to_plain(shared, now)
        return ServicePlain(shared.plain, service, [state.to_plain(shared, now) for state in self.states])

    @classmethod
    def from_plain(cls, plain: ServicePlain, settings: DetectionSettings, now: float) -> "ServiceState":
        """Return the state of these plain values. Raise StateError if one is invalid or has other settings."""
        shared = PlainReader.shared(plain.shared, "shared values")
        reader = PlainReader.document(plain.service, "service", shared, now)
        service = cls(reader["name"].read(str))
        reader.place = f"service {quote(service.name)}"
        reader.fill(service)
        service.leaks.restore(reader["leaks"], settings.ignore)
        departed = reader["departed"].read(dict[str, float])
        for target in plain.targets:
            state = TargetState.from_plain(target, shared, settings, service.functions, now=now)
            service.add_restored(state, departed.get(state.target.name))
        service.restore_pool(reader["pooled"], settings.block)
        return service

    def add_restored(self, state: TargetState, removed_at: float | None) -> None:
        """Add the restored state of a target; `removed_at`: when the target was removed, None if it was not."""
        target = state.target
        if target.service != self.name:
            raise StateError(f"target {quote(target.name)} is of service {quote(target.service)}, not {self.name}")
        if removed_at is None:
            self.targets[target.name] = state
        else:
            self.departed[target] = DepartedTarget(removed_at, state)

    def restore_pool(self, plain: PlainReader, block: float) -> None:
        """Restore the pooled judging of all restored targets."""
        if plain.value is None:
            return
        detectors, histories = _pooled_detectors(block, self.time), _histories(self.states)
        for detector, value, of_targets in zip(detectors, plain.elements(2), histories, strict=True):
            detector.restore(value, of_targets)
        self._pooled = detectors

    def clear(self) -> None:
        """Start over without history."""
        self.departed = {}
        self.leaks = ServiceLeaks()
        self.functions.clear()
        self.judged = {}
        self._pooled = None

    def adopt(self, other: "ServiceState") -> None:
        """Continue with the history, judgements and leaks of `other`, another state of the same service."""
        vars(self).update({**vars(other), "targets": self.targets})

    @property
    def observed(self) -> dict[str, TargetState]:
        """The targets that have a profile, by name."""
        return {name: state for name, state in self.targets.items() if state.is_observed}

    @property
    def states(self) -> list[TargetState]:
        """The states of departed and current targets."""
        return [*(departed.state for departed in self.departed.values()), *self.targets.values()]

    @property
    def current_states(self) -> list[TargetState]:
        """The states of current targets, those of departed targets if there are no others."""
        return [*self.targets.values()] or self.states

    def select(self, names: Iterable[str]) -> list[TargetState]:
        """Return the states of the named targets, without those that were removed."""
        return [self.targets[name] for name in names if name in self.targets]

    def count(self, fingerprint: Fingerprint) -> int:
        """Return the goroutines of a stack or site in the latest profiles of all targets."""
        return sum(state.count(fingerprint) for state in self.targets.values())

    def stacks_of(self, stack: Stack) -> list[Stack]:
        """Return the stacks of a site, the first STACKS_OF_SITE; `stack` itself if it is not a site."""
        if not stack.site:
            return [stack]
        stacks: dict[Fingerprint, Stack] = {}
        for state in self.targets.values():
            for other in state.history.stacks:
                if other is not None and other.blamed.function == stack.blamed.function:
                    stacks.setdefault(other.fingerprint, other)
                    if len(stacks) == STACKS_OF_SITE:
                        return list(stacks.values())
        return list(stacks.values())

    def labels(self) -> dict[str, Mapping[str, str]]:
        """Return target name -> labels, of departed targets too."""
        return {state.target.name: state.target.all_labels for state in self.states}

    def link_context(self, name: str) -> LinkContext:
        """Return the fields of source links that depend on a target."""
        departed = self.departed.get(Target(self.name, name))
        state = self.targets.get(name) or (departed.state if departed else None)
        if state is None:
            return LinkContext(self.name, {})
        process = state.process_tracker.process
        return LinkContext(self.name, state.target.labels, process.build if process else "")

    def judge(self, time: float, block: float) -> JudgedStacks | None:
        """Return the pooled judgements, None if they cannot have changed since the last call."""
        observed = self.observed
        if len(observed) < 2 and not self.departed:
            changed, self._pooled = self._pooled is not None, None
            self.judged = {}
            return self.judged if changed else None
        if self._pooled is None:
            self._pooled = _pooled_detectors(block, time)
        of_stacks, of_sites = self._pooled
        if not of_stacks.is_due(time):
            return None
        histories, sites = _histories(list(observed.values()))
        self.judged = {**of_stacks.judge(time, histories), **of_sites.judge(time, sites)}
        return self.judged

    def judge_dump(self) -> JudgedStacks:
        """Return the pooled judgements after a full dump of a target."""
        if self._pooled is not None:
            histories, sites = _histories(list(self.observed.values()))
            of_stacks, of_sites = self._pooled
            self.judged = {**of_stacks.judge_dump(histories), **of_sites.judge_dump(sites)}
        return self.judged


def _pooled_detectors(block: float, start: float) -> tuple[PooledDetector, PooledDetector]:
    """Return new detectors of the stacks and of the sites of a service."""
    stacks = Pool(block, start)
    return PooledDetector(stacks), PooledDetector(Pool(block, start, stacks))


def _histories(states: Sequence[TargetState]) -> tuple[dict[str, History], dict[str, History]]:
    """Return target name -> history of its stacks, and of its sites."""
    of_stacks = {state.target.name: state.history for state in states}
    return of_stacks, {state.target.name: state.sites for state in states}
