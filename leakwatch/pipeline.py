"""The way of the data. Read this first.

    discovery -> {Target}                            I/O     the daemon keeps one scrape job per target
    scrape(target) -> pieces of a body               I/O     limits, authorisation, one reason per failure
    profile.parse(pieces) -> groups of traces        pure    profile/text.py
    stacks.identify(groups) -> {Fingerprint: Sample} pure    equal stacks merged, wait reason named
    history.record(time, samples)                    state   fixed memory per series
    detect.judge(series)  -> {Fingerprint: Judgement}pure    watch.py: when a block has closed, for the stacks and
                                                             sites of a target and of a whole service
    leaks.update(judgements, time) -> [Event]        state   opened, leaking, plateau, recovered, closed
    --- readers, none writes back: metrics.Collector, notify (Alertmanager), web ---

One event loop, no locks. Time comes in as a parameter, so a year of profiles replays in seconds through the same
code that watches a live service.
"""

from collections.abc import Collection, Mapping, Sequence

from leakwatch.leaks import handover as succession
from leakwatch.leaks.findings import Suspects, findings
from leakwatch.leaks.ignore import IgnoreRule, unmatched
from leakwatch.leaks.memory_cost import memory_cost
from leakwatch.leaks.model import Event, Findings, Leak, MemoryCost
from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.ownership.source_links import LinkContext
from leakwatch.leaks.service_state import ServiceState
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import POOLED, Judged, LeakTracker
from leakwatch.model import Fingerprint, Frame, Process, Samples, Target
from leakwatch.profile import proto, text
from leakwatch.profile.body import Body, Format
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.stacks import Identifier


