"""What changed between two moments of a target, or of two targets."""

import asyncio
from typing import Literal

from leakwatch.errors import NotFoundError
from leakwatch.profile.diff import GroupChange, changes, compare, summary
from leakwatch.profile.grouping import GroupBy
from leakwatch.web.api.models.leaks import Fingerprint
from leakwatch.web.api.models.types import Model, Text
from leakwatch.web.api.snapshots import NOW, Moment, latest
from leakwatch.web.api.state import AppState

Status = Literal["new", "grown", "shrunk", "gone"]


class Side(Model):
    """One of the two profiles: `id` of the body that is kept, or `now`; `time` in unix seconds."""

    id: str
    service: Text
    target: Text
    time: float
    goroutines: int
    left_out: int
    """Of `now`: goroutines in stacks beyond detection.series_limit. Such stacks are told as gone."""


class ChangeRow(Model):
    """Stacks that share `key`, and their goroutines in both profiles; the rest tells the one that changed most."""

    key: Text
    status: Status
    before: int
    after: int
    change: int
    stacks: int
    """With this key, those that did not change too."""
    stack: Fingerprint
    function: Text
    file: Text
    line: int
    origin: Text
    wait: Text


class Difference(Model):
    """What changed: `rows` is a page of `total`, those that grew most first, that shrank most last."""

    old: Side
    new: Side
    change: int
    """Goroutines more, below 0 fewer; with those of no stack, which have not run yet."""
    summary: Text
    by: GroupBy
    total: int
    rows: list[ChangeRow]


async def difference(
    source: AppState, old: str, new: str, by: GroupBy = GroupBy.STACK, *, limit: int = 100, offset: int = 0
) -> Difference:
    """Return what changed from a kept body to another, or to what was scraped last of its target: `now`.

    Raises NotFoundError.
    """
    if source.evidence is None:
        raise NotFoundError("no evidence is kept here")
    own_code = tuple(source.pipeline.settings.own_code)
    before = await source.moments.read(source.evidence, old, own_code)
    if new == NOW:
        after = latest(source.pipeline, before.target)
    else:
        after = await source.moments.read(source.evidence, new, own_code)
    sides = _side(before, before.time), _side(after, source.wall(after.time) if new == NOW else after.time)
    return await asyncio.to_thread(_difference, before, after, sides, by, limit, offset)


def _difference(
    before: Moment, after: Moment, sides: tuple[Side, Side], by: GroupBy, limit: int, offset: int
) -> Difference:
    moves = compare(before.samples, after.samples)
    found = changes(moves, by)
    return Difference(
        old=sides[0],
        new=sides[1],
        change=after.total - before.total,
        summary=summary(moves),
        by=by,
        total=len(found),
        rows=[_row(one) for one in found[offset : offset + limit]],
    )


def _side(moment: Moment, time: float) -> Side:
    target = moment.target
    return Side(
        id=moment.id,
        service=target.service,
        target=target.name,
        time=time,
        goroutines=moment.total,
        left_out=moment.left_out,
    )


def _row(one: GroupChange) -> ChangeRow:
    stack = one.stacks[0].stack
    return ChangeRow(
        key=one.key,
        status=_status(one),
        before=one.old,
        after=one.new,
        change=one.change,
        stacks=len(one.stacks),
        stack=stack.fingerprint,
        function=stack.blamed.function,
        file=stack.blamed.file,
        line=stack.blamed.line,
        origin=stack.origin,
        wait=stack.wait,
    )


def _status(one: GroupChange) -> Status:
    if one.change > 0:
        return "grown" if one.old else "new"
    return "shrunk" if one.new else "gone"
