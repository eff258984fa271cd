"""Data flow from one scraped profile to events. Read this first.

    discovery -> {Target}                      I/O    scrape/target_set.py, scrape/loop.py: one loop per target
    fetch(target) -> pieces of a body          I/O    http/fetch.py: limits, authentication, reason of a failure
    parse(pieces) -> groups of traces          pure   profile/text.py, profile/proto.py
    identify(groups) -> samples                pure   profile/stacks.py: one sample per fingerprint
    history.record(time, samples)              state  detect/history.py: fixed memory per series
    detector.judge(history) -> judgements      pure   detect/detector.py: stacks and sites; by full dumps too
    tracker.update(service, judgements) -> events     leaks/tracker.py: opened, leaking, plateau, recovered, closed
    probe a suspected target                   I/O    scrape/probes/: full dumps and proofs return to the pipeline
    metrics, alerts, pages, files              I/O    scrape/metrics.py, notify/, web/, evidence/, storage/

All state is in a TargetState per target and a ServiceState per service (leaks/). One event loop uses it, without
locks. Callers pass the time, so a year of profiles replays in seconds through the code that watches live services.
"""

from collections.abc import Iterable, Mapping

from leakwatch.detect.dumped import DumpedStacks
from leakwatch.leaks import handover
from leakwatch.leaks.candidate import POOLED
from leakwatch.leaks.dump_schedule import wants_dump
from leakwatch.leaks.ignore import IgnoreRule, unmatched
from leakwatch.leaks.model import Event, Leak
from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.service_state import NEVER, ServicePlain, ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import LeakOnTarget, LeakTracker
from leakwatch.model import Fingerprint, Frame, Process, Samples, Target, TargetHealth
from leakwatch.profile import proto, text
from leakwatch.profile.body import Body, Format
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.stacks import Identifier


