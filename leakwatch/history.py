"""The counts of one target's stacks over time, in fixed memory per series.

    scrape   +--> block (5 min): mean, floor, turnover    the last 24 = 2 hours
                  +--> hour (12 blocks): the same          the last 34

Pure: time comes in with the samples.
"""

from collections import deque
from collections.abc import Collection, Mapping
from heapq import nlargest
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.columns import (
    BLOCKS,
    BLOCKS_PER_HOUR,
    DOWN,
    FLOOR,
    HOURS,
    LEFT,
    MEAN,
    SCRAPES_PER_BLOCK,
    Columns,
    Floats,
    Sums,
    trimmed_mean,
)
from leakwatch.model import Fingerprint, Sample, Stack

GIVE_BACK_HALF_LIFE: Final = 72  # hours
REGULAR: Final = 1.5  # a step longer than this many usual ones spans a missed scrape


class History:
    """All series of one target.

    `block`: seconds; `rows_limit`: the most series kept, the rest is summed up in `folded`.
    """

    def __init__(self, block: float, rows_limit: int = 1000) -> None:
        self.block = block
        self.stacks: list[Stack | None] = []
        """Row -> stack; None is a free row."""
        self.rows: dict[Fingerprint, int] = {}
        self.origins: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        """Row -> a number that rows of the same origin share."""
        self.blocks = Columns(BLOCKS)
        self.hours = Columns(HOURS)
        self.give_back: Floats = np.zeros(0, np.float32)
        """Row -> the largest fall of the hourly floor, slowly forgotten: what a stack is known to give back."""
        self.last: Sums = np.zeros(0)
        """Row -> the latest count."""
        self.time: float | None = None
        """Of the latest scrape in this lifetime."""
        self.since: float | None = None
        """When this lifetime was first scraped."""
        self.block_start = 0.0
        """When the open block began, which is when the newest closed one ended."""
        self.closed = 0
        """Blocks closed in this lifetime, gaps included."""
        self.hours_closed = 0
        self.protected: Collection[Fingerprint] = ()
        """Stacks that never give up their row to a larger one."""
        self.folded = 0
        """Goroutines of the latest scrape in stacks that found no row."""
        self.folded_stacks = 0
        self._base_block = block
        self._rows_limit = rows_limit
        self._seen: Sums = np.zeros(0)
        self._origin_numbers: dict[str, int] = {}
        self._sums: Sums = np.zeros(
            (7, 0)
        )  # of this block: c, d, d^2 (regular steps), falls, rises, rises^2; min c
        self._scrapes = 0
        self._regular = 0
        self._steps: deque[float] = deque(maxlen=15)

    def record(self, time: float, samples: Mapping[Fingerprint, Sample]) -> int:
        """Take in the counts of one scrape at `time`; return how many blocks that closed.

        A stack that is missing has no goroutines. A time not after the latest is ignored.
        """
        if self.time is not None and time <= self.time:
            return 0
        step = 0.0 if self.time is None else time - self.time
        closed = self._close_until(time)
        counts = self._counts(time, samples)
        sums = self._sums
        if step:
            self._add_step(counts, self._is_regular(step))
        sums[0] += counts
        np.minimum(sums[6], counts, out=sums[6])
        self._scrapes += 1
        self.last = counts
        self.time = time
        return closed

    def restart(self) -> None:
        """Begin a new lifetime: forget the columns, keep what each stack is known to give back."""
        self.blocks.forget()
        self.hours.forget()
        self.time = self.since = None
        self.closed = self.hours_closed = 0
        self.block = self._base_block
        self._begin_block(0.0)
        self._steps.clear()

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

    def _add_step(self, counts: Sums, regular: bool) -> None:
        sums = self._sums
        step = counts - self.last
        up = np.maximum(step, 0.0)
        if regular:
            self._regular += 1
            sums[1] += step
            sums[2] += step * step
        sums[3] += up - step
        sums[4] += up
        sums[5] += up * up

    def _is_regular(self, step: float) -> bool:
        usual = sorted(self._steps)
        self._steps.append(step)
        return not usual or step <= REGULAR * usual[len(usual) // 2]

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
        if len(new) > self._rows_limit - len(self.rows):
            new = nlargest(self._rows_limit, new, key=lambda sample: sample.goroutines)
            self._evict(new, samples)
            new = new[: self._rows_limit - len(self.rows)]
        gaps = [row for row, stack in enumerate(self.stacks) if stack is None]
        if len(new) > len(gaps):
            size = len(self.stacks)
            self._resize(min(max(size + len(new) - len(gaps), size * 5 // 4 + 16), max(self._rows_limit, size)))
            gaps += range(size, len(self.stacks))
        for sample, row in zip(new, gaps, strict=False):
            stack = sample.stack
            self.stacks[row] = stack
            self.rows[stack.fingerprint] = row
            numbers = self._origin_numbers
            self.origins[row] = numbers.setdefault(stack.origin, len(numbers))
        if len(self._origin_numbers) > 2 * self._rows_limit:
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
        free = self._rows_limit - len(self.rows)
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
        stack = self.stacks[row]
        if stack is not None:
            del self.rows[stack.fingerprint]
        self.stacks[row] = None
        for array in (self.blocks.values[:, row], self.hours.values[:, row], self._sums[:, row]):
            array[:] = 0
        self._sums[6, row] = self._floor_of_a_new_row()
        self.give_back[row] = self.last[row] = self._seen[row] = self.origins[row] = 0

    def _resize(self, rows: int) -> None:
        old = len(self.stacks)
        self.blocks.resize(rows)
        self.hours.resize(rows)
        for name in ("origins", "give_back", "last", "_seen"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros(rows - old, array.dtype)]))
        sums = np.zeros((7, rows))
        sums[:, :old] = self._sums
        sums[6, old:] = self._floor_of_a_new_row()
        self._sums = sums
        self.stacks += [None] * (rows - old)

    def _floor_of_a_new_row(self) -> float:
        return 0.0 if self._scrapes else np.inf

    def _begin_block(self, start: float) -> None:
        self._sums[:6] = 0
        self._sums[6] = np.inf
        self._scrapes = self._regular = 0
        self.block_start = start

    def _close_until(self, time: float) -> int:
        if self.since is None:
            self.since = time
            self._begin_block(time)
        closed = 0
        if time - self.block_start > 2 * HOURS * BLOCKS_PER_HOUR * self.block:
            self.blocks.forget()  # after so long a gap nothing is left to compare with
            self.hours.forget()
            self._begin_block(time)
        while time >= self.block_start + self.block:
            self._close_block()
            closed += 1
        return closed

    def _close_block(self) -> None:
        scrapes, regular, sums = self._scrapes, self._regular, self._sums
        column = None
        if scrapes:
            column = np.zeros((6, sums.shape[1]))
            column[MEAN] = sums[0] / scrapes
            column[FLOOR] = sums[6]
            if regular:
                mean = sums[1] / regular
                column[LEFT] = np.maximum((sums[2] / regular - mean * mean - mean) / 2, 0.0)
            column[DOWN:] = sums[3:6]
        self.blocks.push(column, scrapes, regular)
        self._begin_block(self.block_start + self.block)
        self.closed += 1
        if self.closed % BLOCKS_PER_HOUR == 0:
            self._close_hour()
            self.hours_closed += 1

    def _close_hour(self) -> None:
        columns = np.flatnonzero(self.blocks.scrapes[-BLOCKS_PER_HOUR:]) + BLOCKS - BLOCKS_PER_HOUR
        if len(columns) < BLOCKS_PER_HOUR // 2:
            self.hours.push(None, 0, 0)
            return
        blocks = self.blocks.values[:, :, columns]
        column = np.empty(blocks.shape[:2])
        column[MEAN] = np.median(blocks[MEAN], axis=1)
        column[FLOOR] = blocks[FLOOR].min(axis=1)
        column[LEFT] = trimmed_mean(blocks[LEFT])
        column[DOWN:] = blocks[DOWN:].sum(axis=2)
        scrapes, regular = self.blocks.scrapes[columns], self.blocks.regular[columns]
        self.hours.push(column, int(scrapes.min()), int(regular.min()))
        known = self.hours.scrapes > 0
        fall = self.hours.values[FLOOR][:, known].max(axis=1) - column[FLOOR]
        faded = self.give_back * np.float32(0.5 ** (1 / GIVE_BACK_HALF_LIFE))
        self.give_back = np.maximum(faded, fall).astype(np.float32)
