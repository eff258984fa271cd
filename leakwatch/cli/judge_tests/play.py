"""Plays a judge test through the daemon's pipeline in virtual time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from leakwatch.cli.judge_tests.file import EventConfig, JudgeTest
from leakwatch.cli.judge_tests.processes import SimulatedProcess
from leakwatch.detect.growth import score_blocks, score_hours
from leakwatch.detect.stuck import score_stuck
from leakwatch.leaks.model import Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Stack, Target, Trace, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.globs import glob

ROUNDING: Final = 1e-6  # seconds that a scrape may be late
MAX_DUMPED: Final = ProbeSettings().full_dump_goroutines


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The verdict on the functions that a glob matches, `time` seconds after the start of the test.

    `leak`: the most urgent one that is reported, None without one. `goroutines`: of all these functions. `rule`:
    the ignore rule that hides a leak of them, "" if a leak is reported or none is hidden. `score`: the highest
    score and its window, for times of expectations.
    """

    time: float
    leak: Leak | None
    goroutines: int
    rule: str = ""
    score: tuple[float, str] = (0.0, "")

    @property
    def verdict(self) -> Verdict:
        """The reported verdict."""
        return self.leak.verdict if self.leak else Verdict.NORMAL

    @property
    def word(self) -> str:
        """The verdict as tests spell it."""
        return "ignored" if self.rule else self.verdict.word


Course = Sequence[Observed]
"""All observations of one glob: at the start, whenever verdicts may have changed, and at times of expectations."""


class Replica:
    """One target and its processes; `process` is None while discovery does not return the target."""

    def __init__(self, number: int, test: JudgeTest, traces: Sequence[Trace]) -> None:
        self.number = number
        self.target = Target(test.service, f"{test.service}-{number}", test.labels)
        self.process: SimulatedProcess | None = None
        self.missing_until = 0.0
        """Time until which scrapes fail."""
        self._series = [
            (trace, series)
            for trace, series in zip(traces, test.series, strict=True)
            if not series.replicas or number in series.replicas
        ]
        self._interval = test.interval
        self._processes = 0

    def start(self, time: float) -> None:
        """Start a new process."""
        self._processes += 1
        name = f"{self.target.name} process {self._processes}"
        self.process = SimulatedProcess(name, time, self._series, self._interval)


