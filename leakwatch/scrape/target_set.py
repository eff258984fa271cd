"""Discovers the targets of all jobs, with the endpoint and the job of each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from leakwatch.clock import Clock
from leakwatch.discovery.runner import DiscoveryRunner
from leakwatch.discovery.shard import Shard
from leakwatch.discovery.status import DiscovererStatus
from leakwatch.discovery.target_builder import Endpoint, RelabeledTargets, TargetBuilder
from leakwatch.model import Target
from leakwatch.scrape.config import ScrapeJob

log = structlog.get_logger()

NAMED: Final = 10  # duplicate targets named in one log event


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """How to scrape one target: its endpoint and its job. Equal values need only one scrape loop."""

    endpoint: Endpoint
    job: ScrapeJob

    @property
    def target(self) -> Target:
        """The target."""
        return self.endpoint.target


@dataclass(slots=True)
class JobTargets:
    """The targets of one job as last built."""

    builder: TargetBuilder
    built: RelabeledTargets = field(default_factory=RelabeledTargets)
    over_limit: bool = False
    """Whether more targets than target_limit were found, so that the previous ones stay."""


class TargetSet:
    """The targets of all jobs; calls `changed` when discovery has found other targets."""

    def __init__(
        self, changed: Callable[[], None], clock: Clock | None = None, shard: Shard | None = None
    ) -> None:
        self.targets: dict[Target, ScrapeTarget] = {}
        """The discovered targets of this shard."""
        self.waiting = (0, 0)
        """Discoverers that have not reported targets yet, and all discoverers."""
        self._changed = changed
        self._runner = DiscoveryRunner(self._rebuild_soon, clock)
        self._shard = shard or Shard()
        self._jobs: Sequence[ScrapeJob] = ()
        self._built: dict[str, JobTargets] = {}
        self._duplicates: set[Target] = set()
        self._building = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._again = False

    async def configure(self, jobs: Sequence[ScrapeJob]) -> None:
        """Discover the targets of `jobs` from now on; discoverers that do not change keep running."""
        self._jobs = jobs
        self._runner.configure({job.name: job.discovery for job in jobs})
        await self._rebuild()

    def stop(self) -> None:
        """Stop all discoverers."""
        self._runner.stop()
        if self._task:
            self._task.cancel()

    def counts(self) -> dict[str, RelabeledTargets]:
        """Return job name -> its targets, and the numbers of dropped and invalid addresses."""
        return {name: job.built for name, job in self._built.items()}

    def discoverers(self) -> list[DiscovererStatus]:
        """Return the status of each discoverer."""
        return self._runner.statuses()

    def _rebuild_soon(self) -> None:
        """Rebuild the targets after discovery found others; further changes until then are included."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._rebuild_while_changed())

    async def _rebuild_while_changed(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._rebuild()
            except Exception:
                log.exception("internal error while building targets")

    async def _rebuild(self) -> None:
        async with self._building:
            jobs, waiting = self._jobs, self._runner.waiting()
            built = {job.name: await self._build(job) for job in jobs}
            if jobs is not self._jobs:
                return  # `configure` was called meanwhile, and rebuilds
            self._built, self.waiting = built, waiting
            self.targets = self._merge(jobs)
            self._changed()

    async def _build(self, job: ScrapeJob) -> JobTargets:
        """Return the targets of a job; the previous ones if there are more than target_limit."""
        previous = self._built.get(job.name)
        reusable = previous is not None and previous.builder.defaults == job.defaults
        builder = previous.builder if previous and reusable else TargetBuilder(job.defaults)
        built = await builder.build(self._runner.groups(job.name))
        number = len({endpoint.target for endpoint in built.endpoints})
        if not job.target_limit or number <= job.target_limit:
            return JobTargets(builder, built)
        endpoints = previous.built.endpoints if previous else []
        if not (previous and previous.over_limit):
            log.error(
                "more targets than target_limit, the previous targets stay",
                job=job.name,
                found=number,
                target_limit=job.target_limit,
                kept=len(endpoints),
            )
        return JobTargets(builder, RelabeledTargets(endpoints, built.dropped, built.invalid), over_limit=True)

    def _merge(self, jobs: Sequence[ScrapeJob]) -> dict[Target, ScrapeTarget]:
        """Return the targets of this shard; of two configurations of the same target, the first one applies."""
        merged: dict[Target, ScrapeTarget] = {}
        duplicates: set[Target] = set()
        for job in jobs:
            for endpoint in self._built[job.name].built.endpoints:
                if not self._shard.owns(endpoint.target.service):
                    continue
                scrape_target = ScrapeTarget(endpoint, job)
                first = merged.setdefault(endpoint.target, scrape_target)
                if first is not scrape_target and first != scrape_target:
                    duplicates.add(endpoint.target)
        new = sorted(f"{target.service} {target.name}" for target in duplicates - self._duplicates)
        if new:
            log.warning("duplicate targets, the first one applies", number=len(new), targets=new[:NAMED])
        self._duplicates = duplicates
        return merged
