"""`static_configs`: target groups that stand in the configuration itself."""

import asyncio

from leakwatch.discovery.status import progress
from leakwatch.discovery.target_group import TargetGroup, Update


class StaticConfig(TargetGroup):
    """A group that never changes."""

    async def run(self, update: Update) -> None:
        """Tell the group once; never ends."""
        progress().works("static_configs")
        update([self])
        await asyncio.Event().wait()