class Pipeline:
    """Turns the profiles of any number of targets into leaks and events."""

    def __init__(self, settings: DetectionSettings) -> None:
        self.settings = settings
        self.targets: dict[Target, TargetState] = {}
        self.services: dict[str, ServiceState] = {}
        self.blocks = 0
        """Number of blocks that have closed."""
        self.identifier = Identifier(settings.own_code)
        self._tracker = LeakTracker()
        self._cache = ParseCache()
        self._configure_tracker()

    def add_target(self, target: Target) -> TargetState:
        """Return the state of a target that is scraped from now on.

        The state of a removed target is continued when the target, or a replacement, returns a profile.
        """
        service = self.services[target.service] = self.services.get(target.service) or ServiceState(target.service)
        state = self.targets.get(target)
        if state is None:
            state = TargetState(target, self.settings, service.functions)
            self.targets[target] = service.targets[target.name] = state
        if state.target.labels != target.labels:  # equal targets may differ in labels
            del self.targets[target]  # the key has the labels too
            self.targets[target] = state
            state.target = target
            service.leaks.invalidate()
        return state

    def service(self, name: str) -> ServiceState | None:
        """Return the state of a service, None if it has neither current nor departed targets."""
        return self.services.get(name)

    def health(self) -> dict[Target, TargetHealth]:
        """Return the health of each target."""
        return {target: state.health for target, state in self.targets.items()}

    def remove_target(self, target: Target, time: float) -> list[Event]:
        """Remove a target that discovery no longer returns; return the verdicts that changed.

        Its state goes to a replacement, or is kept for 24 hours in case the target or a replacement appears.
        """
        state = self.targets.get(target)
        if state is None:
            return []
        service = self._detach(state)
        if not state.is_observed:
            return self._end(service, time)
        replacement = handover.replace_removed(service, state, time)
        if replacement is not None:
            service.leaks.rename(target.name, replacement.target.name)
            return self.update(replacement, time)
        return self._tracker.update(service, target.name, service.departed[target].judgements(time), time)

    def drop_target(self, target: Target, time: float) -> list[Event]:
        """Remove a target and drop its state; return the verdicts that changed."""
        service = self.services.get(target.service)
        if service is None:
            return []
        if target in self.targets:
            self._detach(self.targets[target])
        return self._tracker.update(service, target.name, {}, time) + self._end(service, time)

    def expire(self, time: float) -> list[Event]:
        """Drop the states of targets that were removed long ago; return the verdicts that changed."""
        events = []
        for service in list(self.services.values()):
            for target, departed in list(service.departed.items()):
                judgements = departed.judgements(time)
                if time - departed.time >= handover.RETENTION:
                    del service.departed[target]
                    judgements = {}
                events += self._tracker.update(service, target.name, judgements, time)
            events += self._end(service, time)
        return events

    def _detach(self, state: TargetState) -> ServiceState:
        service = self.services[state.target.service]
        del self.targets[state.target], service.targets[state.target.name]
        return service

    def _end(self, service: ServiceState, time: float) -> list[Event]:
        if service.targets or service.departed:
            return []
        del self.services[service.name]
        return self._tracker.update(service, POOLED, {}, time)

    def body(self, form: Format = "text", size_limit: int = 1 << 30, service: str = "") -> Body:
        """Return an empty body to be fed; `size_limit`: decompressed bytes."""
        if form == "proto":
            return Body(proto.Parser(self._cache, size_limit, service), self.identifier)
        return Body(text.Parser(self._cache), self.identifier)

    def observe(
        self, state: TargetState, time: float, total: int, samples: Samples, process: Process | None = None
    ) -> list[Event]:
        """Record one profile of a target; return the verdicts that changed.

        `process`: the process that answered, None if unknown. A target that was removed meanwhile is ignored.
        """
        target = state.target
        if self.targets.get(target) is not state:
            return []
        service = self.services[target.service]
        service.time = max(service.time, time)
        if not state.is_observed:
            self._continue_departed(service, state)
        restarted = state.process_tracker.changed(time, process, state.history, samples)
        state.total = total
        if state.process_tracker.mixed:
            return self._tracker.update(service, target.name, state.mixed_judgements(time), time)
        state.mixed_since = None
        events = self.restart(state, time) if restarted else []
        protected = {**state.judgements, **service.judged}
        closed = state.history.record(time, samples, protected)
        state.sites.record(time, samples, protected)
        return events + self._judge(service, state, time) if closed else events

    def _continue_departed(self, service: ServiceState, state: TargetState) -> None:
        """Give a target with its first profile the state of a removed target: its own, or one it replaces."""
        departed = service.departed.pop(state.target, None)
        if departed:
            state.adopt(departed.state)
        elif old := handover.take_over_departed(service, state):
            service.leaks.rename(old.target.name, state.target.name)
        state.is_observed = True
        service.leaks.built_at = NEVER

    def _judge(self, service: ServiceState, state: TargetState, time: float) -> list[Event]:
        """Judge a target after its block has closed, and its service."""
        self.blocks += 1
        state.judge([sibling for sibling in service.observed.values() if sibling is not state])
        events = self.update(state, time)
        pooled = service.judge(time, self.settings.block)
        if pooled is not None:
            events += self._tracker.update(service, POOLED, pooled, time)
        return events

    def restart(self, state: TargetState, time: float) -> list[Event]:
        """Begin a new lifetime of a target after its process restarted; return the verdicts that changed."""
        state.restart()
        return self.update(state, time)

    def probe_recorded(self, state: TargetState) -> None:
        """Build the leaks of a service again after a probe has changed the results of a target."""
        if self.targets.get(state.target) is state:
            self.services[state.target.service].leaks.built_at = NEVER

    def wants_dump(self, state: TargetState, time: float) -> bool:
        """Return whether a full dump of a target would help to judge it."""
        service = self.services.get(state.target.service)
        return service is not None and wants_dump(state, service, self.leaks_on(state.target), time)

    def observe_dump(self, state: TargetState, time: float, stacks: DumpedStacks) -> list[Event]:
        """Record a full dump of a target; return the verdicts that changed."""
        if self.targets.get(state.target) is not state or not state.is_observed:
            return []
        state.observe_dump(time, stacks)
        events, service = self.update(state, time), self.services[state.target.service]
        return events + self._tracker.update(service, POOLED, service.judge_dump(), time)

    def apply_proof(self, state: TargetState, time: float) -> list[Event]:
        """Judge a target again after its runtime reported leaked goroutines; return the verdicts that changed."""
        if self.targets.get(state.target) is not state:
            return []
        state.apply_proof()
        return self.update(state, time)

    def update(self, state: TargetState, time: float) -> list[Event]:
        """Derive the leaks from the judgements of a target; return the verdicts that changed."""
        service = self.services[state.target.service]
        return self._tracker.update(service, state.target.name, state.judgements, time, state.proven)

    @property
    def revision(self) -> int:
        """A number that changes with each event, and whenever states are dropped or replaced."""
        return self._tracker.revision

    def open_leaks(self) -> list[Leak]:
        """Return the open leaks, the most urgent first."""
        return self._tracker.leaks(self.services.values())

    def leak(self, service: str, fingerprint: Fingerprint) -> Leak | None:
        """Return the open leak that a stack or site of a service represents, None if it represents none."""
        state = self.services.get(service)
        return self._tracker.leak(state, fingerprint) if state else None

    def leaks_on(self, target: Target) -> list[LeakOnTarget]:
        """Return the leaks that grow or grew on a target."""
        service = self.services.get(target.service)
        return self._tracker.on_target(service, target.name) if service else []

    def count(self, service: str, fingerprint: Fingerprint) -> int:
        """Return the goroutines of a stack or site in the latest profiles of all targets of a service."""
        state = self.services.get(service)
        return state.count(fingerprint) if state else 0

    def is_own(self, frame: Frame) -> bool:
        """Return whether a frame is own code."""
        return self.identifier.is_own(frame)

    def source_link(self, leak: Leak, frame: Frame) -> str:
        """Return the URL of the source of a frame of a leak, "" if unknown."""
        service = self.services.get(leak.service)
        return self._tracker.source(service, leak.targets, frame, leak.stack.frames) if service else ""

    def ignored(self) -> Mapping[str, int]:
        """Return ignore rule -> number of leaks that it ignores now."""
        return self._tracker.ignored(self.services.values())

    def unmatched(self) -> list[IgnoreRule]:
        """Return the ignore rules that match no stack of a current or departed target."""
        states = (state for service in self.services.values() for state in service.states)
        stacks = ((stack, state.target.all_labels) for state in states for stack in state.history.stacks if stack)
        return unmatched(self.settings.ignore, stacks)

    def configure(self, settings: DetectionSettings) -> bool:
        """Use new settings; return whether all history was dropped, which a new block or series limit requires."""
        old, self.settings = self.settings, settings
        if settings.own_code != old.own_code:
            self.identifier = Identifier(settings.own_code)
        self._configure_tracker()
        if (settings.block, settings.series_limit) == (old.block, old.series_limit):
            return False
        for service in self.services.values():
            service.clear()
            for state in service.targets.values():
                state.clear(settings, service.functions)
        self._tracker.revision += 1
        return True

    def _configure_tracker(self) -> None:
        owners = Owners(self.settings.owners, self.settings.repositories)
        self._tracker.configure(owners, self.settings, self.identifier.is_own)
        for service in self.services.values():
            service.leaks.invalidate()

    # State as plain values

    def to_plain(self, now: float) -> list[ServicePlain]:
        """Return the plain values of all services and their targets; `now`: seconds of the stopwatch."""
        return [service.all_to_plain(now) for service in self.services.values()]

    def restore(self, services: Iterable[ServicePlain], now: float) -> None:
        """Add services from their plain values. Raise StateError, and add none, if a value is invalid."""
        states = [ServiceState.from_plain(plain, self.settings, now) for plain in services]
        for service in states:
            self.services[service.name] = service
            self.targets |= {state.target: state for state in service.targets.values()}
            for state in service.targets.values():
                state.health = state.health.after_restart()
        self._tracker.revision += 1

    def adopt(self, service: str, other: "Pipeline") -> None:
        """Continue with the state of a service in `other`, which replaces the current state.

        A target that is missing in `other` starts over, as the replacement of a departed target if there is one. A
        target that only `other` has was removed at the time of its latest profile.
        """
        own, adopted = self.services.get(service), other.services.get(service)
        if own is not None and adopted is not None:
            handover.adopt(own, adopted, self.settings)
