"""Fills histories from the metrics that leakwatch exported to Prometheus before: `--warm-from URL`.

After a restart or a move to another shard, a service would not be judged for hours. Prometheus has its previous
counts, as leakwatch_stack_goroutines. The backfill queries some hours at a time and replays them through a
separate pipeline, as if they were scraped, while scraping continues. When the replay has reached the present, the
daemon's pipeline adopts the state of the service.

The replay does not restore known drops, ceilings and older verdicts, which earlier processes exported. They are
added at the end (exported_past.py).

Prometheus has the largest stacks of each target only. If leakwatch_stacks_other reports that stacks were summed
up, the count of a missing stack is unknown, and its previous count is used.
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
from leakwatch.leaks.past import ServicePast, date_leaks, take_over_past
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.exported_past import exported_past
from leakwatch.scrape.prometheus_api import PrometheusApi, PrometheusConfig, PrometheusSeries, quoted

log = structlog.get_logger()

RECENT: Final = 36  # latest blocks, which are queried in five steps each; older ones in one step
POINTS: Final = 500_000  # points of one query, about
STACKS: Final = 50  # series of one target, about
RETRY: Final = 60.0  # seconds between a failed query and the next one
PATIENCE: Final = 12  # blocks after which the history of a waiting service is better than the exported one
LOST: Final = 3  # steps without a profile after which a former target counts as removed

LEAKING = (
    'group by (service) (max_over_time(leakwatch_leak_verdict{verdict=~"leaking|proven"}[1h]) == 1'
    ' or last_over_time(leakwatch_leak_goroutines{verdict=~"leaking|proven"}[1h]))'  # of earlier versions
)
GOROUTINES = "max by (target, stack) (leakwatch_stack_goroutines{%s})"
OTHER = "max by (target) (leakwatch_stacks_other{%s})"
PROCESS = "max by (target, start, build) (leakwatch_process_info{%s})"
INFO = (
    "max by (stack, function, file, line, origin, wait) (last_over_time(leakwatch_stack_info[%ds]))"
    " and on (stack) max by (stack) (last_over_time("
    '{__name__=~"leakwatch_stack_(goroutines|known_drop_goroutines|ceiling_goroutines)",%s}[%ds]))'
)


@dataclass(slots=True)
class ExportedProfile:
    """The counts of one target at one time; `summed_up`: whether some of its stacks were summed up."""

    counts: dict[Fingerprint, int] = field(default_factory=dict)
    summed_up: bool = False
    process: Process | None = None


ExportedProfiles = dict[tuple[float, str], ExportedProfile]
"""Time and name of the target -> its profile."""


class Backfill:
    """Fills the histories of new services, one after the other; services with leaks come first."""

    def __init__(self, prometheus: PrometheusApi, pipeline: Pipeline, clock: Clock) -> None:
        self._prometheus = prometheus
        self._pipeline = pipeline
        self._clock = clock
        self._waiting: dict[str, float] = {}
        """Service -> stopwatch seconds since which it waits."""
        self._added: set[str] = set()
        """All services so far."""
        self._not_empty = asyncio.Event()

    @classmethod
    def from_config(cls, config: PrometheusConfig, pipeline: Pipeline, clock: Clock) -> "Backfill":
        """Return the backfill from the Prometheus of the configuration."""
        return cls(PrometheusApi(config), pipeline, clock)

    def add(self, services: Iterable[str]) -> None:
        """Queue `services` for the backfill, except those that were added before."""
        new = set(services) - self._added
        self._added |= new
        self._waiting |= dict.fromkeys(sorted(new), self._clock.stopwatch())
        if new:
            self._not_empty.set()

    def skip(self, services: Iterable[str]) -> None:
        """Do not fill the histories of `services`, which were restored from the storage."""
        self._added.update(services)

    @property
    def waiting(self) -> int:
        """The number of services that wait for their history."""
        return len(self._waiting)

    async def run(self) -> None:
        """Fill the histories of waiting services until cancelled; log failed queries, and retry them later."""
        while True:
            if not self._waiting:
                self._not_empty.clear()
                await self._not_empty.wait()
            try:
                for service in await self._leaking() + list(self._waiting):
                    if service in self._waiting:
                        await self.fill(service)
                        del self._waiting[service]
            except QueryError as error:
                log.warning("backfill failed, it will be retried", services=len(self._waiting), error=str(error))
                await asyncio.sleep(RETRY)
                self._give_up()
            except Exception:
                log.exception("internal error in the backfill")
                self._waiting.clear()

    async def close(self) -> None:
        """Close the connection to the server."""
        await self._prometheus.close()

    def _give_up(self) -> None:
        """Drop the services that have waited until their own history is better than the exported one."""
        latest = self._clock.stopwatch() - PATIENCE * self._pipeline.settings.block
        for service in [name for name, since in self._waiting.items() if since < latest]:
            del self._waiting[service]

    def _targets(self, service: str) -> list[Target]:
        """Return the current targets of a service."""
        state = self._pipeline.service(service)
        return [target.target for target in state.targets.values()] if state else []

    async def _leaking(self) -> list[str]:
        """Return the services that leaked in the last hour."""
        result = await self._prometheus.instant(LEAKING, self._clock.wall(self._clock.time()))
        return [series.labels.get("service", "") for series in result]

    async def fill(self, service: str) -> int:
        """Replay the exported profiles of a service; return their number. Raises QueryError."""
        time = self._clock.time()
        now = self._clock.wall(time)
        settings = self._pipeline.settings
        block, labels = settings.block, f"service={quoted(service)}"
        recent, total = RECENT * block, (HOURS * BLOCKS_PER_HOUR + 1) * block
        span = math.ceil(total)
        infos = await self._prometheus.instant(INFO % (span, labels, span), now)
        stacks = {stack.fingerprint: stack for stack in (_stack(series.labels) for series in infos)}
        if not stacks:
            return 0
        replay = Replay(service, settings, stacks, shift=time - now)
        profiles = await self._play(replay, labels, now - total, now - recent, block)
        profiles += await self._play(replay, labels, now - recent, now, block / SCRAPES_PER_BLOCK)
        past = await exported_past(self._prometheus, service, now, shift=time - now)
        replay.set_targets(self._targets(service))
        replay.take_over(past, time)
        replay.remove_unseen(math.inf)
        if self._pipeline.settings.block == block:
            self._pipeline.adopt(service, replay.pipeline)
            log.info("history filled", service=service, profiles=profiles)
        return profiles

    async def _play(self, replay: "Replay", labels: str, start: float, end: float, step: float) -> int:
        """Replay the profiles from `start` until before `end`, `step` seconds apart; return their number."""
        number = max(len(self._targets(replay.service)), 1)
        played, steps = 0, max(POINTS // (STACKS * number), SCRAPES_PER_BLOCK)
        while start < end - step / 2:
            profiles = await self._profiles(labels, start, min(start + (steps - 1) * step, end - step / 2), step)
            replay.set_targets(self._targets(replay.service))
            for time, items in groupby(sorted(profiles.items(), key=itemgetter(0)), key=lambda item: item[0][0]):
                replay.remove_unseen(time - LOST * step)
                for (_, name), profile in items:
                    replay.play(time, name, profile)
                    played += 1
                await asyncio.sleep(0)
            start += steps * step
        return played

    async def _profiles(self, labels: str, start: float, end: float, step: float) -> ExportedProfiles:
        """Return the exported profiles of all targets from `start` to `end`."""
        profiles: ExportedProfiles = defaultdict(ExportedProfile)
        for series, time, value in await self._points(GOROUTINES % labels, start, end, step):
            profiles[time, series.get("target", "")].counts[Fingerprint(series.get("stack", ""))] = int(value)
        for series, time, value in await self._points(OTHER % labels, start, end, step):
            profiles[time, series.get("target", "")].summed_up = value > 0
        for series, time, _ in await self._points(PROCESS % labels, start, end, step):
            profiles[time, series.get("target", "")].process = Process(
                series.get("start", ""), series.get("build", "")
            )
        return {key: profile for key, profile in profiles.items() if profile.counts}

    async def _points(
        self, query: str, start: float, end: float, step: float
    ) -> Iterable[tuple[Mapping[str, str], float, float]]:
        """Return labels, time and value of each point of a range query."""
        result: list[PrometheusSeries] = await self._prometheus.range(query, start, end, step)
        return ((series.labels, time, value) for series in result for time, value in series.points)


class Replay:
    """Replays the profiles of one service in the order of time, in a separate pipeline. Its events are dropped.

    Former targets are removed when their profiles end, and may have replacements. `shift`: seconds from the
    server's time to the pipeline's.
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
        self._last_seen: dict[str, float] = {}

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Set the current targets of the service."""
        self._targets = {target.name: target for target in targets}

    def play(self, time: float, name: str, profile: ExportedProfile) -> None:
        """Replay one profile of a target."""
        before = self._counts[name] if profile.summed_up else {}
        counts = self._counts[name] = {**before, **profile.counts}
        samples: Samples = {
            key: Sample(self._stacks[key], count) for key, count in counts.items() if count and key in self._stacks
        }
        self._last_seen[name] = time
        total = sum(profile.counts.values())
        self.pipeline.observe(
            self.pipeline.add_target(self._target(name)), time + self._shift, total, samples, profile.process
        )

    def take_over(self, past: ServicePast, time: float) -> None:
        """Add what other processes of leakwatch have exported about the service until `time`, of the pipeline."""
        service = self.pipeline.service(self.service)
        if service is None:
            return
        take_over_past(service, past, self._stacks)
        for state in service.targets.values():
            self.pipeline.update(state, time)
        self.pipeline.expire(time)
        date_leaks(service, past.leaks)

    def remove_unseen(self, before: float) -> None:
        """Remove former targets without a profile since `before`."""
        unseen = [name for name, time in self._last_seen.items() if time < before and name not in self._targets]
        for name in unseen:
            self.pipeline.remove_target(self._target(name), self._last_seen.pop(name) + self._shift)

    def _target(self, name: str) -> Target:
        return self._targets.get(name) or Target(self.service, name)


def _stack(labels: Mapping[str, str]) -> Stack:
    """Return a stack of its blamed frame only; the first scrape completes it."""
    blamed = Frame(labels.get("function", ""), labels.get("file", ""), int(labels.get("line") or 0))
    fingerprint = Fingerprint(labels.get("stack", ""))
    return Stack(
        fingerprint=fingerprint,
        frames=(blamed,),
        blamed=blamed,
        origin=labels.get("origin", ""),
        wait=labels.get("wait", ""),
    )
