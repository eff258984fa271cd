"""Plays traces through leakwatch's own pipeline, as the daemon does, and notes what it says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from alarms import Alarms
from scenarios import Traces
from scene import HOUR

from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Sample, Stack, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.profile.fingerprint import fingerprint_of

START: Final = 1_700_000_000.0
LATER: Final = 4 * HOUR
"""After the detection, when the rate is looked at again."""


class Counted(dict[int, Sample]):
    """One stack's sample for each count, made when it is first needed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        blamed = Frame(f"example.com/shop/f{number}.wait", f"/src/f{number}.go", 7)
        origin = f"example.com/shop/f{number}.run"
        frames = (blamed, Frame(origin, f"/src/f{number}.go", 3))
        self.stack = Stack(fingerprint_of([frame.function for frame in frames]), frames, blamed, origin, "")

    def __missing__(self, count: int) -> Sample:
        """Return the sample of `count` goroutines."""
        sample = self[count] = Sample(self.stack, count)
        return sample


@dataclass
class Heard:
    """What was said of each row.

    Its alarms, and the rate per hour when it was detected and some hours after, nan where there is none.
    """

    alarms: list[Alarms]
    rates: list[tuple[float, float]]
    _open: dict[int, float] = field(default_factory=dict)
    _waiting: dict[int, float] = field(default_factory=dict)

    def hear(self, row: int, event: Event, onset: float) -> None:
        """Take in what is said of a row whose leak began at `onset`."""
        time = event.time - START
        if event.leak.verdict >= Verdict.LEAKING:
            self._open.setdefault(row, time)
            if time >= onset and np.isnan(self.rates[row][0]):
                self.rates[row] = (event.leak.growth.rate * HOUR, np.nan)
                self._waiting[row] = time + LATER
        elif row in self._open:
            self.alarms[row].append((self._open.pop(row), time))

    def look_again(self, pipeline: Pipeline, rows: dict[Fingerprint, int], time: float) -> None:
        """Note the rates of the leaks that were found some hours before `time`."""
        due = {row for row, at in self._waiting.items() if at <= time}
        if not due:
            return
        for leak in pipeline.open_leaks():
            row = rows[leak.stack.fingerprint]
            if row in due:
                self.rates[row] = (self.rates[row][0], leak.growth.rate * HOUR)
        for row in due:
            del self._waiting[row]

    def is_done(self) -> bool:
        """Tell whether every row was found and looked at again."""
        return not self._waiting and not np.isnan([rate for rate, _ in self.rates]).any()

    def close(self, time: float) -> None:
        """End the alarms that are still on."""
        for row, begin in self._open.items():
            self.alarms[row].append((begin, time))


class Replica:
    """One process of the service, as the daemon's job for it: every scrape goes to the pipeline."""

    def __init__(self, pipeline: Pipeline, traces: Traces, stacks: Sequence[Counted], number: int) -> None:
        self._pipeline = pipeline
        self._traces = traces
        self._stacks = stacks
        self._keys = [stack.stack.fingerprint for stack in stacks]
        self._number = number
        self._born = 0
        self._target: Target | None = None

    def scrape(self, i: int, at: float) -> list[Event]:
        """Take the scrape of number `i` at `at`; one who comes back after being away has a new name."""
        age = self._traces.age
        events: list[Event] = []
        if np.isnan(age[i]):
            gone, self._target = self._target, None
            return self._pipeline.forget_target(gone, at) if gone else []
        if self._target is None:
            self._born += 1
            self._target = Target("shop", f"10.0.{self._born}.{self._number}:6060")
        elif age[i] < age[i - 1]:
            events = self._pipeline.restart(self._pipeline.add_target(self._target), at)
        counts = self._traces.counts[i].tolist()
        samples = {
            key: stack[count] for key, stack, count in zip(self._keys, self._stacks, counts, strict=True) if count
        }
        return events + self._pipeline.observe(self._pipeline.add_target(self._target), at, sum(counts), samples)


def play(traces: Sequence[Traces], *, until_found: bool = False) -> Heard:
    """Play the replicas of one service, which have the same stacks, in time order.

    A replica that is younger than at the scrape before has restarted; one without an age is away. `until_found`:
    stop when all leaks have been found and their rates noted.
    """
    pipeline = Pipeline(DetectionSettings())
    times, onset = traces[0].times, traces[0].onset
    stacks = [Counted(number) for number in range(len(onset))]
    rows = {stack.stack.fingerprint: row for row, stack in enumerate(stacks)}
    replicas = [Replica(pipeline, its, stacks, number) for number, its in enumerate(traces)]
    shift = float(times[1] - times[0]) / len(replicas)
    heard = Heard([[] for _ in onset], [(np.nan, np.nan) for _ in onset])
    hour = 0.0
    for i, time in enumerate(times.tolist()):
        for number, replica in enumerate(replicas):
            for event in replica.scrape(i, START + time + number * shift):
                row = rows[event.leak.stack.fingerprint]
                heard.hear(row, event, onset[row])
        if time >= hour:
            hour += HOUR
            heard.look_again(pipeline, rows, time)
            if until_found and heard.is_done():
                break
    heard.close(time)
    return heard
