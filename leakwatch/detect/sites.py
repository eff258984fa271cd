"""The sites of one target: all stacks that blame the same function, counted together.

A leak that is reached on fifty call paths has fifty stacks, none of which may grow enough to be seen. And
goroutines that are stuck in a loop wander between the stacks of one function: each of them looks busy, their sum
does not.
"""

from collections.abc import Mapping

import numpy as np

from leakwatch.columns import MEAN, Columns, Floats
from leakwatch.history import History
from leakwatch.model import Fingerprint, Sample, Samples, Stack
from leakwatch.stacks import fingerprint_of


class Sites(History):
    """A row per function that at least two stacks of `history` blame; the same blocks and lifetimes."""

    def __init__(self, history: History) -> None:
        super().__init__(history.block)
        self._history = history
        self._known = -1
        self._sites: dict[str, Stack] = {}
        """Blamed function -> its site; once it is one it stays one, so that its count never jumps to zero."""

    def follow(self, time: float, samples: Samples) -> None:
        """Take in a scrape that the history has just taken in."""
        if self._known != self._history.version:
            self._known = self._history.version
            self._find()
        if self._sites:
            self.record(time, self._gather(samples))

    def _gather(self, samples: Samples) -> Mapping[Fingerprint, Sample]:
        sums: dict[str, int] = {}
        sites = self._sites
        for sample in samples.values():
            function = sample.stack.blamed.function
            if function in sites:
                sums[function] = sums.get(function, 0) + sample.goroutines
        return {sites[name].fingerprint: Sample(sites[name], count) for name, count in sums.items()}

    def _find(self) -> None:
        groups: dict[str, list[Stack]] = {}
        for stack in self._history.stacks:
            if stack is not None:
                groups.setdefault(stack.blamed.function, []).append(stack)
        for function, stacks in groups.items():
            if len(stacks) > 1:
                waits = {stack.wait for stack in stacks}
                blamed = stacks[0].blamed
                name = fingerprint_of(("site", function))
                self._sites[function] = Stack(name, (blamed,), blamed, "", waits.pop() if len(waits) == 1 else "")

    def members(self, fingerprint: Fingerprint) -> list[int]:
        """Return the rows of the history that are at a site."""
        site = self.stacks[self.rows[fingerprint]]
        return [
            row
            for row, stack in enumerate(self._history.stacks)
            if stack is not None and site is not None and stack.blamed.function == site.blamed.function
        ]

    def family(self, columns: Columns, row: int) -> Floats:
        """Return the mean of all that has an origin that a stack of the site has, per column of `columns`."""
        history, site = self._history, self.stacks[row]
        members = self.members(site.fingerprint) if site else []
        same = np.isin(history.origins, history.origins[members])
        of_history = history.blocks if columns is self.blocks else history.hours
        total: Floats = of_history.values[MEAN][same].sum(axis=0)
        return total
