"""`static_configs`: target groups that the configuration itself contains."""

import asyncio

from leakwatch.clock import Clock
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup, Update


class StaticConfig(TargetGroup):
    """A target group in the configuration itself."""

    def discoverer(self, status: DiscoveryStatus, _: Clock) -> "StaticDiscoverer":
        """Return the discoverer of this group."""
        return StaticDiscoverer(self, status)


class StaticDiscoverer:
    """Returns one group once."""

    def __init__(self, group: TargetGroup, status: DiscoveryStatus) -> None:
        self._group = group
        self._status = status

    async def run(self, update: Update) -> None:
        """Call `update` once; never ends."""
        self._status.works("static_configs")
        update([self._group])
        await asyncio.Event().wait()
