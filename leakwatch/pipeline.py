"""The way of the data. Read this first.

    discovery -> {Target}                            I/O     the daemon keeps one scrape job per target
    scrape(target) -> pieces of a body               I/O     limits, authorisation, one reason per failure
    profile.parse(pieces) -> groups of traces        pure    profile/text.py
    stacks.identify(groups) -> {Fingerprint: Sample} pure    equal stacks merged, wait reason named
    history.record(time, samples)                    state   fixed memory per series
    detect.judge(history) -> {Fingerprint: Judgement}pure    when a block has closed
    leaks.update(judgements, time) -> [Event]        state   opened, leaking, plateau, recovered, closed
    --- readers, none writes back: metrics.Collector, web ---

One event loop, no locks. Time comes in as a parameter, so a year of profiles replays in seconds through the same
code that watches a live service.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leakwatch.columns import BLOCKS, SCRAPES_PER_BLOCK
from leakwatch.detect.verdict import Detector
from leakwatch.history import History
from leakwatch.leaks import Leaks
from leakwatch.model import Event, Fingerprint, Judgement, Leak, Sample, Samples, Stack, Target
from leakwatch.profile import text
from leakwatch.stacks import Identifier


@dataclass(frozen=True, slots=True)
class Settings:
    """How to judge.

    `block`: seconds; `own_code`: prefixes; `owners`: prefix of a package -> team; `series_limit`: kept per target.
    """

    block: float = 300.0
    own_code: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    series_limit: int = 1000


@dataclass(slots=True)
class Watch:
    """All that is known of one target: the latest total and samples, the history, what is thought of it."""

    target: Target
    history: History
    detector: Detector
    judged: dict[Fingerprint, tuple[Stack, Judgement]] = field(default_factory=dict)
    total: int = 0


class Body:
    """One body on its way in: fed in pieces, so that a large one neither fills memory nor holds up the loop."""

    def __init__(self, memory: text.Memory, identifier: Identifier) -> None:
        self._parser = text.Parser(memory)
        self._identifier = identifier
        self._samples: dict[Fingerprint, Sample] = {}

    def feed(self, data: bytes) -> None:
        """Take in the next piece; raises ProfileError."""
        self._identifier.merge(self._parser.feed(data), self._samples)

    def close(self) -> tuple[int, Samples]:
        """Return the total and the samples of the whole body; raises ProfileError if it is not whole."""
        self._parser.close()
        return self._parser.total or 0, self._samples


class Pipeline:
    """Watches any number of targets; whoever feeds it says what time it is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.watches: dict[Target, Watch] = {}
        self._services: dict[str, dict[Target, Watch]] = {}
        self.leaks = Leaks(self.count, settings.owners)
        self._memory = text.Memory()
        self._identifier = Identifier(settings.own_code)

    def configure(self, settings: Settings) -> bool:
        """Judge by `settings` from now on; tell whether that forgot all history."""
        old, self.settings = self.settings, settings
        if settings.own_code != old.own_code:
            self._identifier = Identifier(settings.own_code)
        self.leaks.assign(settings.owners)
        if (settings.block, settings.series_limit) == (old.block, old.series_limit):
            return False
        for watch in self.watches.values():
            watch.history = History(settings.block, settings.series_limit)
            watch.detector = Detector()
            watch.judged = {}
        self.leaks.forget()
        return True

    def body(self) -> Body:
        """Return an empty body to be fed."""
        return Body(self._memory, self._identifier)

    def watch(self, target: Target) -> Watch:
        """Return all that is known of `target`; begins to watch it if it is new."""
        found = self.watches.get(target)
        if found is None:
            history = History(self.settings.block, self.settings.series_limit)
            found = self.watches[target] = Watch(target, history, Detector())
            self._services.setdefault(target.service, {})[target] = found
        return found

    def observe(self, target: Target, time: float, total: int, samples: Samples) -> list[Event]:
        """Take in one profile of `target`; return the leaks whose verdict it changed."""
        watch = self.watch(target)
        watch.history.protected = watch.judged
        closed = watch.history.record(time, samples)
        watch.total = total
        if not closed:
            return []
        judgements = watch.detector.judge(watch.history)
        watch.judged = {
            fingerprint: (_known(watch.history, fingerprint), judgement)
            for fingerprint, judgement in judgements.items()
        }
        return self.leaks.update(target.service, target.name, watch.judged, time)

    def stretch(self, target: Target, interval: float) -> bool:
        """Say that `target` is scraped every `interval` seconds; tell whether its block had to grow with it."""
        watch = self.watch(target)
        history, before = watch.history, watch.history.closed
        if history.fit(interval):
            watch.detector.stretch(history, before)
            return True
        if SCRAPES_PER_BLOCK * interval <= self.settings.block and history.closed >= BLOCKS and not watch.judged:
            history.shrink()
        return False

    def restart(self, target: Target, time: float) -> list[Event]:
        """Say that `target` runs in a new process since `time`; return the leaks whose verdict that changed."""
        watch = self.watch(target)
        watch.history.restart()
        watch.detector.restart()
        watch.judged = {}
        return self.leaks.update(target.service, target.name, {}, time)

    def forget(self, target: Target, time: float) -> list[Event]:
        """Stop watching `target` at `time`; return the leaks whose verdict that changed."""
        if self.watches.pop(target, None):
            del self._services[target.service][target]
        return self.leaks.update(target.service, target.name, {}, time)

    def count(self, service: str, fingerprint: Fingerprint) -> int:
        """Return the goroutines now in one stack, over all targets of `service`."""
        histories = [watch.history for watch in self._services.get(service, {}).values()]
        return sum(
            int(history.last[history.rows[fingerprint]]) for history in histories if fingerprint in history.rows
        )

    def open_leaks(self) -> list[Leak]:
        """Return the leaks with their numbers of now, the most urgent first."""
        return self.leaks.all()


def _known(history: History, fingerprint: Fingerprint) -> Stack:
    stack = history.stacks[history.rows[fingerprint]]
    if stack is None:
        raise AssertionError(f"row of {fingerprint} is free")
    return stack
