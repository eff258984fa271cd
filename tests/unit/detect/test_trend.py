"""Trends: rate, band and onset of growth."""

from itertools import combinations
from statistics import median

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leakwatch.detect.columns import FLOOR
from leakwatch.detect.history import History
from leakwatch.detect.trend import all_points, block_points, find_onset, growth_since, slopes, theil_sen
from leakwatch.model import NO_GROWTH
from tests.support.blocks import BLOCK, line, record
from tests.support.simulated import START

TIMES = np.arange(20.0)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=24))
def test_the_rate_is_the_median_slope(points: list[tuple[int, int]]) -> None:
    """Theil-Sen is the median of the slopes between all pairs of points, within its band."""
    points = sorted(dict(points).items())
    assume(len(points) >= 2)
    growth = theil_sen(np.array([float(t) for t, _ in points]), np.array([float(y) for _, y in points]))
    expected = median((y - x) / (t - s) for (s, x), (t, y) in combinations(points, 2))
    assert growth.rate == pytest.approx(expected)
    assert growth.low <= growth.rate <= growth.high


def test_the_band_is_sens() -> None:
    """The band of eight points leaves out the slopes that Kendall's S of noise reaches one time in ten.

    Sen (1968): 28 slopes, C = 1.2816 sqrt(8 7 21 / 18) = 10.36, so the 9th and the 20th of the slopes.
    """
    levels = np.array([0.0, 2, 1, 5, 3, 8, 6, 9])
    times = np.arange(8.0)
    ordered = sorted((levels[j] - levels[i]) / (j - i) for i, j in combinations(range(8), 2))
    growth = theil_sen(times, levels)
    assert (growth.low, growth.high) == (ordered[8], ordered[19])


def test_an_outlier_does_not_move_the_rate() -> None:
    """One absurd point does not move the median slope."""
    levels = 3 * TIMES
    levels[7] = 1e6
    growth = theil_sen(TIMES, levels)
    assert growth.rate == pytest.approx(3)
    assert growth.low <= 3 <= growth.high


@pytest.mark.parametrize(
    ("levels", "onset", "rate"),
    [
        pytest.param(np.maximum(TIMES - 10, 0) * 5, 10.0, 5.0, id="since the onset"),
        pytest.param(np.maximum(TIMES - 10, 0) * 5, 18.0, 2.2475, id="too few points since the onset"),
        pytest.param(TIMES // 14 * 20, 0.0, 840 / 665, id="a staircase"),
        pytest.param(TIMES * 0 + 7, 0.0, 0.0, id="constant"),
        pytest.param(-2 * TIMES, 0.0, -2.0, id="falls"),
    ],
)
def test_growth_since(levels: np.ndarray[tuple[int], np.dtype[np.float64]], onset: float, rate: float) -> None:
    """The rate is over the points since the onset; of a staircase it is the least-squares slope."""
    growth = growth_since(TIMES, levels, onset)
    assert growth.rate == pytest.approx(rate, rel=1e-3)
    assert growth.low <= growth.rate <= growth.high


def test_one_point_does_not_grow() -> None:
    """A single point has no rate."""
    assert growth_since(TIMES[:1], TIMES[:1], 0.0) == NO_GROWTH


def test_the_band_is_as_wide_as_random_arrivals() -> None:
    """A perfectly straight line of 100 goroutines has the band of 100 random arrivals."""
    growth = growth_since(TIMES, TIMES * 100 / 19, 0.0)
    assert growth.high - growth.rate == pytest.approx(1.2816 * 10 / 19)
    assert growth.rate - growth.low == pytest.approx(1.2816 * 10 / 19)


@pytest.mark.parametrize(
    ("levels", "onset"),
    [
        pytest.param(np.maximum(TIMES - 12, 0) * 5, 12.0, id="flat, then straight"),
        pytest.param(TIMES * 2, 0.0, id="straight"),
        pytest.param(TIMES * 0 + 7, 0.0, id="flat"),
        pytest.param(-TIMES, 0.0, id="falls"),
        pytest.param(TIMES[:3], 0.0, id="too few points"),
    ],
)
def test_the_onset_is_the_knee(levels: np.ndarray[tuple[int], np.dtype[np.float64]], onset: float) -> None:
    """The growth begins at the knee of the best line that is flat first and straight after."""
    assert find_onset(TIMES[: len(levels)], levels) == onset


def test_points_of_a_series() -> None:
    """Blocks have the times of their middles; older hours come before them; gaps have no points."""
    history = History(BLOCK)
    end = record(history, {"a": line(0, 5, 48)})
    times, levels = block_points(history, 0)
    assert times.tolist() == [end - (i + 0.5) * BLOCK for i in reversed(range(24))]
    assert levels.tolist() == [5 * i + 2 for i in range(24, 48)]
    times, floors = all_points(history, 0, FLOOR)
    assert times[:2].tolist() == [START + 6 * BLOCK, START + 18 * BLOCK]
    assert floors[:3].tolist() == [0, 60, 120]
    assert len(times) == 26
    history.blocks.scrapes[0] = 0
    assert len(block_points(history, 0)[0]) == 23


@pytest.mark.parametrize(("blocks", "expected"), [(3, (0, 0)), (4, (5, -5)), (24, (5, -5))])
def test_slopes(blocks: int, expected: tuple[float, float]) -> None:
    """The least-squares slope of each row over the blocks, per second; 0 with fewer than four blocks."""
    history = History(BLOCK)
    record(history, {"a": line(1, 5, blocks), "b": line(500, -5, blocks)})
    assert slopes(history, [0, 1]) * BLOCK == pytest.approx(expected)
    assert len(slopes(history)) == len(history.stacks)
