"""Keeps discovery running and says what is to be scraped, and how."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from leakwatch.clock import Clock
from leakwatch.config import Config
from leakwatch.discovery.runner import DiscoveryRunner
from leakwatch.discovery.shard import Shard
from leakwatch.discovery.status import DiscovererStatus
from leakwatch.discovery.target_builder import Endpoint, RelabeledTargets, TargetBuilder, TargetDefaults
from leakwatch.http.settings import HttpSettings
from leakwatch.model import Target
from leakwatch.profile.body import Format
from leakwatch.scrape.config import ScrapeConfig
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.base import BaseSettings

log = structlog.get_logger()

MOST_SAID = 10  # targets that are found twice, in one line


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """How to scrape one target; two that are equal are the same job."""

    endpoint: Endpoint
    job: str
    http: HttpSettings
    interval: float
    timeout: float
    cost_limit: float
    size_limit: int
    form: Format
    closer: ProbeSettings


@dataclass(slots=True)
class JobTargets:
    """What is known of the targets of one job."""

    resolver: TargetBuilder
    found: RelabeledTargets = field(default_factory=RelabeledTargets)
    over: bool = False
    """Whether more were found than target_limit, so that the former ones stay."""


class TargetSet:
    """Finds the targets of a configuration; `changed` is called when discovery has found others."""

    def __init__(
        self, changed: Callable[[], None], clock: Clock | None = None, shard: Shard | None = None
    ) -> None:
        self._changed = changed
        self._finder = DiscoveryRunner(self._found, clock)
        self._shard = shard or Shard()
        self._config = Config()
        self._jobs: dict[str, JobTargets] = {}
        self._plans: dict[Target, ScrapeTarget] = {}
        self._twice: set[Target] = set()
        self._waiting = (0, 0)
        self._resolving = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._again = False

    async def configure(self, config: Config) -> None:
        """Find the targets of `config` from now on; a mechanism that stays goes on with what it knows."""
        self._config = config
        self._finder.configure({job.job_name: job for job in config.scrape_configs})
        await self._resolve()

    def stop(self) -> None:
        """Find no more."""
        self._finder.stop()
        if self._task:
            self._task.cancel()

    def waiting(self) -> tuple[int, int]:
        """Return how many mechanisms have yet to be heard of, and how many there are."""
        return self._waiting

    def plans(self) -> dict[Target, ScrapeTarget]:
        """Return how to scrape each target that was found and is this shard's."""
        return self._plans

    def counts(self) -> dict[str, RelabeledTargets]:
        """Return what became of the addresses of each job."""
        return {name: known.found for name, known in self._jobs.items()}

    def outlook(self) -> list[DiscovererStatus]:
        """Return how each mechanism fares."""
        return self._finder.statuses()

    def _found(self) -> None:
        """Take in what a mechanism found, soon; whatever else is found until then goes with it."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._resolve()
            except Exception:
                log.exception("targets could not be made of what was found")

    async def _resolve(self) -> None:
        async with self._resolving:
            config, waiting = self._config, self._finder.waiting()
            known: dict[str, JobTargets] = {}
            for job in config.scrape_configs:
                known[job.job_name] = await self._endpoints(config, job)
            self._jobs, self._waiting = known, waiting
            self._plans = self._planned(config)
            self._changed()

    async def _endpoints(self, config: Config, job: ScrapeConfig) -> JobTargets:
        start = TargetDefaults(
            job=job.job_name,
            scheme=job.scheme,
            path=job.profile_path,
            interval=config.interval(job),
            timeout=config.timeout(job),
            rules=job.relabel_configs,
            metrics_path=job.metrics_path,
            memory_limit=job.memory_limit,
        )
        old = self._jobs.get(job.job_name)
        resolver = old.resolver if old and old.resolver.defaults == start else TargetBuilder(start)
        found = await resolver.build(self._finder.groups(job.job_name))
        number = len({endpoint.target for endpoint in found.endpoints})
        if not job.target_limit or number <= job.target_limit:
            return JobTargets(resolver, found)
        former = old.found.endpoints if old else []
        if not (old and old.over):
            log.error(
                "more targets than target_limit, the former ones stay",
                job=job.job_name,
                found=number,
                target_limit=job.target_limit,
                kept=len(former),
            )
        return JobTargets(resolver, RelabeledTargets(former, found.dropped, found.invalid), over=True)

    def _planned(self, config: Config) -> dict[Target, ScrapeTarget]:
        """Return the plan of each target of this shard; of two that are the same target, the first counts."""
        planned: dict[Target, ScrapeTarget] = {}
        twice: set[Target] = set()
        for job in config.scrape_configs:
            http = HttpSettings.model_construct(**_part(HttpSettings, job))
            closer = ProbeSettings.model_construct(**_part(ProbeSettings, job))
            how = config.cost_limit(job), config.size_limit(job), job.profile_format, closer
            for endpoint in self._jobs[job.job_name].found.endpoints:
                if not self._shard.owns(endpoint.target.service):
                    continue
                plan = ScrapeTarget(endpoint, job.job_name, http, endpoint.interval, endpoint.timeout, *how)
                first = planned.setdefault(endpoint.target, plan)
                if first is not plan and first != plan:
                    twice.add(endpoint.target)
        new = [f"{target.service} {target.name}" for target in twice - self._twice]
        if new:
            log.warning(
                "targets are found twice, the first counts", number=len(new), targets=sorted(new)[:MOST_SAID]
            )
        self._twice = twice
        return planned


def _part(kind: type[BaseSettings], job: ScrapeConfig) -> dict[str, Any]:
    """Return the settings of a job that are of one kind."""
    return {name: getattr(job, name) for name in kind.model_fields}
