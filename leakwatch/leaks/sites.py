"""The sites of one target: all stacks with the same blamed function, counted together.

A leak that is reached on fifty call paths has fifty stacks, and perhaps none of them grows enough. Goroutines that
are stuck in a loop move between the stacks of one function: each stack looks busy, their sum does not.

Sites belong to the service: a function with several stacks on one target is counted on all targets.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from leakwatch.detect.columns import MEAN, Columns, Floats
from leakwatch.detect.dumped import DumpedStack, DumpedStacks, merged
from leakwatch.detect.history import History
from leakwatch.model import Fingerprint, Sample, Samples, Stack
from leakwatch.profile.fingerprint import site_of


class Functions:
    """The blamed functions of a service, and which of them are sites.

    A function that has become a site stays one, so that its count never drops to zero.
    """

    STATE: ClassVar = {"sites": dict[str, Stack], "_single_stacks": dict[str, Stack]}

    def __init__(self) -> None:
        self.sites: dict[str, Stack] = {}
        """Function -> site."""
        self._single_stacks: dict[str, Stack] = {}
        """Function -> stack, for functions that only one stack blames."""

    def add(self, stacks: Iterable[Stack | None]) -> None:
        """Add the stacks of a target."""
        for stack in stacks:
            if stack is None:
                continue
            function = stack.blamed.function
            other = self.sites.get(function) or self._single_stacks.setdefault(function, stack)
            if other.fingerprint != stack.fingerprint:
                self.sites[function] = _merged(other, stack)
                self._single_stacks.pop(function, None)

    def clear(self) -> None:
        """Remove all functions."""
        self.sites.clear()
        self._single_stacks.clear()


class Sites(History):
    """A row per site of a target, with the blocks, lifetimes and limits of its `history`."""

    STATE: ClassVar[Mapping[str, Any]] = {**History.STATE, "_counted": dict[str, Stack], "_counted_block": float}

    def __init__(self, history: History, functions: Functions) -> None:
        super().__init__(history.block, history.series_limit)
        self._history = history
        self._functions = functions
        self._counted: dict[str, Stack] = {}
        """The sites of the service when the open block began, by function."""
        self._counted_block = 0.0

    def record(self, time: float, samples: Samples, protected: Collection[Fingerprint] = ()) -> int:
        """Record the counts of the sites in a scrape, after the history has recorded its stacks."""
        if self._history.open_block.start != self._counted_block:  # a site begins with a block
            self._counted_block = self._history.open_block.start
            self._functions.add(self._history.stacks)
            self._counted = dict(self._functions.sites)
        return super().record(time, self._site_samples(samples) if self._counted else {}, protected)

    def _site_samples(self, samples: Samples) -> Mapping[Fingerprint, Sample]:
        counts: dict[str, int] = {}
        sites = self._counted
        for sample in samples.values():
            function = sample.stack.blamed.function
            if function in sites:
                counts[function] = counts.get(function, 0) + sample.goroutines
        return {sites[function].fingerprint: Sample(sites[function], count) for function, count in counts.items()}

    def fill_row(self, row: int, sample: Sample) -> None:
        """Fill the row of a new site with the past counts of its stacks, which are not new."""
        history, stack_rows = self._history, self.stack_rows(sample.stack)
        self.blocks.values[:, row] = history.blocks.values[:, stack_rows].sum(axis=1)
        self.hours.values[:, row] = history.hours.values[:, stack_rows].sum(axis=1)
        self.last[row] = sample.goroutines

    def stack_rows(self, site: Stack) -> list[int]:
        """Return the rows of the stacks of a site, in the history."""
        return [
            row
            for row, stack in enumerate(self._history.stacks)
            if stack is not None and stack.blamed.function == site.blamed.function
        ]

    def dumped(self, stacks: DumpedStacks) -> DumpedStacks:
        """Return the goroutines of each site in a full dump."""
        members: dict[Fingerprint, list[DumpedStack]] = {}
        for stack in self._history.stacks:
            site = self._functions.sites.get(stack.blamed.function) if stack else None
            if stack and site and stack.fingerprint in stacks:
                members.setdefault(site.fingerprint, []).append(stacks[stack.fingerprint])
        return {fingerprint: merged(parts) for fingerprint, parts in members.items()}

    def sum_counts(self, columns: Columns, row: int | None = None) -> Floats:
        """Return the mean count of all stacks, or of those with an origin of the site, per column."""
        history = self._history
        if row is None:
            return history.sum_counts(history.blocks if columns is self.blocks else history.hours)
        site = self.stacks[row]
        origins = history.origins[self.stack_rows(site) if site else []]
        same_origin = np.isin(history.origins, origins)
        of_history = history.blocks if columns is self.blocks else history.hours
        counts: Floats = of_history.values[MEAN][same_origin].sum(axis=0)
        return counts


def _merged(stack: Stack, other: Stack) -> Stack:
    """Return the site of two stacks, or of a site and another stack, with their common origin and wait reason."""
    site = stack
    if not stack.site:
        name = site_of(stack.blamed.function)
        site = Stack(
            fingerprint=name,
            frames=(stack.blamed,),
            blamed=stack.blamed,
            origin=stack.origin,
            wait=stack.wait,
            site=True,
        )
    origin = site.origin if site.origin == other.origin else ""
    wait = site.wait if site.wait == other.wait else ""
    return site if (origin, wait) == (site.origin, site.wait) else replace(site, origin=origin, wait=wait)
