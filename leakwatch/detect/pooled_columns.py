"""The growth of all targets of a service, added up per column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from leakwatch.detect.columns import FLOOR, MEAN, MIN_STEPS, TURNOVER, Columns, Floats, Rows, Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The growth of a member in one block or hour.

    `column`: shape (6, rows of the member), mean and floor as differences; `level`: the mean itself.
    """

    pool_rows: Rows
    column: Sums
    level: Floats | Sums
    scrapes: int
    regular: int


class PooledColumns:
    """Columns of the growth of all members, added up since the first column."""

    STATE: ClassVar = {"columns": Columns, "levels": Floats, "falls": Floats}

    def __init__(self, columns: Columns) -> None:
        length = len(columns.scrapes)
        self.columns = columns
        self.levels: Floats = np.zeros((0, length), np.float32)
        """The goroutines of all members in each column, not rebased."""
        self.falls: Floats = np.zeros((0, length), np.float32)
        """Sum of the falls of each member's floor."""

    def resize(self, rows: int) -> None:
        """Extend to `rows` rows."""
        self.columns.resize(rows)
        more = ((0, rows - len(self.levels)), (0, 0))
        self.levels, self.falls = np.pad(self.levels, more), np.pad(self.falls, more)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only `rows`, in this order."""
        self.columns.values = self.columns.values[:, rows]
        self.levels, self.falls = self.levels[rows], self.falls[rows]

    def push(self, steps: Sequence[Step | None]) -> None:
        """Append the sum of the `steps` of all members, scaled up for the members without one.

        Likewise, the turnover is scaled up for the members without one.
        """
        counted = [step for step in steps if step is not None]
        columns, rows = self.columns, len(self.levels)
        scraped = np.flatnonzero(columns.scrapes)
        previous = columns.values[:, :, scraped[-1]].copy() if len(scraped) else np.zeros((6, rows))
        for values in (self.levels, self.falls):
            values[:, :-1] = values[:, 1:].copy()
            values[:, -1] = 0
        if not counted:
            columns.push(None, 0, 0)
            return
        total = np.zeros((6, rows))
        scale = len(steps) / len(counted)
        known = [step for step in counted if step.regular >= MIN_STEPS]
        for step in counted:
            total[:, step.pool_rows] += step.column
            self.levels[step.pool_rows, -1] += scale * step.level
            self.falls[step.pool_rows, -1] += scale * np.maximum(-step.column[FLOOR], 0)
        total *= scale
        total[TURNOVER] = 0
        for step in known:
            total[TURNOVER, step.pool_rows] += len(steps) / len(known) * step.column[TURNOVER]
        total[MEAN] += previous[MEAN]
        total[FLOOR] += previous[FLOOR]
        regular = sum(step.regular for step in known) // len(counted)
        columns.push(total, sum(step.scrapes for step in counted) // len(counted), regular)
