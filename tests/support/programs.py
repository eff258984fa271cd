"""Programs made of goroutines with a birth, an end and a rhythm, played through the pipeline with full dumps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import numpy.typing as npt

from leakwatch.detect.dumped import UNKNOWN, DumpedStack, DumpedStacks
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Process, Samples, Target
from leakwatch.pipeline import Pipeline
from tests.support.simulated import HOUR, START, TARGET, samples, stack

FOREVER = float("inf")
INTERVAL = 60.0
"""Seconds between two scrapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goroutine:
    """A goroutine that runs every `wakes` seconds; times in seconds since the start of the scrapes."""

    number: int
    born: float
    dies: float = FOREVER
    wakes: float = FOREVER
    parent: int = 0

    def minutes(self, time: float) -> int:
        """Return the whole minutes that it has waited at `time`, UNKNOWN in the first."""
        waited = (time - self.born) % self.wakes if self.wakes < FOREVER else time - self.born
        return int(waited // 60) or UNKNOWN


@dataclass
class Program:
    """A process; `main` has waited since `uptime` seconds before the first scrape, unless nothing is collected."""

    uptime: float = 0.0
    collects_garbage: bool = True
    first_id: int = 100
    goroutines: dict[str, list[Goroutine]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the main goroutine."""
        self._ids = count(self.first_id)
        self._births: dict[str, npt.NDArray[np.float64]] = {}
        self._ends: dict[str, npt.NDArray[np.float64]] = {}
        self.goroutines["main"] = [Goroutine(number=1, born=-self.uptime)]

    def start(self, name: str, births: Iterable[float], *, lives: float = FOREVER, wakes: float = FOREVER) -> None:
        """Start a goroutine of a stack at each of `births`; `lives`, `wakes`: seconds."""
        for born in births:
            goroutine = Goroutine(number=next(self._ids), born=born, dies=born + lives, wakes=wakes)
            self.goroutines.setdefault(name, []).append(goroutine)

    def leak(self, name: str, rate: float, begin: float, end: float, *, wakes: float = FOREVER) -> None:
        """Start `rate` goroutines per hour from `begin` to `end` hours, which never end."""
        self.start(name, np.arange(begin * HOUR, end * HOUR, HOUR / rate).tolist(), wakes=wakes)

    def counts(self, time: float) -> Mapping[str, int]:
        """Return the goroutines of each stack at `time`."""
        counts = {}
        for name, goroutines in self.goroutines.items():
            if len(self._births.get(name, ())) != len(goroutines):
                self._births[name] = np.array([goroutine.born for goroutine in goroutines])
                self._ends[name] = np.array([goroutine.dies for goroutine in goroutines])
            counts[name] = int(((self._births[name] <= time) & (time < self._ends[name])).sum())
        return counts

    def dump(self, time: float) -> DumpedStacks:
        """Return the full dump at `time`."""
        alive = {name: [g for g in each if g.born <= time < g.dies] for name, each in self.goroutines.items()}
        return {
            key(name): DumpedStack(
                np.array([g.number for g in each]),
                np.array([g.minutes(time) if self.collects_garbage else UNKNOWN for g in each]),
                np.array([g.parent for g in each]),
            )
            for name, each in alive.items()
            if each
        }


def key(name: str) -> Fingerprint:
    """Return the fingerprint of a stack."""
    return stack(name, f"main.go{name}").fingerprint


@dataclass(slots=True)
class Run:
    """A pipeline that watches programs, one target each; `dumps`: times of the full dumps of each, in hours."""

    wait: str = "chan send"
    pipeline: Pipeline = field(default_factory=lambda: Pipeline(DetectionSettings()))
    events: list[Event] = field(default_factory=list)
    dumps: dict[str, list[float]] = field(default_factory=dict)

    def watch(
        self, programs: Mapping[str, Program], hours: float, *, begin: float = 0.0, dumps: bool = True
    ) -> None:
        """Scrape all programs from `begin` hours for `hours`, with the full dumps that the judge wants."""
        for i in range(int(hours * HOUR / INTERVAL)):
            for name, program in programs.items():
                self._scrape(name, program, begin * HOUR + i * INTERVAL, dumps=dumps)

    def _scrape(self, name: str, program: Program, at: float, *, dumps: bool) -> None:
        target = TARGET if name == TARGET.name else Target("shop", name)
        state = self.pipeline.add_target(target)
        counts = program.counts(at)
        process = Process(start=str(program.first_id))
        self.events += self.pipeline.observe(
            state, START + at, sum(counts.values()), self._samples(counts), process
        )
        if dumps and self.pipeline.wants_dump(state, START + at):
            self.dumps.setdefault(name, []).append(at / HOUR)
            self.events += self.pipeline.observe_dump(state, START + at, program.dump(at))

    def _samples(self, counts: Mapping[str, int]) -> Samples:
        """Return the samples, all with the wait reason of the run."""
        return {
            fingerprint: replace(sample, stack=replace(sample.stack, wait=self.wait))
            for fingerprint, sample in samples(counts).items()
        }
