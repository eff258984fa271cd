"""Tests of the quarters of a window."""

import numpy as np
import pytest

from leakwatch.detect.quarters import growing_rows, quarter_columns, relative_error, summarise
from leakwatch.detect.windows import C2, P2
from tests.support.blocks import floats, line, recorded


def test_few_scrapes_disable_c_windows() -> None:
    """With fewer than three steps in each block, or in most, there is no turnover to compare."""
    history = recorded(line(20, 5, 24), 10)
    for regular, judged in [([4, 4], True), ([3, 3], True), ([2, 2], False), ([5, 0], True), ([3, 0], False)]:
        history.blocks.regular[:] = regular * 12
        assert (quarter_columns(history.blocks, C2) is not None) is judged
        assert quarter_columns(history.blocks, P2) is not None
    assert quarter_columns(history.blocks, P2) is not None


@pytest.mark.parametrize(
    ("gaps", "judged"),
    [
        pytest.param((), True, id="no gap"),
        pytest.param((0, 1), True, id="most of the first quarter"),
        pytest.param((0, 1, 2), False, id="half of the first quarter"),
        pytest.param((9, 10, 11), True, id="half of a quarter is bridged"),
        pytest.param((8, 9, 10, 11), False, id="most of a quarter"),
        pytest.param((23,), False, id="the newest block"),
    ],
)
def test_each_quarter_needs_half_of_its_blocks(gaps: tuple[int, ...], judged: bool) -> None:
    """A window is scored if half of the blocks of each quarter were scraped, and most of the first one."""
    history = recorded(line(3, 5, 24))
    history.blocks.scrapes[list(gaps)] = 0
    assert (quarter_columns(history.blocks, P2) is not None) is judged


def test_the_relative_error_is_robust() -> None:
    """One outlier does not change the error; constant values have none."""
    values = floats([[10, 11, 9, 10, 11, 9], [10, 11, 9, 10, 11, 40], [7, 7, 7, 7, 7, 7]])
    errors = relative_error(values)
    assert errors[0] == pytest.approx(1.25 * 1.4826 * 1 / 10 / 6**0.5)
    assert errors[1] < errors[0]
    assert errors[2] == 0


def test_quarters_are_summed_up() -> None:
    """Count, floor and sums of a window come from the columns of its quarters."""
    history = recorded(line(10, 5, 24))
    indices = quarter_columns(history.blocks, P2)
    assert indices is not None
    row = summarise(history.blocks, np.array([0]), indices)
    assert row.growth[0] == 90
    assert row.count[0].tolist() == [10 + 2 + 5 * middle for middle in (2.5, 8.5, 14.5, 20.5)]
    assert row.floor[0].tolist() == [10, 40, 70, 100]
    assert (row.falls[0], row.rises[0], row.squared_rises[0]) == (0, 119, 119)
    assert growing_rows(history.blocks, indices, 115).tolist() == [0]
    assert growing_rows(history.blocks, indices, 116).tolist() == []
