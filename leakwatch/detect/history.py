"""The counts of one target's stacks over time, in fixed memory per series.

    scrape   +--> block (5 min): mean, floor, turnover    the last 24 = 2 hours
                  +--> hour (12 blocks): the same          the last 34

Pure: callers pass the time with the samples.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

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
    hour_column,
    is_other_interval,
    update_known_drop,
)
from leakwatch.detect.dump_history import DumpHistory
from leakwatch.detect.lifetimes import PastLifetimes, hourly_floors
from leakwatch.detect.liveness import Liveness
from leakwatch.detect.open_block import OpenBlock
from leakwatch.detect.plain import PlainReader
from leakwatch.detect.series_table import SeriesTable
from leakwatch.model import Fingerprint, Sample, Samples, Stack

SHAPE_HOURS: Final = HOURS - 1  # of a lifetime, after which its shape is set; a shorter one is set at its end


class History:
    """All series of one target.

    `block`: seconds; `series_limit`: the most stacks that have a series, the others are summed up in `folded`.
    """

    STATE: ClassVar[Mapping[str, Any]] = {
        "_table": SeriesTable,
        "block": float,
        "blocks": Columns,
        "hours": Columns,
        "known_drop": Floats,
        "past_lifetimes": PastLifetimes,
        "last": Sums,
        "time": float | None,
        "since": float | None,
        "lifetime": int,
        "closed": int,
        "folded": int,
        "folded_stacks": int,
        "open_block": OpenBlock,
        "_closed_interval": float,
        "dumps": DumpHistory,
    }
    rebased = False
    processes = 1

    def __init__(self, block: float, series_limit: int = 1000) -> None:
        self.block = block
        self.blocks = Columns(BLOCKS)
        self.hours = Columns(HOURS, BLOCKS_PER_HOUR)
        self.known_drop: Floats = np.zeros((2, 0), np.float32)
        """The known drops, BRIEF and LASTING, of each row."""
        self.past_lifetimes = PastLifetimes()
        self.last: Sums = np.zeros(0)
        """Row -> the latest count."""
        self.time: float | None = None
        """Time of the latest scrape in this lifetime."""
        self.since: float | None = None
        """Time of the first scrape in this lifetime."""
        self.lifetime = 0
        """Number of lifetimes that have ended."""
        self.closed = 0
        """Blocks closed in this lifetime, gaps included."""
        self.folded = 0
        """Goroutines of the latest scrape in stacks without a row."""
        self.folded_stacks = 0
        self._table = SeriesTable(series_limit)
        self._configured_block = block
        self.open_block = OpenBlock()
        self.dumps = DumpHistory()
        self.liveness = Liveness()
        """The liveness of its stacks, also as dumps of other targets show it."""
        self._closed_interval = 0.0
        """Usual seconds between scrapes when the newest block closed."""

    @property
    def series_limit(self) -> int:
        """The most stacks that have a series."""
        return self._table.limit

    @property
    def stacks(self) -> Sequence[Stack | None]:
        """Row -> stack; None is a free row."""
        return self._table.stacks

    @property
    def rows(self) -> dict[Fingerprint, int]:
        """Stack -> row."""
        return self._table.rows

    @property
    def origins(self) -> npt.NDArray[np.int32]:
        """Row -> a number that rows of the same origin share."""
        return self._table.origins

    @property
    def version(self) -> int:
        """Changes whenever a stack gets or loses a row."""
        return self._table.version

    @property
    def block_start(self) -> float:
        """When the open block began, which is when the newest closed block ended."""
        return self.open_block.start

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes; 0 if unknown."""
        return self.open_block.interval

    def sum_counts(self, columns: Columns, row: int | None = None) -> Floats:
        """Return the mean count of all stacks, or of those with the origin of `row`, per column."""
        rows = slice(None) if row is None else self.origins == self.origins[row]
        counts: Floats = columns.values[MEAN][rows].sum(axis=0)
        return counts

    def record(self, time: float, samples: Samples, protected: Collection[Fingerprint] = ()) -> int:
        """Record the counts of one scrape at `time`; return how many blocks this closed.

        A stack that is missing has no goroutines. A scrape that is not later than the latest is ignored. Stacks
        in `protected` do not lose their row to larger ones.
        """
        if self.time is not None and time <= self.time:
            return 0
        step = 0.0 if self.time is None else time - self.time
        closed = self._close_until(time)
        rows = self._table.rows
        new = [sample for fingerprint, sample in samples.items() if fingerprint not in rows]
        if new:
            self._admit(new, samples, protected)
        counts = self._counts(time, samples)
        self.open_block.add(counts, self.last, step)
        self.last = counts
        self.time = time
        return closed

    def restart(self) -> None:
        """Begin a new lifetime: clear all columns, but not the known drops and the shapes of past lifetimes."""
        self.lifetime += 1
        if self.closed // BLOCKS_PER_HOUR < SHAPE_HOURS:
            self.past_lifetimes.set_current(hourly_floors(self.blocks, self.hours, self.closed))
        self.past_lifetimes.end_lifetime()
        self.blocks.clear()
        self.hours.clear()
        self.dumps.restart()
        self.time = self.since = None
        self.closed = 0
        self.block = self._configured_block
        self.open_block.restart()

    def restore(self, plain: PlainReader) -> None:
        """Restore the state of another history into this new one."""
        self._table.restore(plain["_table"])
        self._resize(len(self.stacks))  # the arrays must have as many rows
        plain.fill(self)
        for columns in (self.blocks, self.hours):
            columns.bridge()  # earlier versions of leakwatch left gaps at zero
        if not self._configured_block <= self.block < math.inf:  # no time would be in the open block
            raise plain["block"].error(f"is {self.block}, not {self._configured_block} or more")

    def take_over(self, other: "History") -> None:
        """Take over stacks, known drops and past lifetimes of `other`, which has ended its lifetime."""
        self.admit(stack for stack in other.stacks if stack is not None)
        for fingerprint, other_row in other.rows.items():
            if (row := self.rows.get(fingerprint)) is not None:
                self.past_lifetimes.take_over(row, other.past_lifetimes, other_row)
                self.known_drop[:, row] = np.maximum(self.known_drop[:, row], other.known_drop[:, other_row])

    def admit(self, stacks: Iterable[Stack]) -> None:
        """Give rows to stacks without goroutines, while there is room."""
        new = [Sample(stack, 0) for stack in stacks if stack.fingerprint not in self.rows]
        if room := self.series_limit - len(self.rows):
            self._admit(new[:room], {}, ())

    def fit(self, interval: float) -> bool:
        """Double the block until it holds enough scrapes `interval` seconds apart; return whether it was doubled.

        Closed blocks and hours are merged in pairs.
        """
        needed = SCRAPES_PER_BLOCK * interval
        grew = self.block < needed
        while self.block < needed:
            self._double()
        return grew

    def shrink(self) -> None:
        """Return to the configured block, and begin a new lifetime if the block was longer."""
        if self.block != self._configured_block:
            self.restart()

    def fill_row(self, row: int, sample: Sample) -> None:
        """Fill a row that a stack has just been given. The past counts of a new stack are zero."""

    def _double(self) -> None:
        closed_hours = self.closed // BLOCKS_PER_HOUR
        self.blocks.merge_pairs(skip=0)
        # Merged hours begin at even numbers. An odd hour out is still in the blocks, and is counted there again.
        self.hours.merge_pairs(skip=closed_hours % 2)
        self.block *= 2
        self.closed = (self.closed + 1) // 2

    def _counts(self, time: float, samples: Samples) -> Sums:
        """Return row -> count, and set what is folded."""
        rows, stacks = self._table.rows, self._table.stacks
        counts = np.zeros(len(self.last))
        self.folded = self.folded_stacks = 0
        seen_rows, values = [], []
        for fingerprint, sample in samples.items():
            row = rows.get(fingerprint)
            if row is None:
                self.folded += sample.goroutines
                self.folded_stacks += 1
            else:
                seen_rows.append(row)
                values.append(sample.goroutines)
                stacks[row] = sample.stack  # a new build has new lines
        if seen_rows:
            counts[seen_rows] = values
            self._table.see(seen_rows, time)
        return counts

    def _admit(self, new: list[Sample], samples: Samples, protected: Collection[Fingerprint]) -> None:
        freed, given = self._table.admit(new, samples, protected)
        self._resize(len(self._table.stacks))
        for row in freed:
            self._clear_row(row)
        for row, sample in given:
            self.fill_row(row, sample)

    def _clear_row(self, row: int) -> None:
        self.blocks.values[:, row] = self.hours.values[:, row] = 0
        self.open_block.clear(row)
        self.past_lifetimes.clear(row)
        self.last[row] = self.known_drop[:, row] = 0

    def _resize(self, rows: int) -> None:
        more = rows - len(self.last)
        if not more:
            return
        self.blocks.resize(rows)
        self.hours.resize(rows)
        self.last = np.pad(self.last, (0, more))
        self.known_drop = np.pad(self.known_drop, ((0, 0), (0, more)))
        self.open_block.resize(rows)
        self.past_lifetimes.resize(rows)

    def _close_until(self, time: float) -> int:
        """Close the blocks that end at or before `time`; return how many."""
        if self.since is None:
            self.since = time
            self.open_block.begin(time)
        closed = 0
        if time - self.open_block.start > 2 * HOURS * BLOCKS_PER_HOUR * self.block:
            self.blocks.clear()  # after such a gap no column could be compared with
            self.hours.clear()
            self.open_block.begin(time)
        while time >= self.open_block.start + self.block:
            self._close_block()
            closed += 1
        return closed

    def _close_block(self) -> None:
        block = self.open_block
        self.blocks.push(block.column(), block.scrapes, block.regular)
        if is_other_interval(self._closed_interval, block.interval):
            self.blocks.clear_turnover()
            self.hours.clear_turnover()
        self._closed_interval = block.interval
        block.begin(block.start + self.block)
        self.closed += 1
        if self.closed % BLOCKS_PER_HOUR == 0:
            self._close_hour()
            if self.closed == SHAPE_HOURS * BLOCKS_PER_HOUR:
                self.past_lifetimes.set_current(hourly_floors(self.blocks, self.hours, self.closed))

    def _close_hour(self) -> None:
        column = hour_column(self.blocks)
        self.hours.push(*(column or (None, 0, 0)))
        if column is not None:
            self.known_drop = update_known_drop(self.known_drop, self.hours)
