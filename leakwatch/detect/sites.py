"""The sites of one target as series: all stacks that blame the same function, summed.

A leak that is reached on fifty call paths has fifty stacks, none of which may grow enough to be seen.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from leakwatch.columns import Columns, Floats, Sums
from leakwatch.history import History
from leakwatch.lifetimes import Memory
from leakwatch.model import Fingerprint, Frame, Stack
from leakwatch.stacks import fingerprint_of


class Sites:
    """A view of `history`: a row per function that at least two of its stacks blame."""

    rebased = False

    def __init__(self, history: History) -> None:
        self.stacks: Sequence[Stack | None] = ()
        self.rows: Mapping[Fingerprint, int] = {}
        self.past = Memory()
        self._history = history
        self._version = -1
        self._order = np.zeros(0, np.intp)
        self._starts = np.zeros(0, np.intp)
        self._blocks = (-1, Columns(0))
        self._hours = (-1, Columns(0))

    def refresh(self) -> bool:
        """Follow the rows of the history; tell whether there are any sites."""
        history = self._history
        if self._version != history.version:
            self._version = history.version
            self._group()
            self._blocks = self._hours = (-1, Columns(0))
        return bool(self.rows)

    def _group(self) -> None:
        groups: dict[str, list[int]] = {}
        for row, stack in enumerate(self._history.stacks):
            if stack is not None:
                groups.setdefault(stack.blamed.function, []).append(row)
        members = [rows for rows in groups.values() if len(rows) > 1]
        sizes = [len(rows) for rows in members]
        self._order = np.array([row for rows in members for row in rows], np.intp)
        self._starts = np.cumsum([0, *sizes[:-1]]).astype(np.intp)
        self.stacks = [self._site(rows) for rows in members]
        self.rows = {stack.fingerprint: row for row, stack in enumerate(self.stacks) if stack is not None}
        self.past = Memory()
        self.past.resize(len(members))

    def _site(self, rows: Sequence[int]) -> Stack:
        stacks = [stack for stack in (self._history.stacks[row] for row in rows) if stack is not None]
        waits = {stack.wait for stack in stacks}
        return _stack(stacks[0].blamed, waits.pop() if len(waits) == 1 else "")

    def members(self, fingerprint: Fingerprint) -> list[Fingerprint]:
        """Return the stacks of a site."""
        row = self.rows[fingerprint]
        stacks = (self._history.stacks[member] for member in self._members(row).tolist())
        return [stack.fingerprint for stack in stacks if stack is not None]

    def _members(self, row: int) -> np.ndarray:
        ends = [*self._starts[1:].tolist(), len(self._order)]
        return self._order[self._starts[row] : ends[row]]

    @property
    def block(self) -> float:
        """Seconds."""
        return self._history.block

    @property
    def closed(self) -> int:
        """Blocks closed in this lifetime."""
        return self._history.closed

    @property
    def hours_closed(self) -> int:
        """Hours closed in this lifetime."""
        return self._history.hours_closed

    @property
    def block_start(self) -> float:
        """When the newest closed block ended."""
        return self._history.block_start

    @property
    def interval(self) -> float:
        """The usual seconds between scrapes."""
        return self._history.interval

    @property
    def blocks(self) -> Columns:
        """The blocks of all sites."""
        if self._blocks[0] != self.closed:
            self._blocks = (self.closed, self._summed(self._history.blocks))
        return self._blocks[1]

    @property
    def hours(self) -> Columns:
        """The hours of all sites."""
        if self._hours[0] != self.hours_closed:
            self._hours = (self.hours_closed, self._summed(self._history.hours))
        return self._hours[1]

    @property
    def give_back(self) -> Floats:
        """What each site is known to give back."""
        return np.asarray(np.add.reduceat(self._history.give_back[self._order], self._starts))

    @property
    def last(self) -> Sums:
        """The latest count of each site."""
        return np.asarray(np.add.reduceat(self._history.last[self._order], self._starts))

    def family(self, columns: Columns, row: int) -> Floats:
        """Return the mean of all that has an origin that a stack of the site has, per column."""
        history = self._history
        of_history = history.blocks if columns is self._blocks[1] else history.hours
        same = np.isin(history.origins, history.origins[self._members(row)])
        return np.asarray(of_history.values[0][same].sum(axis=0))

    def _summed(self, columns: Columns) -> Columns:
        """Return the sums over the stacks of each site; that of floors is at most the floor of the sum."""
        found = Columns(len(columns.scrapes))
        found.values = np.add.reduceat(columns.values[:, self._order], self._starts, axis=1)
        found.scrapes, found.regular = columns.scrapes, columns.regular
        return found


@lru_cache(4096)
def _stack(blamed: Frame, wait: str) -> Stack:
    return Stack(fingerprint_of(("site", blamed.function)), (blamed,), blamed, "", wait)
