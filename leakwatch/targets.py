"""Keeps discovery running and says what is to be scraped, and how."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from leakwatch.client import HttpSettings
from leakwatch.config import Config
from leakwatch.discovery import Mechanism, TargetGroup
from leakwatch.discovery.resolve import Endpoint, resolve
from leakwatch.model import Target
from leakwatch.scraping import ScrapeConfig

log = structlog.get_logger()

AGAIN = 10.0  # seconds after which a discovery that broke is started again


@dataclass(frozen=True, slots=True)
class Plan:
    """How to scrape one target; two that are equal are the same job."""

    endpoint: Endpoint
    job: str
    http: HttpSettings
    interval: float
    timeout: float
    cost_limit: float
    size_limit: int


@dataclass(slots=True)
class Running:
    """One mechanism of one job, and what it told last; None if it has told nothing yet."""

    job: str
    mechanism: Mechanism
    groups: Sequence[TargetGroup] | None = None
    task: asyncio.Task[None] | None = None


class Targets:
    """Finds the targets of a configuration; `changed` is called when there may be others."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._running: list[Running] = []
        self._config = Config()

    def configure(self, config: Config) -> None:
        """Find the targets of `config` from now on; a mechanism that stays goes on with what it knows."""
        before, self._running = self._running, []
        self._config = config
        for job in config.scrape_configs:
            mechanisms: tuple[Mechanism, ...] = (*job.static_configs, *job.file_sd_configs)
            for mechanism in mechanisms:
                same = (old for old in before if (old.job, old.mechanism) == (job.job_name, mechanism))
                running = next(same, None)
                if running is None:
                    running = Running(job.job_name, mechanism)
                    running.task = asyncio.create_task(self._run(running))
                else:
                    before.remove(running)
                self._running.append(running)
        for old in before:
            if old.task:
                old.task.cancel()
        self._changed()

    def stop(self) -> None:
        """Find no more."""
        for running in self._running:
            if running.task:
                running.task.cancel()

    def waiting(self) -> tuple[int, int]:
        """Return how many mechanisms have told nothing yet, and how many there are."""
        return sum(running.groups is None for running in self._running), len(self._running)

    def plans(self) -> dict[Target, Plan]:
        """Return how to scrape each target that was found."""
        jobs = {job.job_name: job for job in self._config.scrape_configs}
        found: dict[Target, Plan] = {}
        for running in self._running:
            job = jobs[running.job]
            endpoints = resolve(running.groups or (), job=job.job_name, scheme=job.scheme, path=job.profile_path)
            for endpoint in endpoints:
                plan = self._plan(endpoint, job)
                if found.setdefault(endpoint.target, plan) != plan:
                    log.warning("target is configured twice, the first counts", target=endpoint.target.name)
        return found

    def _plan(self, endpoint: Endpoint, job: ScrapeConfig) -> Plan:
        config = self._config
        http = HttpSettings.model_construct(**{name: getattr(job, name) for name in HttpSettings.model_fields})
        return Plan(
            endpoint,
            job.job_name,
            http,
            interval=config.interval(job),
            timeout=config.timeout(job),
            cost_limit=config.cost_limit(job),
            size_limit=config.size_limit(job),
        )

    async def _run(self, running: Running) -> None:
        def update(groups: Sequence[TargetGroup]) -> None:
            running.groups = groups
            self._changed()

        while True:
            try:
                await running.mechanism.run(update)
            except Exception:
                log.exception("discovery broke, its last targets stay", job=running.job)
            await asyncio.sleep(AGAIN)
