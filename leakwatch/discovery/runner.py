"""Discovery settings of a job, and the runner of its discoverers."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationInfo, field_validator

from leakwatch.clock import Clock
from leakwatch.discovery.dns import DnsConfig
from leakwatch.discovery.file import CompleteFileConfig, FileConfig
from leakwatch.discovery.http import HttpConfig
from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.relabel import RelabelConfig
from leakwatch.discovery.static import StaticConfig
from leakwatch.discovery.status import DiscovererStatus, DiscoveryStatus
from leakwatch.discovery.target_group import CompleteGroup, DiscovererConfig, TargetGroup
from leakwatch.settings.base import BaseSettings

RESTART_PAUSE = 10.0  # seconds after which a discoverer that raised an error runs again
COMPLETE_GROUPS = TypeAdapter(tuple[CompleteGroup, ...])


class DiscoverySettings(BaseSettings):
    """How a job discovers its targets."""

    relabel_configs: tuple[RelabelConfig, ...] = ()
    """Rules that rewrite the labels of each address or drop the address, in this order."""
    static_configs: tuple[StaticConfig, ...] = ()
    file_sd_configs: tuple[FileConfig, ...] = ()
    http_sd_configs: tuple[HttpConfig, ...] = ()
    dns_sd_configs: tuple[DnsConfig, ...] = ()
    kubernetes_sd_configs: tuple[KubernetesConfig, ...] = ()

    @field_validator("static_configs")
    @classmethod
    def _addresses_are_complete(
        cls, groups: tuple[StaticConfig, ...], info: ValidationInfo
    ) -> tuple[StaticConfig, ...]:
        """Reject an incomplete address unless there are relabel rules, which can complete it."""
        if not info.data.get("relabel_configs", True):
            COMPLETE_GROUPS.validate_python([group.model_dump() for group in groups])
        return groups

    def discoverer_configs(self) -> list[tuple[str, DiscovererConfig]]:
        """Return the settings of each discoverer, with the name of its mechanism."""
        files = self.file_sd_configs if self.relabel_configs else map(_complete, self.file_sd_configs)
        configs: dict[str, Iterable[DiscovererConfig]] = {
            "static": self.static_configs,
            "file": files,
            "http": self.http_sd_configs,
            "dns": self.dns_sd_configs,
            "kubernetes": self.kubernetes_sd_configs,
        }
        return [(mechanism, config) for mechanism in configs for config in configs[mechanism]]


def _complete(config: FileConfig) -> CompleteFileConfig:
    return CompleteFileConfig.model_construct(**dict(config))


@dataclass(slots=True, kw_only=True, eq=False)
class RunningDiscoverer:
    """A discoverer of one job, and its latest target groups.

    Until its first update (`is_updated`), they are the groups of the discoverer that it replaced.
    """

    job: str
    mechanism: str
    config: DiscovererConfig
    status: DiscoveryStatus
    groups: Sequence[TargetGroup] = ()
    is_updated: bool = False
    task: asyncio.Task[None] | None = None

    def is_waiting(self) -> bool:
        """Return whether there was neither an update nor a failure yet."""
        return not (self.is_updated or self.status.failures)


class DiscoveryRunner:
    """Runs the discoverers of some jobs. `changed` is called when their target groups change."""

    def __init__(self, changed: Callable[[], None], clock: Clock | None = None) -> None:
        self._changed = changed
        self._clock = clock or Clock()
        self._running: list[RunningDiscoverer] = []

    def configure(self, jobs: Mapping[str, DiscoverySettings]) -> None:
        """Run the discoverers of `jobs`, and stop all others.

        A discoverer with unchanged settings continues. A new one begins with the groups of the previous discoverer
        of the same job and mechanism.
        """
        previous, self._running = self._running, []
        configs = [
            (job, mechanism, config)
            for job, settings in jobs.items()
            for mechanism, config in settings.discoverer_configs()
        ]
        unchanged = [_remove_unchanged(previous, *config) for config in configs]
        for (job, mechanism, config), running in zip(configs, unchanged, strict=True):
            replaced = next((old for old in previous if (old.job, old.mechanism) == (job, mechanism)), None)
            groups = replaced.groups if replaced else ()
            self._running.append(running or self._start(job, mechanism, config, groups))
        _cancel(previous)

    def stop(self) -> None:
        """Stop all discoverers."""
        _cancel(self._running)

    def waiting(self) -> tuple[int, int]:
        """Return the number of discoverers without an update or failure yet, and the number of all."""
        return sum(running.is_waiting() for running in self._running), len(self._running)

    def groups(self, job: str) -> list[TargetGroup]:
        """Return the latest target groups of `job`."""
        return [group for running in self._running if running.job == job for group in running.groups]

    def statuses(self) -> list[DiscovererStatus]:
        """Return the status of each discoverer."""
        return [
            DiscovererStatus(
                job=running.job,
                mechanism=running.mechanism,
                failures=running.status.failures,
                succeeded=running.status.succeeded,
            )
            for running in self._running
        ]

    def _start(
        self, job: str, mechanism: str, config: DiscovererConfig, groups: Sequence[TargetGroup]
    ) -> RunningDiscoverer:
        status = DiscoveryStatus(job, mechanism, self._clock.time, self._changed)
        running = RunningDiscoverer(job=job, mechanism=mechanism, config=config, status=status, groups=groups)
        running.task = asyncio.create_task(self._run(running))
        return running

    async def _run(self, running: RunningDiscoverer) -> None:
        def update(groups: Sequence[TargetGroup]) -> None:
            running.groups, running.is_updated = groups, True
            self._changed()

        while True:
            try:
                await running.config.discoverer(running.status, self._clock).run(update)
            except Exception as error:
                running.status.log.exception("internal error in discovery, the last targets stay")
                targets = sum(len(group.targets) for group in running.groups)
                running.status.failed(running.mechanism, repr(error), targets=targets)
            await self._clock.sleep(RESTART_PAUSE)


def _remove_unchanged(
    previous: list[RunningDiscoverer], job: str, mechanism: str, config: DiscovererConfig
) -> RunningDiscoverer | None:
    """Remove the discoverer of `job` with these settings from `previous` and return it; None if there is none."""
    for running in previous:
        if (running.job, running.mechanism, running.config) == (job, mechanism, config):
            previous.remove(running)
            return running
    return None


def _cancel(discoverers: Iterable[RunningDiscoverer]) -> None:
    for running in discoverers:
        if running.task:
            running.task.cancel()
