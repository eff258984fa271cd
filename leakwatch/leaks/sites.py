"""Sites of one target: all stacks that blame the same function, counted together.

A leak with fifty call paths has fifty stacks, none of which may grow enough to be noticed. Goroutines that are
stuck in a loop alternate between the stacks of one function: the count of each stack varies, their sum does not.

All targets of a service have the same sites: a function with several stacks on one target is a site on all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from leakwatch.detect.columns import MEAN, Columns, Floats
from leakwatch.detect.history import History
from leakwatch.model import Fingerprint, Sample, Samples, Stack
from leakwatch.profile.fingerprint import site_of


class Functions:
    """The blamed functions of a service, and the sites among them.

    A function that became a site remains a site, so that its count never drops to zero.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Stack] = {}
        self._alone: dict[str, Stack] = {}
        """Function -> the only stack so far that blames it."""

    def learn(self, stacks: Iterable[Stack | None]) -> None:
        """Add the stacks of a target."""
        for stack in stacks:
            if stack is None:
                continue
            function = stack.blamed.function
            other = self.sites.get(function) or self._alone.setdefault(function, stack)
            if other.fingerprint != stack.fingerprint:
                self.sites[function] = _combine(other, stack)
                self._alone.pop(function, None)

    def clear(self) -> None:
        """Drop all functions and sites."""
        self.sites.clear()
        self._alone.clear()


class Sites(History):
    """History of at most `limit` sites of a target, with the blocks and lifetimes of the history of its stacks."""

    def __init__(self, history: History, functions: Functions, limit: int) -> None:
        super().__init__(history.block, limit)
        self._history = history
        self._functions = functions
        self._counted: dict[str, Stack] = {}
        """The sites of the service when the open block began."""
        self._counted_since = 0.0

    def follow(self, time: float, samples: Samples) -> None:
        """Record the samples that the history of the stacks has just recorded."""
        if self._history.block_start != self._counted_since:  # a new site begins with a block
            self._counted_since = self._history.block_start
            self._functions.learn(self._history.stacks)
            self._counted = dict(self._functions.sites)
        self.record(time, self._gather(samples) if self._counted else {})

    def _gather(self, samples: Samples) -> Mapping[Fingerprint, Sample]:
        sums: dict[str, int] = {}
        sites = self._counted
        for sample in samples.values():
            function = sample.stack.blamed.function
            if function in sites:
                sums[function] = sums.get(function, 0) + sample.goroutines
        return {sites[name].fingerprint: Sample(sites[name], count) for name, count in sums.items()}

    def _admit(self, new: list[Sample], samples: Mapping[Fingerprint, Sample]) -> None:
        """Add the row of a new site, with the past counts of its stacks."""
        super()._admit(new, samples)
        history = self._history
        for sample in new:
            row = self.rows.get(sample.stack.fingerprint)
            if row is not None:
                members = self.members(sample.stack.fingerprint)
                self.blocks.values[:, row] = history.blocks.values[:, members].sum(axis=1)
                self.hours.values[:, row] = history.hours.values[:, members].sum(axis=1)
                self.last[row] = sample.goroutines

    def members(self, fingerprint: Fingerprint) -> list[int]:
        """Return the rows of the stacks of a site in the history of the stacks."""
        site = self.stacks[self.rows[fingerprint]]
        return [
            row
            for row, stack in enumerate(self._history.stacks)
            if stack is not None and site is not None and stack.blamed.function == site.blamed.function
        ]

    def family(self, columns: Columns, row: int) -> Floats:
        """Return the sum of the means of all stacks with an origin of this site, per column of `columns`."""
        history, site = self._history, self.stacks[row]
        members = self.members(site.fingerprint) if site else []
        same = np.isin(history.origins, history.origins[members])
        of_history = history.blocks if columns is self.blocks else history.hours
        total: Floats = of_history.values[MEAN][same].sum(axis=0)
        return total


def _combine(first: Stack, other: Stack) -> Stack:
    """Return the site of two stacks, or of a site and another stack, with their common origin and wait reason."""
    site = first
    if not first.site:
        name = site_of(first.blamed.function)
        site = Stack(name, (first.blamed,), first.blamed, first.origin, first.wait, site=True)
    origin = site.origin if site.origin == other.origin else ""
    wait = site.wait if site.wait == other.wait else ""
    return site if (origin, wait) == (site.origin, site.wait) else replace(site, origin=origin, wait=wait)
