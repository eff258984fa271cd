"""The rows of a history: which stack has which row, and which stacks lose their row if there are too many."""

from collections.abc import Collection, Sequence
from heapq import nlargest
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import Sums
from leakwatch.detect.plain import PlainReader
from leakwatch.model import Fingerprint, Sample, Samples, Stack


class SeriesTable:
    """At most `limit` rows, each of one stack."""

    STATE: ClassVar = {"stacks": list[Stack | None], "_last_seen": Sums}

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.stacks: list[Stack | None] = []
        """Row -> stack; None is a free row."""
        self.rows: dict[Fingerprint, int] = {}
        self.origins: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        """Row -> a number that rows of the same origin share."""
        self.version = 0
        """Changes whenever a stack gets or loses a row."""
        self._last_seen: Sums = np.zeros(0)
        self._origin_numbers: dict[str, int] = {}

    def restore(self, plain: PlainReader) -> None:
        """Restore the rows of another table into this new one."""
        self._resize(len(plain["stacks"].elements()))
        plain.fill(self)
        self._number_origins()
        self.rows = {stack.fingerprint: row for row, stack in enumerate(self.stacks) if stack}

    def see(self, rows: Sequence[int], time: float) -> None:
        """Record that the stacks of `rows` had goroutines at `time`."""
        self._last_seen[rows] = time

    def admit(
        self, new: Sequence[Sample], samples: Samples, protected: Collection[Fingerprint]
    ) -> tuple[list[int], list[tuple[int, Sample]]]:
        """Give rows to stacks without one; return the rows that others lost for that, and the rows given.

        `samples`: the whole scrape, empty without one. Stacks in `protected` do not lose their row.
        """
        freed: list[int] = []
        if len(new) > self.limit - len(self.rows):
            new = nlargest(self.limit, new, key=lambda sample: sample.goroutines)
            freed = self._evict(new, samples, protected)
            new = new[: self.limit - len(self.rows)]
        free = [row for row, stack in enumerate(self.stacks) if stack is None]
        if len(new) > len(free):
            size = len(self.stacks)
            self._resize(min(max(size + len(new) - len(free), size * 5 // 4 + 16), max(self.limit, size)))
            free += range(size, len(self.stacks))
        self.version += 1
        given = list(zip(free, new, strict=False))
        for row, sample in given:
            stack = sample.stack
            self.stacks[row] = stack
            self.rows[stack.fingerprint] = row
            numbers = self._origin_numbers
            self.origins[row] = numbers.setdefault(stack.origin, len(numbers))
        if len(self._origin_numbers) > 2 * self.limit:
            self._number_origins()
        return freed, given

    def _evict(self, new: Sequence[Sample], samples: Samples, protected: Collection[Fingerprint]) -> list[int]:
        """Free rows for `new`, the largest first; return them.

        Stacks without goroutines lose their row first, the longest unseen of them before others, then the
        smallest stacks.
        """
        room = self.limit - len(self.rows)
        candidates = [key for key in self.rows if key not in protected]
        empty = [key for key in candidates if key not in samples]
        empty.sort(key=lambda key: (float(self._last_seen[self.rows[key]]), self.rows[key]))
        freed = [self.rows[key] for key in empty[: max(len(new) - room, 0)]]
        used = [(samples[key].goroutines, self.rows[key]) for key in candidates if key in samples]
        for sample, (goroutines, row) in zip(new[room + len(freed) :], sorted(used), strict=False):
            if sample.goroutines <= 2 * goroutines:  # twice as large, or two stacks would take turns
                break
            freed.append(row)
        for row in freed:
            self._free(row)
        return freed

    def _free(self, row: int) -> None:
        stack = self.stacks[row]
        if stack is not None:
            del self.rows[stack.fingerprint]
        self.stacks[row] = None
        self._last_seen[row] = self.origins[row] = 0

    def _resize(self, rows: int) -> None:
        more = rows - len(self.stacks)
        self.origins = np.pad(self.origins, (0, more))
        self._last_seen = np.pad(self._last_seen, (0, more))
        self.stacks += [None] * more

    def _number_origins(self) -> None:
        """Drop the numbers of origins that no stack with a row has, and renumber the others."""
        numbers: dict[str, int] = {}
        self._origin_numbers = numbers
        for row, stack in enumerate(self.stacks):
            if stack is not None:
                self.origins[row] = numbers.setdefault(stack.origin, len(numbers))
