"""Reads a full dump as the judge needs it. Pure."""

import numpy as np

from leakwatch.detect.dumped import UNKNOWN, DumpedStack, DumpedStacks
from leakwatch.profile.dump_stacks import DumpIndex
from leakwatch.profile.goroutine import Goroutine


def dumped_stacks(index: DumpIndex) -> DumpedStacks:
    """Return IDs, wait times and creators of the goroutines of each stack in a dump."""
    return {fingerprint: _dumped(goroutines) for fingerprint, goroutines in index.by_stack.items()}


def _dumped(goroutines: list[Goroutine]) -> DumpedStack:
    waits = [UNKNOWN if each.minutes is None else each.minutes for each in goroutines]
    columns = ([each.number for each in goroutines], waits, [each.parent for each in goroutines])
    return DumpedStack(*(np.array(column, np.int64) for column in columns))
