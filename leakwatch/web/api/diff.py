"""Differences between two snapshots of one target or of two targets."""

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from leakwatch.evidence.store import Store
from leakwatch.profile.diff import GroupChange, changes, compare, summary
from leakwatch.profile.grouping import GroupBy
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.models.leaks import Fingerprint
from leakwatch.web.api.models.types import ApiModel, Text
from leakwatch.web.api.snapshots import NOW, ProfileSnapshot, SnapshotReader, latest

Status = Literal["new", "grown", "shrunk", "gone"]


class DiffSide(ApiModel):
    """One of two snapshots: `id` of the stored profile, or `now`; `time` in unix seconds."""

    id: str
    service: Text
    target: Text
    time: float
    goroutines: int
    left_out: int
    """Of `now`: goroutines of stacks beyond detection.series_limit. The difference counts them as gone."""


class ChangeRow(ApiModel):
    """Stacks with the same `key`, and their goroutines in both snapshots.

    `stack` and the fields after it describe the stack with the largest change.
    """

    key: Text
    status: Status
    before: int
    after: int
    change: int
    stacks: int
    """Number of stacks with this key, including unchanged ones."""
    stack: Fingerprint
    function: Text
    file: Text
    line: int
    origin: Text
    wait: Text


class Difference(ApiModel):
    """A difference: `rows` is one page of `total` rows, largest growth first, largest decrease last."""

    old: DiffSide
    new: DiffSide
    change: int
    """Change of the number of goroutines, including goroutines without a stack."""
    summary: Text
    by: GroupBy
    total: int
    rows: list[ChangeRow]


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """The snapshots that a request can compare: stored profiles and latest scrapes."""

    view: FleetView
    evidence: Store
    reader: SnapshotReader

    async def read(self, key: str) -> ProfileSnapshot:
        """Return a stored profile; raise NotFoundError."""
        return await self.reader.read(self.evidence, key, tuple(self.view.pipeline.settings.own_code))


async def snapshot_pair(source: SnapshotSource, old: str, new: str) -> tuple[ProfileSnapshot, ProfileSnapshot]:
    """Return two snapshots with times of the wall clock; raise NotFoundError if one of them does not exist."""
    before = await source.read(old)
    if new != NOW:
        return before, await source.read(new)
    after = latest(source.view.pipeline, before.target)
    return before, replace(after, time=source.view.wall(after.time))


async def difference(
    source: SnapshotSource, old: str, new: str, by: GroupBy = GroupBy.STACK, *, limit: int = 100, offset: int = 0
) -> Difference:
    """Return the difference between a stored profile and another, or the latest scrape of its target (`now`).

    Raise NotFoundError if one of them does not exist.
    """
    before, after = await snapshot_pair(source, old, new)
    # In a thread: two profiles of thousands of stacks would delay scrapes.
    return await asyncio.to_thread(_difference, before, after, by, limit, offset)


def _difference(
    before: ProfileSnapshot, after: ProfileSnapshot, by: GroupBy, limit: int, offset: int
) -> Difference:
    stack_changes = compare(before.samples, after.samples)
    rows = changes(stack_changes, by)
    return Difference(
        old=_side(before),
        new=_side(after),
        change=after.total - before.total,
        summary=summary(stack_changes),
        by=by,
        total=len(rows),
        rows=[_row(change) for change in rows[offset : offset + limit]],
    )


def _side(snapshot: ProfileSnapshot) -> DiffSide:
    target = snapshot.target
    return DiffSide(
        id=snapshot.id,
        service=target.service,
        target=target.name,
        time=snapshot.time,
        goroutines=snapshot.total,
        left_out=snapshot.left_out,
    )


def _row(change: GroupChange) -> ChangeRow:
    stack = change.stacks[0].stack
    return ChangeRow(
        key=change.key,
        status=_status(change),
        before=change.old,
        after=change.new,
        change=change.change,
        stacks=len(change.stacks),
        stack=stack.fingerprint,
        function=stack.blamed.function,
        file=stack.blamed.file,
        line=stack.blamed.line,
        origin=stack.origin,
        wait=stack.wait,
    )


def _status(change: GroupChange) -> Status:
    if change.change > 0:
        return "grown" if change.old else "new"
    return "shrunk" if change.new else "gone"
