"""Refills histories from what leakwatch exported before: `--warm-from URL`.

After a move to another shard, or the loss of a disk, a service would not be judged for hours. But all that was
known of it is in Prometheus: leakwatch_stack_goroutines, as it was after each scrape. It is asked for some hours
at a time and played through a pipeline of its own, as if it were scraped again, while scraping goes on; when that
has come to now, the pipeline that is read takes the service over.

Prometheus has the largest stacks of each target, not all. Where leakwatch_stacks_other says that some were summed
up, one that is missing has a count that is not known, and is taken for what it was before.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final

import structlog

from leakwatch.clock import Clock
from leakwatch.detect.columns import BLOCKS_PER_HOUR, HOURS, SCRAPES_PER_BLOCK
from leakwatch.errors import QueryError
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.prometheus_api import PrometheusApi, PrometheusSeries, quoted

log = structlog.get_logger()

RECENT: Final = 36  # blocks that are asked for in five steps each; what is older in one
POINTS: Final = 500_000  # asked for at a time
STACKS: Final = 50  # series of a target, about
AGAIN: Final = 60.0  # seconds after which a server that gave no answer is asked again
PATIENCE: Final = 12  # blocks that a service waits for it
LOST: Final = 3  # steps without a profile, after which a target that is no more had gone

LEAKING = 'group by (service) (last_over_time(leakwatch_leak_goroutines{verdict=~"leaking|proven"}[1h]))'
GOROUTINES = "max by (target, stack) (leakwatch_stack_goroutines{%s})"
OTHER = "max by (target) (leakwatch_stacks_other{%s})"
PROCESS = "max by (target, start, build) (leakwatch_process_info{%s})"
INFO = (
    "max by (stack, function, file, line, origin, wait) (last_over_time(leakwatch_stack_info[%ds]))"
    " and on (stack) max by (stack) (last_over_time(leakwatch_stack_goroutines{%s}[%ds]))"
)


@dataclass(slots=True)
class Profile:
    """What was exported of one target at one time."""

    counts: dict[Fingerprint, int] = field(default_factory=dict)
    summed_up: bool = False
    process: Process | None = None


Profiles = dict[tuple[float, str], Profile]
"""Time and target's name -> what was exported."""


