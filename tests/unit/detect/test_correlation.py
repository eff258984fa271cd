"""Stacks in step: which pairs of levels are one leak."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from leakwatch.detect import correlation
from leakwatch.detect.columns import SQUARED_RISES
from leakwatch.detect.correlation import in_step
from leakwatch.detect.series import Series
from leakwatch.model import Fingerprint
from tests.support.simulated import START

BLOCK = 300.0
ARRIVALS, OTHERS = np.cumsum(np.random.default_rng(4).poisson(5, (2, 72)), axis=1).astype(float)
NOISE = np.random.default_rng(5).normal(0, 0.3, 72)
STRAIGHT = 5.0 * np.arange(1, 73)
Levels = np.ndarray[Any, np.dtype[np.float64]]


def series(*levels: Levels) -> Series:
    """Return a series with these rows, of 72 blocks, as far as `in_step` reads it."""
    values = np.stack([np.stack(levels)] * (SQUARED_RISES + 1)).astype(np.float32)
    blocks = SimpleNamespace(values=values, scrapes=np.ones(values.shape[2], int))
    rows = {key(row): row for row in range(len(levels))}
    return cast("Series", SimpleNamespace(blocks=blocks, rows=rows, block_start=START, block=BLOCK))


def key(row: int) -> Fingerprint:
    """Return the fingerprint of a row."""
    return Fingerprint(f"{row:016x}")


def onset(blocks: int) -> float:
    """Return the time so many blocks before the end."""
    return START - blocks * BLOCK


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(ARRIVALS, True, id="equal"),
        pytest.param(ARRIVALS + 100, True, id="but for a constant"),
        pytest.param(2 * ARRIVALS, True, id="two of each"),
        pytest.param(ARRIVALS / 3, True, id="one in three"),
        pytest.param(4 * ARRIVALS, False, id="four of each"),
        pytest.param(1.5 * ARRIVALS, False, id="no small ratio"),
        pytest.param(ARRIVALS + NOISE, True, id="a little late"),
        pytest.param(OTHERS, False, id="another leak at the same rate"),
        pytest.param(STRAIGHT, False, id="a regular leak at the same rate"),
        pytest.param(ARRIVALS[::-1], False, id="one falls"),
        pytest.param(ARRIVALS / 50, False, id="little growth"),
        pytest.param(ARRIVALS * 0 + 7, False, id="constant"),
    ],
)
def test_in_step(other: Levels, *, expected: bool) -> None:
    """Two stacks are one leak if one level is a small multiple of the other, up to small differences."""
    pairs = in_step(series(ARRIVALS, other), {key(0): onset(80), key(1): onset(80)})
    assert pairs == {
        key(0): frozenset({key(1)} if expected else ()),
        key(1): frozenset({key(0)} if expected else ()),
    }


SMALL = 20 * ARRIVALS / np.ptp(ARRIVALS)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(SMALL, SMALL, True, id="twenty goroutines"),
        pytest.param(SMALL / 2, SMALL / 2, False, id="ten goroutines"),
        pytest.param(SMALL, 1.05 * SMALL, True, id="nearly equal"),
        pytest.param(SMALL, 1.15 * SMALL, False, id="not a small ratio"),
    ],
)
def test_small_growth(first: Levels, second: Levels, *, expected: bool) -> None:
    """Growth of less than 15 goroutines is not compared, and the ratio must be within 10 %."""
    pairs = in_step(series(first, second), {key(0): onset(80), key(1): onset(80)})
    assert (key(1) in pairs[key(0)]) is expected


@pytest.mark.parametrize(("blocks", "expected"), [(40, True), (11, True), (10, False)])
def test_stacks_are_compared_from_the_later_onset(blocks: int, *, expected: bool) -> None:
    """Levels before the later onset have no influence, but twelve blocks are needed after it."""
    late = np.where(np.arange(72) < 72 - blocks, 0, ARRIVALS - ARRIVALS[72 - blocks - 1])
    pairs = in_step(series(ARRIVALS, late), {key(0): onset(80), key(1): onset(blocks)})
    assert (key(1) in pairs[key(0)]) is expected


def test_of_many_leaks_few_are_compared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 leaks, and one in step with the first, nearly all pairs are ruled out at once."""
    levels = np.cumsum(np.random.default_rng(4).poisson(10, (101, 72)), axis=1).astype(float)
    levels[100] = 2 * levels[0]
    compared = []
    are_in_step = correlation._are_in_step

    def count(x: Any, y: Any) -> bool:
        compared.append((x, y))
        return are_in_step(x, y)

    monkeypatch.setattr(correlation, "_are_in_step", count)
    pairs = in_step(series(*levels), {key(row): onset(60) for row in range(101)})
    assert [(int(one, 16), int(other, 16)) for one in pairs for other in pairs[one]] == [(0, 100), (100, 0)]
    assert len(compared) < 101 * 100 / 2 / 10


def test_of_very_many_leaks_the_fastest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to compare all pairs stays bounded; stacks beyond the limit are in step with none."""
    monkeypatch.setattr(correlation, "MOST_COMPARED", 3)
    levels = [ARRIVALS, 2 * ARRIVALS, 3 * ARRIVALS, ARRIVALS / 2]
    pairs = in_step(series(*levels), {key(row): onset(80) for row in range(4)})
    assert {one for one in pairs if pairs[one]} == {key(0), key(1), key(2)}
