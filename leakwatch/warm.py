"""Refills histories from what leakwatch exported before: `--warm-from URL`.

After a move to another shard, or the loss of a disk, a service would not be judged for hours. But all that was
known of it is in Prometheus: leakwatch_stack_goroutines, as it was after each scrape. It is asked for some hours
at a time and played through the pipeline, as if it were scraped again.

Prometheus has the largest stacks of each target, not all. Where leakwatch_stacks_other says that some were summed
up, one that is missing has a count that is not known, and is taken for what it was before.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from leakwatch.columns import BLOCKS_PER_HOUR, HOURS, SCRAPES_PER_BLOCK
from leakwatch.errors import QueryError
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Stack, Target
from leakwatch.pipeline import Pipeline
from leakwatch.prometheus import Prometheus, Series, quoted

log = structlog.get_logger()

RECENT: Final = 36  # blocks that are asked for in five steps each; what is older in one
POINTS: Final = 500_000  # asked for at a time
STACKS: Final = 50  # series of a target, about
BROKEN: Final = 300.0  # seconds in which a server that gave no answer is not asked again
PLAYED: Final = 20  # profiles played before others get their turn

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


class Warmer:
    """Refills histories, one service after the other; `stopwatch` tells seconds."""

    def __init__(self, prometheus: Prometheus, pipeline: Pipeline, stopwatch: Callable[[], float]) -> None:
        self._prometheus = prometheus
        self._pipeline = pipeline
        self._stopwatch = stopwatch
        self._broken_until = -math.inf
        self._turn = asyncio.Semaphore(1)

    async def refill(self, service: str, targets: Collection[Target], now: float, shift: float) -> None:
        """Play what is known of the `targets` of a service until `now`, in unix seconds; never raises.

        `shift`: what makes the pipeline's time of those. A server that gives no answer is said, once in a while.
        """
        async with self._turn:
            if not targets or self._stopwatch() < self._broken_until:
                return
            try:
                played = await self._refill(service, {target.name: target for target in targets}, now, shift)
            except QueryError as error:
                self._broken_until = self._stopwatch() + BROKEN
                log.warning("no history to go on with: judging begins anew", service=service, error=str(error))
                return
            if played:
                log.info("history refilled", service=service, targets=len(targets), profiles=played)

    async def close(self) -> None:
        """Close the connection to the server."""
        await self._prometheus.close()

    async def _refill(self, service: str, targets: Mapping[str, Target], now: float, shift: float) -> int:
        block = self._pipeline.settings.block
        recent, whole = RECENT * block, (HOURS * BLOCKS_PER_HOUR + 1) * block
        labels, span = f"service={quoted(service)}", math.ceil(whole)
        stacks = {}
        for series in await self._prometheus.instant(INFO % (span, labels, span), now):
            stack = _stack(series.labels)
            stacks[stack.fingerprint] = stack
        if not stacks:
            return 0
        replay = Replay(self._pipeline, targets, stacks, shift)
        played = await self._play(replay, labels, now - whole, now - recent, block)
        return played + await self._play(replay, labels, now - recent, now, block / SCRAPES_PER_BLOCK)

    async def _play(self, replay: "Replay", labels: str, start: float, end: float, step: float) -> int:
        """Play what was exported from `start` until before `end`, `step` seconds apart; return how much."""
        played, steps = 0, max(POINTS // (STACKS * replay.targets), SCRAPES_PER_BLOCK)
        while start < end - step / 2:
            profiles = await self._profiles(labels, start, min(start + (steps - 1) * step, end - step / 2), step)
            for i, ((time, name), profile) in enumerate(sorted(profiles.items(), key=lambda item: item[0])):
                played += replay.play(time, name, profile)
                if i % PLAYED == 0:
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
        answer: list[Series] = await self._prometheus.range(query, start, end, step)
        return ((series.labels, time, value) for series in answer for time, value in series.points)


class Replay:
    """Plays profiles of some targets of one service, in order of time; events are no news and are dropped."""

    def __init__(
        self, pipeline: Pipeline, targets: Mapping[str, Target], stacks: Mapping[Fingerprint, Stack], shift: float
    ) -> None:
        self.targets = len(targets)
        self._pipeline = pipeline
        self._targets = targets
        self._stacks = stacks
        self._shift = shift
        self._counts: dict[str, dict[Fingerprint, int]] = defaultdict(dict)

    def play(self, time: float, name: str, profile: Profile) -> int:
        """Take in one profile; return 1 if it is of one of the targets, else 0."""
        target = self._targets.get(name)
        if target is None:
            return 0
        before = self._counts[name] if profile.summed_up else {}
        counts = self._counts[name] = {**before, **profile.counts}
        samples: Samples = {
            key: Sample(self._stacks[key], count) for key, count in counts.items() if count and key in self._stacks
        }
        total = sum(profile.counts.values())
        self._pipeline.observe(target, time + self._shift, total, samples, profile.process)
        return 1


def _stack(labels: Mapping[str, str]) -> Stack:
    """Return a stack of the one frame that is known; the first scrape brings the others."""
    at = Frame(labels.get("function", ""), labels.get("file", ""), int(labels.get("line") or 0))
    fingerprint = Fingerprint(labels.get("stack", ""))
    return Stack(fingerprint, (at,), at, labels.get("origin", ""), labels.get("wait", ""))
