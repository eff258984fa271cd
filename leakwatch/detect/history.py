"""The counts of one target's stacks over time, in fixed memory per series.

    scrape   +--> block (5 min): mean, floor, turnover    the last 24 = 2 hours
                  +--> hour (12 blocks): the same          the last 34

Pure: time comes in with the samples.
"""

from collections.abc import Collection, Mapping
from heapq import nlargest
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import (
    BLOCKS,
    BLOCKS_PER_HOUR,
    HOURS,
    MEAN,
    SCRAPES_PER_BLOCK,
    Columns,
    Floats,
    Sums,
    an_hour,
    is_other_pace,
    with_latest_fall,
)
from leakwatch.detect.lifetimes import PastLifetimes, hourly_floors
from leakwatch.detect.open_block import OpenBlock
from leakwatch.model import Fingerprint, Sample, Stack

LEARNING: Final = HOURS - 1  # hours of a lifetime that tell its shape


class History:
    """All series of one target.

    `block`: seconds; `series_limit`: the most stacks that have a series, the others are summed up in `folded`.
    """

    rebased = False

    def __init__(self, block: float, series_limit: int = 1000) -> None:
        self.block = block
        self.stacks: list[Stack | None] = []
        """Row -> stack; None is a free row."""
        self.rows: dict[Fingerprint, int] = {}
        self.origins: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        """Row -> a number that rows of the same origin share."""
        self.blocks = Columns(BLOCKS)
        self.hours = Columns(HOURS, BLOCKS_PER_HOUR)
        self.known_drop: Floats = np.zeros((2, 0), np.float32)
        """BRIEF or LASTING, row -> the largest fall of the hourly floor, slowly forgotten."""
        self.past = PastLifetimes()
        """What the lifetimes before tell of each row."""
        self.last: Sums = np.zeros(0)
        """Row -> the latest count."""
        self.time: float | None = None
        """Of the latest scrape in this lifetime."""
        self.since: float | None = None
        """When this lifetime was first scraped."""
        self.lifetime = 0
        """How many lifetimes have ended."""
        self.version = 0
        """Changes with the rows."""
        self.closed = 0
        """Blocks closed in this lifetime, gaps included."""
        self.hours_closed = 0
        self.protected: Collection[Fingerprint] = ()
        """Stacks that never give up their row to a larger one."""
        self.folded = 0
        """Goroutines of the latest scrape in stacks that found no row."""
        self.folded_stacks = 0
        self._base_block = block
        self.series_limit = series_limit
        self._seen: Sums = np.zeros(0)
        self._origin_numbers: dict[str, int] = {}
        self._open = OpenBlock()
        self._pace = 0.0

    @property
    def block_start(self) -> float:
        """When the open block began, which is when the newest closed one ended."""
        return self._open.start

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes, 0 while unknown."""
        return self._open.interval

    def family(self, columns: Columns, row: int) -> Floats:
        """Return the mean of all that has the same origin as `row`, per column of `columns`, one of ours."""
        total: Floats = columns.values[MEAN][self.origins == self.origins[row]].sum(axis=0)
        return total

    def record(self, time: float, samples: Mapping[Fingerprint, Sample]) -> int:
        """Take in the counts of one scrape at `time`; return how many blocks that closed.

        A stack that is missing has no goroutines. A time not after the latest is ignored.
        """
        if self.time is not None and time <= self.time:
            return 0
        step = 0.0 if self.time is None else time - self.time
        closed = self._close_until(time)
        counts = self._counts(time, samples)
        self._open.add(counts, self.last, step)
        self.last = counts
        self.time = time
        return closed

    def restart(self) -> None:
        """Begin a new lifetime: forget the columns, keep what each stack is known to give back and to rise to."""
        self.lifetime += 1
        if self.hours_closed < LEARNING:
            self.past.learn(hourly_floors(self.blocks, self.hours, self.closed))
        self.past.begin()
        self.blocks.forget()
        self.hours.forget()
        self.time = self.since = None
        self.closed = self.hours_closed = 0
        self.block = self._base_block
        self._open.begin(0.0)
        self._open.forget_steps()

    def adopt(self, other: "History") -> None:
        """Take over what is known of the stacks of `other`, whose lifetime has ended."""
        stacks = [stack for stack in other.stacks if stack is not None]
        new = [Sample(stack, 0) for stack in stacks if stack.fingerprint not in self.rows]
        room = self.series_limit - len(self.rows)
        if new[:room]:
            self._admit(new[:room], {})
        for fingerprint, its in other.rows.items():
            row = self.rows.get(fingerprint)
            if row is not None:
                self.past.take(row, other.past, its)
                self.known_drop[:, row] = np.maximum(self.known_drop[:, row], other.known_drop[:, its])

    def fit(self, interval: float) -> bool:
        """Double the block until it holds enough scrapes `interval` seconds apart; tell whether it had to grow.

        What is known stays, in longer blocks.
        """
        needed = SCRAPES_PER_BLOCK * interval
        if needed <= self.block:
            return False
        while self.block < needed:
            self._double()
        return True

    def shrink(self) -> None:
        """Go back to the usual block, and forget the columns of the longer one."""
        if self.block != self._base_block:
            self.restart()

    def _double(self) -> None:
        """Make the block twice as long, and one of each two blocks and hours known."""
        closed_hours = self.closed // BLOCKS_PER_HOUR
        self.blocks.merge_pairs(skip=0)
        # Hours keep beginning at even numbers; an odd one out is still in the blocks and will be counted there.
        self.hours.merge_pairs(skip=closed_hours % 2)
        self.block *= 2
        self.closed = (self.closed + 1) // 2
        self.hours_closed = self.closed // BLOCKS_PER_HOUR

    def _counts(self, time: float, samples: Mapping[Fingerprint, Sample]) -> Sums:
        rows = self.rows
        new = [sample for fingerprint, sample in samples.items() if fingerprint not in rows]
        if new:
            self._admit(new, samples)
        counts = np.zeros(len(self.last))
        self.folded = self.folded_stacks = 0
        at, values = [], []
        for fingerprint, sample in samples.items():
            row = rows.get(fingerprint)
            if row is None:
                self.folded += sample.goroutines
                self.folded_stacks += 1
            else:
                at.append(row)
                values.append(sample.goroutines)
                self.stacks[row] = sample.stack  # a new build has new lines
        if at:
            counts[at] = values
            self._seen[at] = time
        return counts

    def _admit(self, new: list[Sample], samples: Mapping[Fingerprint, Sample]) -> None:
        if len(new) > self.series_limit - len(self.rows):
            new = nlargest(self.series_limit, new, key=lambda sample: sample.goroutines)
            self._evict(new, samples)
            new = new[: self.series_limit - len(self.rows)]
        gaps = [row for row, stack in enumerate(self.stacks) if stack is None]
        if len(new) > len(gaps):
            size = len(self.stacks)
            self._resize(min(max(size + len(new) - len(gaps), size * 5 // 4 + 16), max(self.series_limit, size)))
            gaps += range(size, len(self.stacks))
        self.version += 1
        for sample, row in zip(new, gaps, strict=False):
            stack = sample.stack
            self.stacks[row] = stack
            self.rows[stack.fingerprint] = row
            numbers = self._origin_numbers
            self.origins[row] = numbers.setdefault(stack.origin, len(numbers))
        if len(self._origin_numbers) > 2 * self.series_limit:
            self._number_origins()

    def _number_origins(self) -> None:
        """Give numbers to the origins of the stacks that have a row, and forget the others."""
        numbers: dict[str, int] = {}
        self._origin_numbers = numbers
        for row, stack in enumerate(self.stacks):
            if stack is not None:
                self.origins[row] = numbers.setdefault(stack.origin, len(numbers))

    def _evict(self, new: list[Sample], samples: Mapping[Fingerprint, Sample]) -> None:
        """Free rows for `new`, largest first: those that stand empty, longest unseen first, then smaller ones."""
        free = self.series_limit - len(self.rows)
        kept = [key for key in self.rows if key not in self.protected]
        empty = [key for key in kept if key not in samples]
        empty.sort(key=lambda key: float(self._seen[self.rows[key]]))
        for key in empty[: max(len(new) - free, 0)]:
            self._free(self.rows[key])
            free += 1
        used = [(samples[key].goroutines, self.rows[key]) for key in kept if key in samples]
        for sample, (goroutines, row) in zip(new[free:], sorted(used), strict=False):
            if sample.goroutines <= 2 * goroutines:  # twice as large, so that two do not take turns
                break
            self._free(row)

    def _free(self, row: int) -> None:
        self.version += 1
        stack = self.stacks[row]
        if stack is not None:
            del self.rows[stack.fingerprint]
        self.stacks[row] = None
        self.blocks.values[:, row] = self.hours.values[:, row] = 0
        self._open.clear(row)
        self.past.clear(row)
        self.last[row] = self._seen[row] = self.origins[row] = 0
        self.known_drop[:, row] = 0

    def _resize(self, rows: int) -> None:
        old = len(self.stacks)
        self.blocks.resize(rows)
        self.hours.resize(rows)
        for name in ("origins", "last", "_seen"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros(rows - old, array.dtype)]))
        self.known_drop = np.pad(self.known_drop, ((0, 0), (0, rows - old)))
        self._open.resize(rows)
        self.past.resize(rows)
        self.stacks += [None] * (rows - old)

    def _close_until(self, time: float) -> int:
        if self.since is None:
            self.since = time
            self._open.begin(time)
        closed = 0
        if time - self._open.start > 2 * HOURS * BLOCKS_PER_HOUR * self.block:
            self.blocks.forget()  # after so long a gap nothing is left to compare with
            self.hours.forget()
            self._open.begin(time)
        while time >= self._open.start + self.block:
            self._close_block()
            closed += 1
        return closed

    def _close_block(self) -> None:
        block = self._open
        self.blocks.push(block.column(), block.scrapes, block.regular)
        if is_other_pace(self._pace, block.interval):
            self.blocks.forget_turnover()
            self.hours.forget_turnover()
        self._pace = block.interval
        block.begin(block.start + self.block)
        self.closed += 1
        if self.closed % BLOCKS_PER_HOUR == 0:
            self._close_hour()
            self.hours_closed += 1
            if self.hours_closed == LEARNING:
                self.past.learn(hourly_floors(self.blocks, self.hours, self.closed))

    def _close_hour(self) -> None:
        hour = an_hour(self.blocks)
        if hour is None:
            self.hours.push(None, 0, 0)
            return
        self.hours.push(*hour)
        self.known_drop = with_latest_fall(self.known_drop, self.hours)
