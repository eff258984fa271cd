"""The pooled series of a service: the growth of all its targets added up, which shows slow growth on many targets.

Counts cannot be added up: each restart of a replica removes its leaked goroutines, and rolling deploys make a leak
look stationary. So the growth within lifetimes is added up: the steps of means and floors of each target, without
the first hour of a lifetime and without steps across a restart, scaled up for the targets that are left out.
"""

from collections.abc import Collection, Mapping
from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.columns import (
    BLOCKS,
    BLOCKS_PER_HOUR,
    FALLS,
    FLOOR,
    HOURS,
    MEAN,
    TURNOVER,
    Columns,
    Floats,
    Sums,
    hour_column,
    is_other_interval,
    update_known_drop,
)
from leakwatch.detect.history import History
from leakwatch.detect.liveness import Liveness, merged_liveness
from leakwatch.detect.plain import Plain, PlainReader, PlainWriter
from leakwatch.detect.pool_member import PoolMember
from leakwatch.detect.pooled_columns import PooledColumns, Step
from leakwatch.model import Fingerprint, Stack

SKIPPED_BLOCKS: Final = BLOCKS_PER_HOUR  # at the beginning of a lifetime
MAX_DELAY: Final = 3  # blocks that a target may be behind
MIN_CAPACITY: Final = 64  # rows


