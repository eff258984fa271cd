"""Plays services that are deployed daily: each day has a new pod, with a new process and a leakwatch of its own.

What the next leakwatch knows of the day before depends on `Start`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

import kinds
import numpy as np
from alarms import Alarms
from play import START, Counted
from population import beside
from scenarios import HEALTHY, SERVICE, Length, Traces, seeded
from scene import DAY, HOUR, Scene

from leakwatch.detect.columns import BLOCKS_PER_HOUR, HOURS, SCRAPES_PER_BLOCK
from leakwatch.detect.past import PastLeak
from leakwatch.leaks.past import ServicePast, past_of_service
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Process, Samples, Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.backfill import LOST, RECENT, ExportedProfile, Replay

DAYS: Final = 7
INTERVAL: Final = 60.0
"""Seconds between scrapes, so that hundreds of service-days are played in ten minutes."""
TOGETHER: Final = 10
"""Services in one process, because a row costs less than a target."""
RATE: Final = 60.0
"""Goroutines per hour of the leak of each service, which begins on the second day and is in all later builds."""
SHOP: Final = "shop"


class Start(Enum):
    """Knowledge that a leakwatch begins with: nothing, the state on a volume, or what is in Prometheus."""

    NOTHING = "nothing"
    VOLUME = "a volume"
    REPLAY = "Prometheus, only the replay of its stacks"
    PROMETHEUS = "Prometheus"


def services(part: int, length: Length) -> Traces:
    """Return the stacks of TOGETHER services in one process, without the constant ones; the last stacks leak."""
    times = np.arange(0.0, DAYS * DAY, INTERVAL)
    stacks = {name: round(TOGETHER * number) for name, number in SERVICE.items() if name != "const"}
    healthy = sum(stacks.values())
    onset = seeded(length.seed, "deploys", part).uniform(DAY + 2 * HOUR, DAY + 14 * HOUR, TOGETHER)
    columns = []
    for name, rows in [*stacks.items(), ("pure", TOGETHER)]:
        seeds = (length.seed, "deploys", part, name)
        scene = Scene(times, times % DAY, rows, seeded(*seeds, 0), seeded(*seeds, 1), part * rows)
        stack = HEALTHY[name].make(scene) if name in stacks else kinds.pure(scene, RATE, onset)
        columns.append(stack.without_parts())
    onsets = np.concatenate([np.full(healthy, inf), onset])
    return Traces(times, times % DAY, beside(columns), onsets, RATE)


@dataclass
class Firing:
    """Alarms of each row over all pods."""

    alarms: list[Alarms]
    rows: Mapping[Fingerprint, int]
    _open: dict[int, float]

    def update(self, pipeline: Pipeline, time: float) -> None:
        """Begin and end alarms, so that those of the stacks that leak are open."""
        candidates = pipeline.services[SHOP].leaks.candidates
        firing = {self.rows[key] for key, found in candidates.items() if found.verdict >= Verdict.LEAKING}
        for row in self._open.keys() - firing:
            self.alarms[row].append((self._open.pop(row), time))
        for row in firing - self._open.keys():
            self._open[row] = time

    def close(self, time: float) -> None:
        """End all open alarms at `time`."""
        for row, begin in self._open.items():
            self.alarms[row].append((begin, time))


class Pods:
    """The pods of services, one after the other."""

    def __init__(self, traces: Traces) -> None:
        self.traces = traces
        self.stacks = [Counted(number) for number in range(len(traces.onset))]
        self.keys = [stack.stack.fingerprint for stack in self.stacks]
        self._settings = DetectionSettings()

    def samples(self, i: int) -> Samples:
        """Return the counts of scrape number `i`."""
        counts = self.traces.counts[i].tolist()
        pairs = zip(self.keys, self.stacks, counts, strict=True)
        return {key: stack[count] for key, stack, count in pairs if count}

    def target(self, time: float) -> Target:
        """Return the pod of the day."""
        return Target(SHOP, f"10.0.0.{int(time // DAY) + 1}:6060")

    def scrape(self, pipeline: Pipeline, i: int) -> None:
        """Scrape the pod."""
        time, samples = float(self.traces.times[i]), self.samples(i)
        state = pipeline.add_target(self.target(time))
        total = sum(sample.goroutines for sample in samples.values())
        pipeline.observe(state, START + time, total, samples, Process(str(time // DAY), ""))

    def begin(self, start: Start, old: Pipeline | None, i: int) -> Pipeline:
        """Return the pipeline of a new pod; `i`: number of its first scrape, `old`: of the pod before."""
        pipeline = Pipeline(self._settings)
        time = float(self.traces.times[i])
        if old is not None and start is Start.VOLUME:
            pipeline.restore(old.to_plain(0.0), 0.0)
            pipeline.remove_target(self.target(time - 1), START + time)
        self.scrape(pipeline, i)
        if old is not None and start in {Start.REPLAY, Start.PROMETHEUS}:
            past = exported(old) if start is Start.PROMETHEUS else ServicePast()
            pipeline.adopt(SHOP, self._replayed(past, i).pipeline)
        return pipeline

    def _replayed(self, past: ServicePast, i: int) -> Replay:
        """Return the replay of what Prometheus has before scrape `i`, with the same steps as a backfill."""
        now, block = float(self.traces.times[i]), self._settings.block
        replay = Replay(
            SHOP, self._settings, dict(zip(self.keys, (stack.stack for stack in self.stacks), strict=True)), START
        )
        replay.set_targets([self.target(now)])
        total, recent = (HOURS * BLOCKS_PER_HOUR + 1) * block, RECENT * block
        for start, end, step in ((total, recent, block), (recent, 0.0, block / SCRAPES_PER_BLOCK)):
            times = np.arange(now - start, now - end - step / 2, step)
            for time in times[times >= 0].tolist():
                replay.remove_unseen(time - LOST * step)
                replay.play(time, self.target(time).name, self._profile(time))
        replay.take_over(past, START + now)
        replay.remove_unseen(inf)
        return replay

    def _profile(self, time: float) -> ExportedProfile:
        """Return the profile that leakwatch exported last at `time`."""
        samples = self.samples(int(np.searchsorted(self.traces.times, time, side="right")) - 1)
        counts = {key: sample.goroutines for key, sample in samples.items()}
        return ExportedProfile(counts, process=Process(str(time // DAY), ""))


def exported(pipeline: Pipeline) -> ServicePast:
    """Return what leakwatch exports for a later one."""
    state = pipeline.services[SHOP]
    return ServicePast(
        {key: past for key, (_, past) in past_of_service(state).items()},
        {
            key: PastLeak(
                verdict=min(found.verdict, Verdict.LEAKING),
                rate=found.rate,
                first_seen=found.first_seen,
                detected_at=found.detected_at,
            )
            for key, found in state.leaks.candidates.items()
            if found.verdict in {Verdict.PLATEAU, Verdict.LEAKING, Verdict.PROVEN}
        },
    )


def play_pods(traces: Traces, start: Start) -> Sequence[Alarms]:
    """Return the alarms of each stack."""
    pods = Pods(traces)
    firing = Firing([[] for _ in pods.keys], {key: row for row, key in enumerate(pods.keys)}, {})
    pipeline: Pipeline | None = None
    for i, time in enumerate(traces.times.tolist()):
        if pipeline is None or time % DAY == 0:
            pipeline = pods.begin(start, pipeline, i)
        else:
            pods.scrape(pipeline, i)
        firing.update(pipeline, time)
    firing.close(DAYS * DAY)
    return firing.alarms
