"""Series: what histories, sites and pools have in common."""

from collections.abc import Callable

import pytest

from leakwatch.detect.columns import MEAN
from leakwatch.detect.history import History
from leakwatch.detect.pool import Pool
from leakwatch.detect.series import Series
from leakwatch.leaks.sites import Functions, Sites
from tests.support.blocks import BLOCK, Fleet, line, record
from tests.support.simulated import START, samples


def history() -> Series:
    """Return the history of one target."""
    result = History(BLOCK)
    record(result, {"a": line(3, 1, 24), "b": line(5, 1, 24)})
    return result


def sites() -> Series:
    """Return the sites of one target."""
    stacks, functions = History(BLOCK), Functions()
    found = {**samples({"a": 3}, "main.one"), **samples({"a": 4}, "main.two")}
    result = Sites(stacks, functions)
    for i in range(24 * 5 + 1):
        stacks.record(START + i * BLOCK / 5, found)
        result.record(START + i * BLOCK / 5, found)
    return result


def pool() -> Series:
    """Return the pool of a service."""
    fleet = Fleet(2)
    fleet.play([line(3, 1, 24)] * 2)
    return fleet.pool


@pytest.mark.parametrize("make", [history, sites, pool])
def test_a_series(make: Callable[[], Series]) -> None:
    """The rows of all arrays are the same, and the origin of a row has at least the counts of the row."""
    series = make()
    rows = len(series.stacks)
    assert series.rows
    assert series.blocks.values.shape == (6, rows, 24)
    assert series.hours.values.shape[1] == series.known_drop.shape[1] == len(series.last) == rows
    assert (series.block, series.closed, series.block_start) == (BLOCK, 24, START + 24 * BLOCK)
    assert series.interval == BLOCK / 5
    assert series.rebased is isinstance(series, Pool)
    for key, row in series.rows.items():
        stack = series.stacks[row]
        assert stack is not None
        assert stack.fingerprint == key
        assert (series.sum_counts(series.blocks, row) >= series.blocks.values[MEAN, row]).all()
