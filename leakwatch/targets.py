"""Keeps discovery running and says what is to be scraped, and how."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from leakwatch.client import HttpSettings
from leakwatch.config import Config
from leakwatch.discovery.finder import Finder
from leakwatch.discovery.resolve import Endpoint, resolve
from leakwatch.model import Target
from leakwatch.scraping import ScrapeConfig
from leakwatch.shard import Shard

log = structlog.get_logger()


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


class Targets:
    """Finds the targets of a configuration; `changed` is called when discovery has found others."""

    def __init__(self, changed: Callable[[], None], shard: Shard) -> None:
        self._finder = Finder(changed)
        self._shard = shard
        self._config = Config()

    def configure(self, config: Config) -> None:
        """Find the targets of `config` from now on; a mechanism that stays goes on with what it knows."""
        self._config = config
        self._finder.configure({job.job_name: job for job in config.scrape_configs})

    def stop(self) -> None:
        """Find no more."""
        self._finder.stop()

    def waiting(self) -> tuple[int, int]:
        """Return how many mechanisms have told nothing yet, and how many there are."""
        return self._finder.waiting()

    def plans(self) -> dict[Target, Plan]:
        """Return how to scrape each target that was found and is this shard's."""
        found: dict[Target, Plan] = {}
        for job in self._config.scrape_configs:
            groups = self._finder.groups(job.job_name)
            for endpoint in resolve(groups, job=job.job_name, scheme=job.scheme, path=job.profile_path):
                if not self._shard.owns(endpoint.target.service):
                    continue
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