class Pool:
    """Sums over the targets of a service, a row per fingerprint. Only the differences of levels have a meaning.

    `stack_pool`: for a pool of sites, the pool of their stacks.
    """

    STATE: ClassVar = {
        "block_start": float,
        "closed": int,
        "stacks": list[Stack],
        "pooled_blocks": PooledColumns,
        "pooled_hours": PooledColumns,
        "known_drop": Floats,
        "interval": float,
        "_capacity": int,
    }
    rebased = True

    def __init__(self, block: float, start: float, stack_pool: "Pool | None" = None) -> None:
        self.block = block
        self.block_start = start
        self.closed = 0
        self.members: dict[str, PoolMember] = {}
        """Target name -> member."""
        self.stacks: list[Stack] = []
        self.rows: dict[Fingerprint, int] = {}
        self.pooled_blocks = PooledColumns(Columns(BLOCKS))
        self.pooled_hours = PooledColumns(Columns(HOURS, BLOCKS_PER_HOUR))
        self.known_drop: Floats = np.zeros((2, 0), np.float32)
        self.last: Sums = np.zeros(0)
        """Zeros: a pool has no counts."""
        self.interval = 0.0
        self.liveness = Liveness()
        """The liveness of the stacks in the full dumps of all members."""
        self.dumps = None
        self._stack_pool = stack_pool
        self._capacity = MIN_CAPACITY
        """Rows above which unused rows are dropped."""

    @property
    def processes(self) -> int:
        """The number of members."""
        return len(self.members)

    @property
    def blocks(self) -> Columns:
        """The growth in the latest blocks."""
        return self.pooled_blocks.columns

    @property
    def hours(self) -> Columns:
        """The growth in the latest hours."""
        return self.pooled_hours.columns

    def to_plain(self, writer: PlainWriter, histories: Mapping[str, History]) -> Plain:
        """Return the state, without the members that have none of `histories`."""
        members = {
            name: writer.state(member)
            for name, member in self.members.items()
            if member.history is histories.get(name)
        }
        return {**writer.state(self), "members": members}

    def restore(self, plain: PlainReader, histories: Mapping[str, History]) -> None:
        """Restore the state of another pool into this new one; members without one of `histories` are dropped."""
        self._resize(len(plain["stacks"].elements()))
        plain.fill(self)
        for columns in (self.blocks, self.hours):
            columns.bridge()  # earlier versions of leakwatch left gaps at zero
        self.rows = {stack.fingerprint: row for row, stack in enumerate(self.stacks)}
        for name, member in plain["members"].items():
            if name in histories:
                self.members[name] = PoolMember(histories[name], len(self.stacks))
                member.fill(self.members[name])

    def set_members(self, histories: Mapping[str, History]) -> None:
        """Set the members; `histories`: by target name. A target with another history becomes a new member."""
        for name in self.members.keys() - histories.keys():
            del self.members[name]
        for name, history in histories.items():
            member = self.members.get(name)
            if member is None or member.history is not history:
                self.members[name] = PoolMember(history, len(self.stacks))
        dumps = [history.dumps for history in histories.values()]
        self.liveness = merged_liveness(Liveness(), (each.liveness_at(self.block_start) for each in dumps))

    def is_due(self, time: float) -> bool:
        """Return whether the open block has ended at `time`."""
        return time >= self.block_start + self.block

    def advance(self, time: float, protected: Collection[Fingerprint] = ()) -> None:
        """Close the blocks that have ended at `time`.

        Stacks in `protected` do not lose their row when no member holds them any longer.
        """
        behind = int((time - self.block_start) // self.block)
        for _ in range(min(behind, 2 * HOURS * BLOCKS_PER_HOUR)):
            if len(self.stacks) > self._capacity:
                self._drop_unused_rows(protected)
            self._close_block()
        self.block_start = max(self.block_start, time - (time - self.block_start) % self.block)

    def sum_counts(self, columns: Columns, row: int | None = None) -> Floats:
        """Return the goroutines of all members, or the growth of stacks with an origin of `row`, per column."""
        if row is None:
            pool = self._stack_pool or self
            pooled = pool.pooled_blocks if columns is self.blocks else pool.pooled_hours
            return np.asarray(pooled.levels.sum(axis=0))
        pool, rows = self, [row]
        if self._stack_pool is not None:
            pool, site = self._stack_pool, self.stacks[row].blamed.function
            rows = [i for i, stack in enumerate(pool.stacks) if stack.blamed.function == site]
            columns = pool.blocks if columns is self.blocks else pool.hours
        origins = {pool.stacks[i].origin for i in rows}
        same_origin = [i for i, stack in enumerate(pool.stacks) if stack.origin in origins]
        return np.asarray(columns.values[MEAN][same_origin].sum(axis=0))

    def _close_block(self) -> None:
        for member in self.members.values():
            if member.version != member.history.version:
                self._assign_rows(member)
        self.pooled_blocks.push([self._block_step(member) for member in self.members.values()])
        self.block_start += self.block
        self.closed += 1
        old_interval = self.interval
        self.interval = max((member.history.interval for member in self.members.values()), default=0.0)
        if is_other_interval(old_interval, self.interval):
            self.blocks.clear_turnover()
            self.hours.clear_turnover()
        if self.closed % BLOCKS_PER_HOUR == 0:
            self._close_hour()

    def _drop_unused_rows(self, protected: Collection[Fingerprint]) -> None:
        """Drop the rows of stacks that no member holds, and do so again when the number of rows has doubled."""
        used = set(protected).union(*(member.history.rows for member in self.members.values()))
        rows = [row for row, stack in enumerate(self.stacks) if stack.fingerprint in used]
        self.stacks = [self.stacks[row] for row in rows]
        self.rows = {stack.fingerprint: row for row, stack in enumerate(self.stacks)}
        self.known_drop, self.last = self.known_drop[..., rows], self.last[rows]
        self.pooled_blocks.keep(rows)
        self.pooled_hours.keep(rows)
        for member in self.members.values():
            member.keep(rows)
        self._capacity = max(2 * len(rows), MIN_CAPACITY)

    def _assign_rows(self, member: PoolMember) -> None:
        """Give each stack of a member its row."""
        stacks = member.history.stacks
        for stack in stacks:
            if stack is not None and stack.fingerprint not in self.rows:
                self.rows[stack.fingerprint] = len(self.stacks)
                self.stacks.append(stack)
        self._resize(len(self.stacks))
        member.version = member.history.version
        member.history_rows = np.array([row for row, stack in enumerate(stacks) if stack], np.intp)
        member.pool_rows = np.array([self.rows[stack.fingerprint] for stack in stacks if stack], np.intp)

    def _resize(self, rows: int) -> None:
        more = rows - len(self.last)
        if not more:
            return
        self.known_drop, self.last = np.pad(self.known_drop, ((0, 0), (0, more))), np.zeros(rows)
        self.pooled_blocks.resize(rows)
        self.pooled_hours.resize(rows)
        for member in self.members.values():
            member.resize(rows)

    def _block_step(self, member: PoolMember) -> Step | None:
        """Return the growth of a member since the last block of the pool, or None if it does not count.

        A member that has not closed a block since then has not grown yet, and will have grown by more next time.
        """
        history, blocks = member.history, member.history.blocks
        lifetime, block, before = member.pooled_until
        member.pooled_until = (history.lifetime, history.block, history.closed)
        new = history.closed - before
        delay = self.block_start - history.block_start
        if (lifetime, block) != (history.lifetime, history.block):
            return None
        if before < SKIPPED_BLOCKS or not 0 <= new < BLOCKS or delay > MAX_DELAY * history.block:
            return None
        scrapes, regular = int(blocks.scrapes[-1]), int(blocks.regular[-1])
        if not new:
            column = np.zeros((6, len(member.history_rows)))
            level = blocks.values[MEAN, member.history_rows, -1]
            return Step(pool_rows=member.pool_rows, column=column, level=level, scrapes=scrapes, regular=regular)
        if not scrapes or not blocks.has_level[-1 - new]:
            return None
        values = blocks.values[:, member.history_rows, -1 - new :].astype(np.float64)
        column = values[:, :, -1].copy()
        column[:TURNOVER] -= values[:TURNOVER, :, 0]  # mean and floor
        column[FALLS:] = values[FALLS:, :, 1:].sum(axis=2)
        return Step(
            pool_rows=member.pool_rows,
            column=column,
            level=values[MEAN, :, -1],
            scrapes=scrapes,
            regular=regular,
        )

    def _close_hour(self) -> None:
        """Push the last hour of every member and their sum. A member without one does not count as left out."""
        steps = []
        for member in self.members.values():
            hour = hour_column(member.history.blocks)
            if hour is None:
                member.push(None, self.block)
                continue
            column = hour[0][:, member.history_rows]
            member.push(column, self.block)
            steps.append(self._hour_step(member, column, *hour[1:]))
        self.pooled_hours.push(steps)
        if self.hours.scrapes[-1]:
            self.known_drop = update_known_drop(self.known_drop, self.hours)

    def _hour_step(self, member: PoolMember, column: Sums, scrapes: int, regular: int) -> Step | None:
        """Return the growth of a member in its newest hour, `column`, or None if it does not count."""
        if not member.valid_steps()[-1]:
            return None
        level = column[MEAN].copy()
        column[MEAN] -= member.means[member.pool_rows, -2]
        column[FLOOR] -= member.floors[member.pool_rows, -2]
        return Step(pool_rows=member.pool_rows, column=column, level=level, scrapes=scrapes, regular=regular)
