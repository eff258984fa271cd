"""The series of a service: what its targets gain, put together, so that slow growth on many is seen early.

Adding up counts would not do: each restart of a replica takes its leaked goroutines away, and rolling deploys make
a leak look stationary. So the growth within lifetimes is added up: per target the steps of its means and floors,
without the first hour of a lifetime and without the step across a restart, scaled up for the targets that are left
out just then.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import (
    BLOCKS,
    BLOCKS_PER_HOUR,
    DOWN,
    FLOOR,
    HOURS,
    LEFT,
    MEAN,
    Columns,
    Floats,
    Sums,
    an_hour,
    is_other_pace,
    with_latest_fall,
)
from leakwatch.detect.history import History
from leakwatch.detect.lifetimes import PastLifetimes
from leakwatch.detect.pool_member import PoolMember
from leakwatch.model import Fingerprint, Stack

FIRST: Final = BLOCKS_PER_HOUR  # blocks of a lifetime that are not counted
LATE: Final = 3  # blocks that a target may be behind and still be counted
FEWEST: Final = 64  # rows that are never too many


@dataclass(frozen=True, slots=True)
class Step:
    """What a member grew by, shape (6, rows), from which level on, and the scrapes and regular steps behind it."""

    member: PoolMember
    column: Sums
    level: Floats | Sums
    scrapes: int
    regular: int


class Added:
    """Columns of what all members grew by, added up from the first column on."""

    def __init__(self, columns: Columns) -> None:
        length = len(columns.scrapes)
        self.columns = columns
        self.levels: Floats = np.zeros((0, length), np.float32)
        """What the goroutines of each column were, not added up."""
        self.falls: Floats = np.zeros((0, length), np.float32)
        """Falls of the floors, of each target by itself."""

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows."""
        self.columns.resize(rows)
        more = ((0, rows - len(self.levels)), (0, 0))
        self.levels, self.falls = np.pad(self.levels, more), np.pad(self.falls, more)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but `rows`, which are numbered anew."""
        self.columns.values = self.columns.values[:, rows]
        self.levels, self.falls = self.levels[rows], self.falls[rows]

    def push(self, steps: Sequence[Step | None]) -> None:
        """Append the sum of `steps`, scaled up for the members whose step does not count."""
        counted = [step for step in steps if step is not None]
        columns, rows = self.columns, len(self.levels)
        known = np.flatnonzero(columns.scrapes)
        before = columns.values[:, :, known[-1]].copy() if len(known) else np.zeros((6, rows))
        for ring in (self.levels, self.falls):
            ring[:, :-1] = ring[:, 1:].copy()
            ring[:, -1] = 0
        if not counted:
            columns.push(None, 0, 0)
            return
        total = np.zeros((6, rows))
        scale = len(steps) / len(counted)
        for step in counted:
            places = step.member.places
            total[:, places] += step.column
            self.levels[places, -1] += scale * step.level
            self.falls[places, -1] += scale * np.maximum(-step.column[FLOOR], 0)
        total *= scale
        total[MEAN] += before[MEAN]
        total[FLOOR] += before[FLOOR]
        columns.push(total, min(step.scrapes for step in counted), min(step.regular for step in counted))


class Pool:
    """Sums over the targets of a service, a row per fingerprint; only the growth of levels means something.

    `of`: the pool of the stacks, where this one is of their sites.
    """

    rebased = True

    def __init__(self, block: float, start: float, of: "Pool | None" = None) -> None:
        self._of = of
        self.block = block
        self.block_start = start
        self.closed = 0
        self.hours_closed = 0
        self.members: dict[str, PoolMember] = {}
        self.stacks: list[Stack] = []
        self.rows: dict[Fingerprint, int] = {}
        self.added_blocks = Added(Columns(BLOCKS))
        self.added_hours = Added(Columns(HOURS, BLOCKS_PER_HOUR))
        self.give_back: Floats = np.zeros((2, 0), np.float32)
        self.past = PastLifetimes()
        self.last: Sums = np.zeros(0)
        self.interval = 0.0
        self.protected: Collection[Fingerprint] = ()
        """Stacks that keep their row when no member holds them any more."""
        self._enough = FEWEST

    @property
    def blocks(self) -> Columns:
        """What all grew by, in blocks."""
        return self.added_blocks.columns

    @property
    def hours(self) -> Columns:
        """What all grew by, in hours."""
        return self.added_hours.columns

    def follow(self, histories: Mapping[str, History]) -> None:
        """Take in the targets that are new, or have another history, and let go those that are no more."""
        for name in self.members.keys() - histories.keys():
            del self.members[name]
        for name, history in histories.items():
            member = self.members.get(name)
            if member is None or member.history is not history:
                self.members[name] = PoolMember(history)
                self.members[name].resize(len(self.stacks))

    def is_due(self, time: float) -> bool:
        """Tell whether a block has ended."""
        return time >= self.block_start + self.block

    def advance(self, time: float) -> None:
        """Close the blocks that ended before `time`."""
        behind = int((time - self.block_start) // self.block)
        for _ in range(min(behind, 2 * HOURS * BLOCKS_PER_HOUR)):
            self._close_block()
        self.block_start = max(self.block_start, time - (time - self.block_start) % self.block)

    def family(self, columns: Columns, row: int) -> Floats:
        """Return the growth of all that has the same origin as `row`, per column of `columns`."""
        among, rows = self, [row]
        if self._of is not None:
            among, site = self._of, self.stacks[row].blamed.function
            rows = [i for i, stack in enumerate(among.stacks) if stack.blamed.function == site]
            columns = among.blocks if columns is self.blocks else among.hours
        origins = {among.stacks[i].origin for i in rows}
        same = [i for i, stack in enumerate(among.stacks) if stack.origin in origins]
        return np.asarray(columns.values[MEAN][same].sum(axis=0))

    def _close_block(self) -> None:
        if len(self.stacks) > self._enough:
            self._forget()
        for member in self.members.values():
            if member.version != member.history.version:
                self._place(member)
        self.added_blocks.push([self._block_step(member) for member in self.members.values()])
        self.block_start += self.block
        self.closed += 1
        before = self.interval
        self.interval = max((member.history.interval for member in self.members.values()), default=0.0)
        if is_other_pace(before, self.interval):
            self.blocks.forget_turnover()
            self.hours.forget_turnover()
        if self.closed % BLOCKS_PER_HOUR == 0:
            self._close_hour()
            self.hours_closed += 1

    def _forget(self) -> None:
        """Let go the rows of stacks that no member holds any more; due again when there are twice as many."""
        held = set(self.protected).union(*(member.history.rows for member in self.members.values()))
        kept = [row for row, stack in enumerate(self.stacks) if stack.fingerprint in held]
        self.stacks = [self.stacks[row] for row in kept]
        self.rows = {stack.fingerprint: row for row, stack in enumerate(self.stacks)}
        self.give_back, self.last = self.give_back[..., kept], self.last[kept]
        self.past.keep(kept)
        self.added_blocks.keep(kept)
        self.added_hours.keep(kept)
        for member in self.members.values():
            member.keep(kept)
        self._enough = max(2 * len(kept), FEWEST)

    def _place(self, member: PoolMember) -> None:
        """Give each stack of a member its row."""
        history = member.history
        member.version = history.version
        for stack in history.stacks:
            if stack is not None and stack.fingerprint not in self.rows:
                self.rows[stack.fingerprint] = len(self.stacks)
                self.stacks.append(stack)
        rows = len(self.stacks)
        if rows > len(self.last):
            more = rows - len(self.last)
            self.give_back, self.last = np.pad(self.give_back, ((0, 0), (0, more))), np.zeros(rows)
            self.past.resize(rows)
            self.added_blocks.resize(rows)
            self.added_hours.resize(rows)
            for other in self.members.values():
                other.resize(rows)
        member.rows = np.array([row for row, stack in enumerate(history.stacks) if stack], np.intp)
        member.places = np.array([self.rows[stack.fingerprint] for stack in history.stacks if stack], np.intp)

    def _block_step(self, member: PoolMember) -> Step | None:
        """Return by how much a member grew since a block was last taken, None where that does not count.

        One that has closed no block meanwhile has not grown yet, and will have grown by more the next time.
        """
        history, blocks = member.history, member.history.blocks
        lifetime, block, before = member.taken
        member.taken = (history.lifetime, history.block, history.closed)
        new = history.closed - before
        late = self.block_start - history.block_start
        if (lifetime, block) != (history.lifetime, history.block):
            return None
        if before < FIRST or new >= BLOCKS or late > LATE * history.block:
            return None
        if not new:
            still = np.zeros((6, len(member.rows)))
            level = blocks.values[MEAN, member.rows, -1]
            return Step(member, still, level, int(blocks.scrapes[-1]), int(blocks.regular[-1]))
        if not blocks.scrapes[-1] or not blocks.scrapes[-1 - new]:
            return None
        values = blocks.values[:, member.rows, -1 - new :].astype(np.float64)
        column = values[:, :, -1].copy()
        column[:LEFT] -= values[:LEFT, :, 0]  # mean and floor
        column[DOWN:] = values[DOWN:, :, 1:].sum(axis=2)
        return Step(member, column, values[MEAN, :, -1], int(blocks.scrapes[-1]), int(blocks.regular[-1]))

    def _close_hour(self) -> None:
        steps: list[Step | None] = []
        for member in self.members.values():
            hour = an_hour(member.history.blocks)
            column = None if hour is None else hour[0][:, member.rows]
            member.push(column, self.block)
            if hour is None or column is None:
                continue
            steps.append(None)
            if member.steps()[-1]:
                level = column[MEAN].copy()
                column[MEAN] -= member.means[member.places, -2]
                column[FLOOR] -= member.floors[member.places, -2]
                steps[-1] = Step(member, column, level, *hour[1:])
        self.added_hours.push(steps)
        if self.hours.scrapes[-1]:
            self.give_back = with_latest_fall(self.give_back, self.hours)
