"""Runs Kubernetes discovery against an API server, with a manual clock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.kubernetes.kubeconfig import ServiceAccount
from leakwatch.discovery.kubernetes.reflector import WatchTiming
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup
from tests.support.clock import HANG, ManualClock

TIMING = WatchTiming(idle_timeout=HANG, response_timeout=HANG)


class Discovery:
    """The updates of a running discoverer, its status and its clock."""

    def __init__(self) -> None:
        self.updates: list[Sequence[TargetGroup]] = []
        self.clock = ManualClock(0.0)
        self.status = DiscoveryStatus("shop", "kubernetes", self.clock.time)

    def addresses(self) -> list[str]:
        """Return the addresses of the latest update."""
        return sorted(address for group in self.updates[-1] for address in group.targets) if self.updates else []

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` is true. Meanwhile, pauses of the discoverer pass quickly."""
        async with asyncio.timeout(HANG):
            while not condition():
                self.clock.advance(1.0)
                await asyncio.sleep(0.01)

    async def finds(self, *addresses: str) -> None:
        """Wait until the latest update has exactly these addresses; fail with the addresses that it has."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: self.addresses() == sorted(addresses))
        assert self.addresses() == sorted(addresses)

    async def retries(self, number: int = 8) -> None:
        """Wait until the discoverer has paused this number of times, as it does after each failure."""
        target = len(self.clock.sleeps) + number
        await self.until(lambda: len(self.clock.sleeps) >= target)


@contextlib.asynccontextmanager
async def discovering(
    config: dict[str, Any], timing: WatchTiming = TIMING, account: ServiceAccount | None = None
) -> AsyncIterator[Discovery]:
    """Run the discoverer of a configuration; the role is pod unless `config` has another."""
    discovery = Discovery()
    settings = KubernetesConfig.model_validate({"role": "pod", **config})
    discoverer = settings.discoverer(discovery.status, discovery.clock, timing=timing, account=account)
    task = asyncio.create_task(discoverer.run(discovery.updates.append))
    try:
        yield discovery
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def errors(log: Sequence[Any]) -> list[str]:
    """Return the errors in the log."""
    return [line["error"] for line in log if line["log_level"] == "error"]