class Playback:
    """One test, and the pipeline that judges it."""

    def __init__(self, test: JudgeTest, settings: DetectionSettings) -> None:
        self._test = test
        self._epoch = test.start.timestamp()
        self._pipeline = Pipeline(settings)
        traces = _traces(test)
        self._stacks = [self._pipeline.identifier.stack(trace) for trace in traces]
        self._replicas = [Replica(number, test, traces) for number in range(1, test.replicas + 1)]
        self._has_dumps = any(series.stuck is not None for series in test.series)
        events = [(time, event) for event in test.events for time in event.times(test.for_)]
        self._events = sorted(events, key=itemgetter(0))[::-1]
        """The times of the events to come, the next one last."""
        first_events = {replica: event for _, event in self._events for replica in self._of(event)}
        for replica in self._replicas:
            if replica not in first_events or first_events[replica].start is None:
                replica.start(0.0)

    def _of(self, event: EventConfig) -> list[Replica]:
        """Return the replicas of an event."""
        return [replica for replica in self._replicas if not event.replicas or replica.number in event.replicas]

    def run(self) -> Mapping[str, Course]:
        """Return the course of each glob that the test names."""
        courses: dict[str, list[Observed]] = {expected.function: [] for expected in self._test.expect}
        interval = self._test.interval
        expected_at = {int((each.at + ROUNDING) / interval) for each in self._test.expect if each.at is not None}
        changed: tuple[int, int] | None = None
        for number in range(int((self._test.for_ + ROUNDING) / interval) + 1):
            self._scrape(number * interval)
            before, changed = changed, (self._pipeline.blocks, self._pipeline.revision)
            if number in expected_at or changed != before:
                for function, course in courses.items():
                    course.append(self._observe(function, number * interval, with_score=number in expected_at))
        return courses

    def _scrape(self, time: float) -> None:
        """Apply the events that are due, and scrape all replicas."""
        while self._events and self._events[-1][0] <= time + ROUNDING:
            _, event = self._events.pop()
            for replica in self._of(event):
                self._apply(event, replica, time)
        pipeline = self._pipeline
        for replica in self._replicas:
            if replica.process is None or time < replica.missing_until - ROUNDING:
                continue
            samples = pipeline.identifier.merge(replica.process.groups(time), {})
            total = sum(sample.goroutines for sample in samples.values())
            state = pipeline.add_target(replica.target)
            pipeline.observe(state, self._epoch + time, total, samples, replica.process.process)
            if self._has_dumps and total <= MAX_DUMPED and pipeline.wants_dump(state, self._epoch + time):
                pipeline.observe_dump(state, self._epoch + time, replica.process.dump(time, self._fingerprint))
        pipeline.expire(self._epoch + time)

    def _fingerprint(self, trace: Trace) -> Fingerprint:
        return self._pipeline.identifier.stack(trace).fingerprint

    def _apply(self, event: EventConfig, replica: Replica, time: float) -> None:
        if event.action == "miss":
            replica.missing_until = time + (event.for_ or self._test.interval)
        elif event.action == "start" or (event.action == "restart" and replica.process):
            replica.start(time)
        elif event.action == "stop":
            replica.process = None
            self._pipeline.remove_target(replica.target, self._epoch + time)

    def _observe(self, function: str, time: float, *, with_score: bool) -> Observed:
        pattern = glob(function)
        leaks = [
            leak
            for leak in self._pipeline.open_leaks()
            if any(pattern.fullmatch(stack.blamed.function) for stack in _members(leak))
        ]
        leak = max(leaks, key=lambda leak: leak.verdict, default=None)
        stacks = {each.fingerprint: each for each in self._stacks if pattern.fullmatch(each.blamed.function)}
        return Observed(
            time=time,
            leak=leak,
            goroutines=sum(self._pipeline.count(self._test.service, fingerprint) for fingerprint in stacks),
            rule="" if leak else self._rule(stacks.values()),
            score=self._score(stacks.values()) if with_score and not leak else (0.0, ""),
        )

    def _rule(self, stacks: Iterable[Stack]) -> str:
        """Return the rule that hides a leak of `stacks`, or of a site of them, "" if none does."""
        service = self._pipeline.service(self._test.service)
        functions = {stack.blamed.function for stack in stacks}
        if service is None:
            return ""
        hidden = [(service.leaks.groups[key], rule) for key, rule in service.leaks.rules.items()]
        return next(
            (
                str(rule)
                for group, rule in hidden
                if any(member.stack.blamed.function in functions for member in group.members)
            ),
            "",
        )

    def _score(self, stacks: Iterable[Stack]) -> tuple[float, str]:
        """Return the highest score of `stacks` on any target, and its window."""
        fingerprints = {stack.fingerprint for stack in stacks}
        best = (0.0, "")
        for state in self._pipeline.targets.values():
            history = state.history
            for scores in (score_blocks(history), score_hours(history), score_stuck(history)):
                for row, score, window in zip(scores.rows, scores.scores, scores.windows, strict=True):
                    stack = history.stacks[int(row)]
                    if stack is not None and stack.fingerprint in fingerprints:
                        best = max(best, (float(score), window.name))
        return best


def play(test: JudgeTest, settings: DetectionSettings) -> Mapping[str, Course]:
    """Return the course of each glob that the expectations of a test name."""
    return Playback(test, settings).run()


def blamed_functions(test: JudgeTest, own_code: Sequence[str]) -> list[str]:
    """Return the blamed function of each series; `own_code`: prefixes of functions that are own code."""
    identifier = Identifier(own_code)
    return [identifier.stack(trace).blamed.function for trace in _traces(test)]


def _traces(test: JudgeTest) -> list[Trace]:
    return [Trace(series.stack, wait=series.wait, repeated=True) for series in test.series]


def _members(leak: Leak) -> Iterator[Stack]:
    yield leak.stack
    yield from (related.stack for related in leak.related)
