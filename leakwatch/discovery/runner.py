"""What a job says of discovery, and what keeps its mechanisms running."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationInfo, field_validator

from leakwatch.clock import Clock
from leakwatch.discovery.dns import DnsConfig
from leakwatch.discovery.file import CompleteFileConfig, FileConfig
from leakwatch.discovery.http import HttpConfig
from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.relabel import RelabelConfig
from leakwatch.discovery.static import StaticConfig
from leakwatch.discovery.status import DiscoveryStatus, current
from leakwatch.discovery.target_group import CompleteGroup, Discoverer, TargetGroup
from leakwatch.settings.base import BaseSettings

AGAIN = 10.0  # seconds after which a discovery that broke is started again
COMPLETE = TypeAdapter(tuple[CompleteGroup, ...])


class DiscoverySettings(BaseSettings):
    """How a job finds its targets."""

    relabel_configs: tuple[RelabelConfig, ...] = ()
    """Rules that rewrite labels of each address, or drop it, in their order."""
    static_configs: tuple[StaticConfig, ...] = ()
    file_sd_configs: tuple[FileConfig, ...] = ()
    http_sd_configs: tuple[HttpConfig, ...] = ()
    dns_sd_configs: tuple[DnsConfig, ...] = ()
    kubernetes_sd_configs: tuple[KubernetesConfig, ...] = ()

    @field_validator("static_configs")
    @classmethod
    def _can_be_asked(cls, groups: tuple[StaticConfig, ...], info: ValidationInfo) -> tuple[StaticConfig, ...]:
        """Refuse an address that is not whole, unless there are rules, which may mend it."""
        if not info.data.get("relabel_configs", True):
            COMPLETE.validate_python([group.model_dump() for group in groups])
        return groups

    def mechanisms(self) -> tuple[Discoverer, ...]:
        """Return all that find targets."""
        return tuple(mechanism for _, mechanism in self.named())

    def named(self) -> Iterator[tuple[str, Discoverer]]:
        """Yield all that find targets, each with the name of its kind."""
        found: dict[str, Iterable[Discoverer]] = {
            "static": self.static_configs,
            "file": self.file_sd_configs if self.relabel_configs else map(_complete, self.file_sd_configs),
            "http": self.http_sd_configs,
            "dns": self.dns_sd_configs,
            "kubernetes": self.kubernetes_sd_configs,
        }
        for name, those in found.items():
            yield from ((name, mechanism) for mechanism in those)


def _complete(config: FileConfig) -> CompleteFileConfig:
    return CompleteFileConfig.model_construct(**dict(config))


@dataclass(slots=True, eq=False)
class RunningDiscoverer:
    """One mechanism of one job, and what it told last, or before it `told` anything: what it replaced told."""

    job: str
    name: str
    mechanism: Discoverer
    progress: DiscoveryStatus
    groups: Sequence[TargetGroup] = ()
    told: bool = False
    task: asyncio.Task[None] | None = None

    def waits(self) -> bool:
        """Tell whether it has neither told its targets nor said that it cannot."""
        return not (self.told or self.progress.failures)


class DiscoveryRunner:
    """Runs the mechanisms of some jobs; `changed` is called when one of them has found other targets."""

    def __init__(self, changed: Callable[[], None], clock: Clock | None = None) -> None:
        self._changed = changed
        self._time = (clock or Clock()).time
        self._running: list[RunningDiscoverer] = []

    def configure(self, jobs: Mapping[str, DiscoverySettings]) -> None:
        """Find the targets of `jobs` from now on; a mechanism that stays goes on with what it knows.

        One that takes the place of another of its kind begins with what that one told.
        """
        before, self._running = self._running, []
        wanted = [(job, *named) for job, settings in jobs.items() for named in settings.named()]
        stays = [_taken(before, *those) for those in wanted]
        for (job, name, mechanism), same in zip(wanted, stays, strict=True):
            replaced = next((old for old in before if (old.job, old.name) == (job, name)), None)
            self._running.append(same or self._start(job, name, mechanism, replaced))
        _cancel(before)

    def stop(self) -> None:
        """Find no more."""
        _cancel(self._running)

    def waiting(self) -> tuple[int, int]:
        """Return how many mechanisms have told neither targets nor that they fail, and how many there are."""
        return sum(running.waits() for running in self._running), len(self._running)

    def groups(self, job: str) -> list[TargetGroup]:
        """Return what the mechanisms of `job` told last."""
        return [group for running in self._running if running.job == job for group in running.groups]

    def progress(self) -> Iterator[tuple[str, str, DiscoveryStatus]]:
        """Yield job, kind and progress of each mechanism."""
        return ((running.job, running.name, running.progress) for running in self._running)

    def _start(
        self, job: str, name: str, mechanism: Discoverer, replaced: RunningDiscoverer | None
    ) -> RunningDiscoverer:
        progress = DiscoveryStatus(job, name, self._time, self._changed)
        running = RunningDiscoverer(job, name, mechanism, progress, replaced.groups if replaced else ())
        running.task = asyncio.create_task(self._run(running))
        return running

    async def _run(self, running: RunningDiscoverer) -> None:
        def update(groups: Sequence[TargetGroup]) -> None:
            running.groups, running.told = groups, True
            self._changed()

        current.set(running.progress)
        while True:
            try:
                await running.mechanism.run(update)
            except Exception as error:
                running.progress.log.exception("discovery broke, its last targets stay")
                kept = sum(len(group.targets) for group in running.groups)
                running.progress.failed(running.name, repr(error), kept=kept)
            await asyncio.sleep(AGAIN)


def _taken(those: list[RunningDiscoverer], job: str, name: str, mechanism: Discoverer) -> RunningDiscoverer | None:
    """Return the one that runs `mechanism` for `job`, no longer among `those`; None if there is none."""
    same = (old for old in those if (old.job, old.name, old.mechanism) == (job, name, mechanism))
    found = next(same, None)
    if found is not None:
        those.remove(found)
    return found


def _cancel(those: Iterable[RunningDiscoverer]) -> None:
    for running in those:
        if running.task:
            running.task.cancel()