class Backfill:
    """Refills the histories of services that are new here, one after the other, those with leaks first."""

    def __init__(self, prometheus: PrometheusApi, pipeline: Pipeline, clock: Clock) -> None:
        self._prometheus = prometheus
        self._pipeline = pipeline
        self._clock = clock
        self._wanted: dict[str, float] = {}
        """Service -> since when it waits, in seconds of a stopwatch."""
        self._known: set[str] = set()
        self._news = asyncio.Event()

    def want(self, services: Iterable[str]) -> None:
        """Refill those of `services` that are new here, soon."""
        new = set(services) - self._known
        self._known |= new
        self._wanted |= dict.fromkeys(sorted(new), self._clock.stopwatch())
        if new:
            self._news.set()

    def waiting(self) -> int:
        """Return how many services wait for their history."""
        return len(self._wanted)

    async def run(self) -> None:
        """Refill what is wanted, until cancelled. A server that gives no answer is said and asked again later."""
        while True:
            if not self._wanted:
                self._news.clear()
                await self._news.wait()
            try:
                for service in await self._leaking() + list(self._wanted):
                    if service in self._wanted:
                        await self.refill(service)
                        del self._wanted[service]
            except QueryError as error:
                log.warning("histories cannot be refilled now", services=len(self._wanted), error=str(error))
                await asyncio.sleep(AGAIN)
                self._give_up()
            except Exception:
                log.exception("histories cannot be refilled, by a mistake of ours")
                self._wanted.clear()

    async def close(self) -> None:
        """Close the connection to the server."""
        await self._prometheus.close()

    def _give_up(self) -> None:
        """Want those no more that have been watched for so long that their own history is better."""
        latest = self._clock.stopwatch() - PATIENCE * self._pipeline.settings.block
        for service in [name for name, since in self._wanted.items() if since < latest]:
            del self._wanted[service]

    def _targets(self, service: str) -> list[Target]:
        """Return the current targets of a service."""
        state = self._pipeline.service(service)
        return [target.target for target in state.targets.values()] if state else []

    async def _leaking(self) -> list[str]:
        found = await self._prometheus.instant(LEAKING, self._clock.wall(self._clock.time()))
        return [series.labels.get("service", "") for series in found]

    async def refill(self, service: str) -> int:
        """Make known what was exported of a service until now; return how many profiles. Raises QueryError."""
        time = self._clock.time()
        now = self._clock.wall(time)
        settings = self._pipeline.settings
        block, labels = settings.block, f"service={quoted(service)}"
        recent, whole = RECENT * block, (HOURS * BLOCKS_PER_HOUR + 1) * block
        span = math.ceil(whole)
        infos = await self._prometheus.instant(INFO % (span, labels, span), now)
        stacks = {stack.fingerprint: stack for stack in (_stack(series.labels) for series in infos)}
        if not stacks:
            return 0
        replay = Replay(service, settings, stacks, shift=time - now)
        played = await self._play(replay, labels, now - whole, now - recent, block)
        played += await self._play(replay, labels, now - recent, now, block / SCRAPES_PER_BLOCK)
        replay.follow(self._targets(service))
        replay.part(math.inf)
        if self._pipeline.settings.block == block:
            self._pipeline.adopt(service, replay.pipeline)
            log.info("history refilled", service=service, profiles=played)
        return played

    async def _play(self, replay: "Replay", labels: str, start: float, end: float, step: float) -> int:
        """Play what was exported from `start` until before `end`, `step` seconds apart; return how much."""
        number = max(len(self._targets(replay.service)), 1)
        played, steps = 0, max(POINTS // (STACKS * number), SCRAPES_PER_BLOCK)
        while start < end - step / 2:
            profiles = await self._profiles(labels, start, min(start + (steps - 1) * step, end - step / 2), step)
            replay.follow(self._targets(replay.service))
            for time, those in groupby(sorted(profiles.items(), key=itemgetter(0)), key=lambda item: item[0][0]):
                replay.part(time - LOST * step)
                for (_, name), profile in those:
                    replay.play(time, name, profile)
                    played += 1
                await asyncio.sleep(0)
            start += steps * step
        return played

    async def _profiles(self, labels: str, start: float, end: float, step: float) -> Profiles:
        """Return what was exported of the targets from `start` to `end`."""
        found: Profiles = defaultdict(Profile)
        for series, time, value in await self._points(GOROUTINES % labels, start, end, step):
            found[time, series.get("target", "")].counts[Fingerprint(series.get("stack", ""))] = int(value)
        for series, time, value in await self._points(OTHER % labels, start, end, step):
            found[time, series.get("target", "")].summed_up = value > 0
        for series, time, _ in await self._points(PROCESS % labels, start, end, step):
            found[time, series.get("target", "")].process = Process(
                series.get("start", ""), series.get("build", "")
            )
        return {key: profile for key, profile in found.items() if profile.counts}

    async def _points(
        self, query: str, start: float, end: float, step: float
    ) -> Iterable[tuple[Mapping[str, str], float, float]]:
        answer: list[PrometheusSeries] = await self._prometheus.range(query, start, end, step)
        return ((series.labels, time, value) for series in answer for time, value in series.points)


class Replay:
    """Plays profiles of one service in order of time, in a pipeline of its own; its events are no news.

    Targets that are no more had gone when their profiles ended, and may have heirs. `shift`: what makes the
    pipeline's time of the server's.
    """

    def __init__(
        self, service: str, settings: DetectionSettings, stacks: Mapping[Fingerprint, Stack], shift: float
    ) -> None:
        self.service = service
        self.pipeline = Pipeline(settings)
        self._stacks = stacks
        self._shift = shift
        self._targets: dict[str, Target] = {}
        self._counts: dict[str, dict[Fingerprint, int]] = defaultdict(dict)
        self._seen: dict[str, float] = {}

    def follow(self, targets: Iterable[Target]) -> None:
        """Take in which targets there are now."""
        self._targets = {target.name: target for target in targets}

    def play(self, time: float, name: str, profile: Profile) -> None:
        """Take in one profile."""
        before = self._counts[name] if profile.summed_up else {}
        counts = self._counts[name] = {**before, **profile.counts}
        samples: Samples = {
            key: Sample(self._stacks[key], count) for key, count in counts.items() if count and key in self._stacks
        }
        self._seen[name] = time
        total = sum(profile.counts.values())
        self.pipeline.observe(
            self.pipeline.add_target(self._target(name)), time + self._shift, total, samples, profile.process
        )

    def part(self, before: float) -> None:
        """Let go of the targets that are no more and were last seen `before`."""
        for name in [name for name, time in self._seen.items() if time < before and name not in self._targets]:
            self.pipeline.remove_target(self._target(name), self._seen.pop(name) + self._shift)

    def _target(self, name: str) -> Target:
        return self._targets.get(name) or Target(self.service, name)


def _stack(labels: Mapping[str, str]) -> Stack:
    """Return a stack of the one frame that is known; the first scrape brings the others."""
    at = Frame(labels.get("function", ""), labels.get("file", ""), int(labels.get("line") or 0))
    fingerprint = Fingerprint(labels.get("stack", ""))
    return Stack(
        fingerprint=fingerprint,
        frames=(at,),
        blamed=at,
        origin=labels.get("origin", ""),
        wait=labels.get("wait", ""),
    )
