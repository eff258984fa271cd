"""Plays traces through leakwatch's own pipeline, as the daemon does, and collects alarms and rates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from alarms import Alarms
from dumps import Dumps
from scenarios import Traces
from scene import HOUR

from leakwatch.detect.dumped import DumpedStacks
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Sample, Stack, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of

START: Final = 1_700_000_000.0
LATER: Final = 4 * HOUR


class Counted(dict[int, Sample]):
    """Count -> sample of one stack, made at the first use."""

    def __init__(self, number: int, wait: str = "") -> None:
        super().__init__()
        blamed = Frame(f"example.com/shop/f{number}.wait", f"/src/f{number}.go", 7)
        origin = f"example.com/shop/f{number}.run"
        frames = (blamed, Frame(origin, f"/src/f{number}.go", 3))
        self.stack = Stack(
            fingerprint=fingerprint_of([frame.function for frame in frames]),
            frames=frames,
            blamed=blamed,
            origin=origin,
            wait=wait,
        )

    def __missing__(self, count: int) -> Sample:
        """Return the sample of `count` goroutines."""
        sample = self[count] = Sample(self.stack, count)
        return sample


@dataclass
class Outcome:
    """Alarms of each row, and its rates per hour at the detection and some hours later, nan without one."""

    alarms: list[Alarms]
    rates: list[tuple[float, float]]
    later: float = LATER
    """Seconds after an alarm when the rate is read again."""
    dumps: int = 0
    """Full dumps of all replicas."""
    seconds: float = 0.0
    """Time that was played."""
    _open: dict[int, float] = field(default_factory=dict)
    _waiting: dict[int, float] = field(default_factory=dict)

    def add(self, row: int, event: Event, onset: float) -> None:
        """Add an event of a row; `onset`: of its leak."""
        time = event.time - START
        if event.leak.verdict >= Verdict.LEAKING:
            self._open.setdefault(row, time)
            if time >= onset and np.isnan(self.rates[row][0]):
                self.rates[row] = (event.leak.growth.rate * HOUR, np.nan)
                self._waiting[row] = time + self.later
        elif row in self._open:
            self.alarms[row].append((self._open.pop(row), time))

    def note_later_rates(self, pipeline: Pipeline, rows: dict[Fingerprint, int], time: float) -> None:
        """Note the rates at `time` of the leaks that were found `later` seconds before."""
        due = {row for row, due_time in self._waiting.items() if due_time <= time}
        if not due:
            return
        for leak in pipeline.open_leaks():
            row = rows[leak.stack.fingerprint]
            if row in due:
                self.rates[row] = (self.rates[row][0], leak.growth.rate * HOUR)
        for row in due:
            del self._waiting[row]

    def is_done(self) -> bool:
        """Return whether every row has both rates."""
        return not self._waiting and not np.isnan([rate for rate, _ in self.rates]).any()

    def close(self, time: float) -> None:
        """End all open alarms at `time`."""
        for row, begin in self._open.items():
            self.alarms[row].append((begin, time))


@dataclass(frozen=True, slots=True)
class Dumping:
    """Full dumps beside the counts.

    `replicas`: the dumps of the first replicas; the others are not asked. `waits`: the wait reason of each row.
    `most`: goroutines of a process above which it is not asked.
    """

    replicas: Sequence[Dumps]
    waits: Sequence[str]
    most: int


class Replica:
    """One replica of the service: passes every scrape to the pipeline, and the full dumps that the judge wants."""

    def __init__(
        self,
        pipeline: Pipeline,
        traces: Traces,
        stacks: Sequence[Counted],
        *,
        number: int,
        dumping: Dumping | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._traces = traces
        self._stacks = stacks
        self._keys = [stack.stack.fingerprint for stack in stacks]
        self._number = number
        self._names = 0
        self._target: Target | None = None
        self._most = dumping.most if dumping else 0
        self._dumps = dumping.replicas[number] if dumping and number < len(dumping.replicas) else None
        self._identified = dumping is not None
        self._processes = np.cumsum(np.diff(traces.age, prepend=0.0) < 0)
        self.dumps = 0

    def scrape(self, i: int, time: float) -> list[Event]:
        """Pass scrape number `i` to the pipeline; after a time without a process the replica has a new name."""
        age = self._traces.age
        events: list[Event] = []
        if np.isnan(age[i]):
            removed, self._target = self._target, None
            return self._pipeline.drop_target(removed, time) if removed else []
        if self._target is None:
            self._names += 1
            self._target = Target("shop", f"10.0.{self._names}.{self._number}:6060")
        elif age[i] < age[i - 1] and not self._identified:
            events = self._pipeline.restart(self._pipeline.add_target(self._target), time)
        counts = self._traces.counts[i].tolist()
        samples = {
            key: stack[count] for key, stack, count in zip(self._keys, self._stacks, counts, strict=True) if count
        }
        state = self._pipeline.add_target(self._target)
        process = Process(str(self._processes[i]), "") if self._identified else None
        events += self._pipeline.observe(state, time, sum(counts), samples, process)
        if self._dumps and sum(counts) <= self._most and self._pipeline.wants_dump(state, time):
            self.dumps += 1
            events += self._pipeline.observe_dump(state, time, self._dumped(self._dumps, i))
        return events

    def _dumped(self, dumps: Dumps, i: int) -> DumpedStacks:
        """Return the stacks of a full dump at scrape `i`, with goroutines that no row has."""
        stacks = {fingerprint_of([f"other {n}"]): other for n, other in enumerate(dumps.others(i))}
        for row, dumped, creators in dumps.at(i):
            stacks[self._keys[row]] = dumped
            if creators is not None:
                stacks[fingerprint_of([f"creators of {self._keys[row]}"])] = creators
        return stacks


def play(
    traces: Sequence[Traces],
    *,
    until_found: bool = False,
    later: float = LATER,
    dumping: Dumping | None = None,
) -> Outcome:
    """Play the replicas of one service, which have the same stacks, in time order.

    A replica that is younger than at the scrape before has restarted. A replica without an age has no process.
    `until_found`: stop when all rows have both rates.
    """
    pipeline = Pipeline(DetectionSettings())
    times, onset = traces[0].times, traces[0].onset
    waits = dumping.waits if dumping else [""] * len(onset)
    stacks = [Counted(number, wait) for number, wait in enumerate(waits)]
    rows = {stack.stack.fingerprint: row for row, stack in enumerate(stacks)}
    replicas = [
        Replica(pipeline, trace, stacks, number=number, dumping=dumping) for number, trace in enumerate(traces)
    ]
    shift = float(times[1] - times[0]) / len(replicas)
    outcome = Outcome([[] for _ in onset], [(np.nan, np.nan) for _ in onset], later)
    hour = 0.0
    for i, time in enumerate(times.tolist()):
        for number, replica in enumerate(replicas):
            for event in replica.scrape(i, START + time + number * shift):
                row = rows[event.leak.stack.fingerprint]
                outcome.add(row, event, onset[row])
        if time >= hour:
            hour += HOUR
            outcome.note_later_rates(pipeline, rows, time)
            if until_found and outcome.is_done():
                break
    outcome.close(time)
    outcome.dumps = sum(replica.dumps for replica in replicas)
    outcome.seconds = time
    return outcome
