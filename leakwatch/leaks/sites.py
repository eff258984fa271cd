"""The sites of one target: all stacks that blame the same function, counted together.

A leak that is reached on fifty call paths has fifty stacks, none of which may grow enough to be seen. And
goroutines that are stuck in a loop wander between the stacks of one function: each of them looks busy, their sum
does not.

Which functions are sites is a matter of the service: what has several stacks on one target is counted on all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from leakwatch.detect.columns import MEAN, Columns, Floats
from leakwatch.detect.history import History
from leakwatch.model import Fingerprint, Sample, Samples, Stack
from leakwatch.profile.fingerprint import site_of


class Functions:
    """The functions that the stacks of a service blame, and which of them are sites.

    Once a function is a site it stays one, so that its count never jumps to zero.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Stack] = {}
        self._alone: dict[str, Stack] = {}
        """Function -> the only stack that is known to blame it."""

    def learn(self, stacks: Iterable[Stack | None]) -> None:
        """Take in the stacks of a target."""
        for stack in stacks:
            if stack is None:
                continue
            function = stack.blamed.function
            other = self.sites.get(function) or self._alone.setdefault(function, stack)
            if other.fingerprint != stack.fingerprint:
                self.sites[function] = _together(other, stack)
                self._alone.pop(function, None)

    def clear(self) -> None:
        """Forget all."""
        self.sites.clear()
        self._alone.clear()


class Sites(History):
    """A row per site that a target has goroutines in; the same blocks and lifetimes as its `history`."""

    def __init__(self, history: History, functions: Functions) -> None:
        super().__init__(history.block)
        self._history = history
        self._functions = functions
        self._counted: dict[str, Stack] = {}
        """The sites of the service when the open block began."""
        self._begun = 0.0

    def follow(self, time: float, samples: Samples) -> None:
        """Take in a scrape that the history has just taken in."""
        if self._history.block_start != self._begun:  # no site begins in the middle of a block
            self._begun = self._history.block_start
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
        """Give a new site its row, and the past that its stacks have: it is new as a site only."""
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


def _together(one: Stack, other: Stack) -> Stack:
    """Return the site of two stacks, or of a site and one more of its stacks, with what they have in common."""
    site = one
    if not one.site:
        name = site_of(one.blamed.function)
        site = Stack(
            fingerprint=name, frames=(one.blamed,), blamed=one.blamed, origin=one.origin, wait=one.wait, site=True
        )
    origin = site.origin if site.origin == other.origin else ""
    wait = site.wait if site.wait == other.wait else ""
    return site if (origin, wait) == (site.origin, site.wait) else replace(site, origin=origin, wait=wait)
