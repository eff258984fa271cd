"""What a job says of discovery, and what keeps its mechanisms running."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from leakwatch.client import Settings
from leakwatch.discovery import Mechanism, TargetGroup
from leakwatch.discovery.file import FileConfig
from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.static import StaticConfig

log = structlog.get_logger()

AGAIN = 10.0  # seconds after which a discovery that broke is started again


class DiscoverySettings(Settings):
    """How a job finds its targets."""

    static_configs: tuple[StaticConfig, ...] = ()
    file_sd_configs: tuple[FileConfig, ...] = ()
    kubernetes_sd_configs: tuple[KubernetesConfig, ...] = ()

    def mechanisms(self) -> tuple[Mechanism, ...]:
        """Return all that find targets."""
        return (*self.static_configs, *self.file_sd_configs, *self.kubernetes_sd_configs)


@dataclass(slots=True)
class Running:
    """One mechanism of one job, and what it told last; None if it has told nothing yet."""

    job: str
    mechanism: Mechanism
    groups: Sequence[TargetGroup] | None = None
    task: asyncio.Task[None] | None = None


class Finder:
    """Runs the mechanisms of some jobs; `changed` is called when one of them has found other targets."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._running: list[Running] = []

    def configure(self, jobs: Mapping[str, DiscoverySettings]) -> None:
        """Find the targets of `jobs` from now on; a mechanism that stays goes on with what it knows."""
        before, self._running = self._running, []
        for job, settings in jobs.items():
            for mechanism in settings.mechanisms():
                same = (old for old in before if (old.job, old.mechanism) == (job, mechanism))
                running = next(same, None)
                if running is None:
                    running = Running(job, mechanism)
                    running.task = asyncio.create_task(self._run(running))
                else:
                    before.remove(running)
                self._running.append(running)
        _cancel(before)

    def stop(self) -> None:
        """Find no more."""
        _cancel(self._running)

    def waiting(self) -> tuple[int, int]:
        """Return how many mechanisms have told nothing yet, and how many there are."""
        return sum(running.groups is None for running in self._running), len(self._running)

    def groups(self, job: str) -> list[TargetGroup]:
        """Return what the mechanisms of `job` told last."""
        return [group for running in self._running if running.job == job for group in running.groups or ()]

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


def _cancel(those: Iterable[Running]) -> None:
    for running in those:
        if running.task:
            running.task.cancel()