class Pipeline:
    """Watches any number of targets; whoever feeds it says what time it is."""

    def __init__(self, settings: DetectionSettings) -> None:
        self.settings = settings
        self.targets: dict[Target, TargetState] = {}
        self.blocks = 0
        """How many blocks of targets have closed."""
        self.leaks = LeakTracker(self.count, self._labels, self._facts, self._findings, self._cost)
        self._assign(settings)
        self._services: dict[str, ServiceState] = {}
        self._cache = ParseCache()
        self.identifier = Identifier(settings.own_code)

    def configure(self, settings: DetectionSettings) -> bool:
        """Judge by `settings` from now on; tell whether that forgot all history."""
        old, self.settings = self.settings, settings
        if settings.own_code != old.own_code:
            self.identifier = Identifier(settings.own_code)
        self._assign(settings)
        if (settings.block, settings.series_limit) == (old.block, old.series_limit):
            return False
        for state in self.targets.values():
            state.forget(settings)
        for service in self._services.values():
            service.forget()
        self.leaks.forget()
        return True

    def _assign(self, settings: DetectionSettings) -> None:
        owners = Owners(settings.owners, settings.repositories)
        self.leaks.assign(owners, settings.ignore, settings.links)

    def body(self, form: Format = "text", size_limit: int = 1 << 30, service: str = "") -> Body:
        """Return an empty body to be fed; `size_limit`: bytes when decompressed."""
        if form == "proto":
            return Body(proto.Parser(self._cache, size_limit, service), self.identifier)
        return Body(text.Parser(self._cache), self.identifier)

    def add_target(self, target: Target) -> TargetState:
        """Return all that is known of `target`; begins to watch it if it is new."""
        found = self.targets.get(target)
        if found is None:
            service = self._services.setdefault(target.service, ServiceState())
            found = succession.on_target_added(service, target, self.settings, self.leaks)
            self.targets[target] = service.targets[target.name] = found
        found.target = target  # the same one, but its labels may have changed
        return found

    def observe(
        self, target: Target, time: float, total: int, samples: Samples, process: Process | None = None
    ) -> list[Event]:
        """Take in one profile of `target`; return the leaks whose verdict it changed.

        `process`: which one it comes from, None where that cannot be known.
        """
        state = self.add_target(target)
        change = state.identity.changed(time, process, state.history, samples)
        state.total = total
        if state.identity.mixed:  # several processes behind one address: their counts in turn mean nothing
            return self.leaks.update(target.service, target.name, state.mixed(time).judged(time), time)
        state.mixed_since = None
        events = self.restart(target, time) if change else []
        service = self._services[target.service]
        state.history.protected = state.sites.protected = {**state.judgements, **service.judged}
        closed = state.history.record(time, samples)
        state.sites.follow(time, samples)
        if not closed:
            return events
        self.blocks += 1
        state.judge([other for other in service.targets.values() if other is not state])
        events += self._update(state, time)
        judged = service.judge(time, self.settings.block)
        if judged is not None:
            events += self.leaks.update(target.service, POOLED, judged, time)
        return events

    def restart(self, target: Target, time: float) -> list[Event]:
        """Say that `target` runs in a new process since `time`; return the leaks whose verdict that changed."""
        state = self.add_target(target)
        state.restart()
        return self._update(state, time)

    def _update(self, state: TargetState, time: float) -> list[Event]:
        target = state.target
        return self.leaks.update(target.service, target.name, state.judgements, time, state.proven)

    def suspects(self, target: Target) -> Suspects:
        """Return the stacks and sites of `target` that are told as leaks."""
        return self.leaks.suspects(target.service, target.name)

    def learn(self, target: Target, time: float) -> list[Event]:
        """Judge by what `target` has answered to a closer look; return the leaks whose verdict that changed."""
        state = self.add_target(target)
        state.learn()
        return self._update(state, time)

    def stretch(self, target: Target, interval: float) -> bool:
        """Say that `target` is scraped every `interval` seconds; tell whether its block had to grow with it."""
        return self.add_target(target).stretch(interval, self.settings.block)

    def leave(self, target: Target, time: float) -> list[Event]:
        """Say that `target` went away at `time`; return the leaks whose verdict that changed.

        What is known of it is kept for a day, for when it comes back or another takes its place.
        """
        state = self.targets.pop(target, None)
        if state is None:
            return []
        service = self._services[target.service]
        del service.targets[target.name]
        replacement = succession.on_target_removed(service, state, time, self.leaks)
        if replacement is not None:
            return self._update(replacement, time)
        return self.leaks.update(target.service, target.name, service.gone[target].judged(time), time)

    def expire(self, time: float) -> list[Event]:
        """Let go, at `time`, of targets that are gone for long; return the leaks whose verdict that changed."""
        events = []
        for name, service in list(self._services.items()):
            for target, gone in list(service.gone.items()):
                judged: Judged = {} if time - gone.time >= succession.KEPT else gone.judged(time)
                if time - gone.time >= succession.KEPT:
                    del service.gone[target]
                events += self.leaks.update(name, target.name, judged, time)
            events += self._end(name, time)
        return events

    def forget(self, target: Target, time: float) -> list[Event]:
        """Stop watching `target` at `time`, for good; return the leaks whose verdict that changed."""
        if self.targets.pop(target, None):
            del self._services[target.service].targets[target.name]
        events = self.leaks.update(target.service, target.name, {}, time)
        return events + self._end(target.service, time)

    def _end(self, name: str, time: float) -> list[Event]:
        """Forget a service that has no targets any more."""
        service = self._services.get(name)
        if service is None or service.targets or service.gone:
            return []
        del self._services[name]
        return self.leaks.update(name, POOLED, {}, time)

    def count(self, service: str, fingerprint: Fingerprint) -> int:
        """Return the goroutines now in one stack or at one site, over all targets of `service`."""
        found = self._services.get(service)
        return sum(state.count(fingerprint) for state in found.targets.values()) if found else 0

    def _findings(self, service: str, keys: Sequence[Fingerprint], targets: Collection[str]) -> Findings:
        found = self._services.get(service)
        on = found.on(targets) if found else []
        return findings(keys, [state.answers for state in on], [state.older(keys[0]) for state in on])

    def _cost(self, leak: Leak) -> MemoryCost | None:
        service = self._services.get(leak.service)
        return memory_cost(service, leak) if service else None

    def _labels(self, service: str) -> dict[str, Mapping[str, str]]:
        found = self._services.get(service)
        if found is None:
            return {}
        states = (*(gone.state for gone in found.gone.values()), *found.targets.values())
        return {state.target.name: state.target.all_labels for state in states}

    def _facts(self, service: str, name: str) -> LinkContext:
        found, target = self._services.get(service), Target(service, name)
        gone = found.gone.get(target) if found else None
        state = self.targets.get(target) or (gone.state if gone else None)
        if state is None:
            return LinkContext(service, {})
        process = state.identity.process
        return LinkContext(service, state.target.labels, process.build if process else "")

    def source_link(self, leak: Leak, frame: Frame) -> str:
        """Return where the source of a frame of `leak` is shown: a URL, "" where that is not known."""
        return self.leaks.source(leak.service, leak.targets, frame, leak.stack.frames)

    def service(self, name: str) -> ServiceState | None:
        """Return all that is known of a service, None if it has no target."""
        return self._services.get(name)

    def take(self, service: str, other: "Pipeline") -> None:
        """Go on with what `other` knows of a service, in place of what is known here.

        A target that it does not know begins anew, as the heir of one that is gone if there is one.
        """
        mine, found = self.service(service), other.service(service)
        if mine is None or found is None:
            return
        for state in mine.targets.values():
            del self.targets[state.target]
        self.targets |= {state.target: state for state in found.targets.values()}
        self._services[service] = found
        self.leaks.take(service, other.leaks.told(service))

    def is_own(self, frame: Frame) -> bool:
        """Tell whether a frame is own code."""
        return self.identifier.is_own(frame)

    def services(self) -> Mapping[str, ServiceState]:
        """Return all that is known of each service."""
        return self._services

    def unmatched(self) -> list[IgnoreRule]:
        """Return the rules of `ignore` that match no stack of any target that is there or was there lately."""
        stacks = (
            (stack, state.target.all_labels)
            for service in self._services.values()
            for state in (*service.targets.values(), *(gone.state for gone in service.gone.values()))
            for stack in state.history.stacks
            if stack is not None
        )
        return unmatched(self.settings.ignore, stacks)

    def open_leaks(self) -> list[Leak]:
        """Return the leaks with their numbers of now, the most urgent first."""
        return self.leaks.all()
