"""Columns: what they hold, how hours are made of blocks, and the known drop."""

import numpy as np
import pytest

from leakwatch.detect.columns import (
    BLOCKS,
    BLOCKS_PER_HOUR,
    BRIEF,
    FALLS,
    FLOOR,
    HOURS,
    LASTING,
    MEAN,
    RISES,
    SQUARED_RISES,
    TURNOVER,
    Columns,
    hour_column,
    is_other_interval,
    trimmed_mean,
    update_known_drop,
)
from tests.support.blocks import floats


def columns(length: int, values: list[float], *, gaps: tuple[int, ...] = ()) -> Columns:
    """Return columns of one row; all quantities of the newest columns are `values`, with five scrapes each."""
    result = Columns(length)
    result.resize(1)
    for i, value in enumerate(values):
        gap = i in gaps
        result.push(None if gap else np.full((6, 1), value), 0 if gap else 5, 0 if gap else 4)
    return result


def test_the_newest_column_is_the_last() -> None:
    """A push drops the oldest column; a gap has no scrapes."""
    window = columns(3, [1, 2, 3, 4], gaps=(2,))
    assert window.scrapes.tolist() == [5, 0, 5]
    assert window.regular.tolist() == [4, 0, 4]


@pytest.mark.parametrize(
    ("gaps", "means", "has_level"),
    [
        pytest.param((), [1, 3, 5, 9], [True] * 4, id="no gap"),
        pytest.param((1, 2), [1, 11 / 3, 19 / 3, 9], [True] * 4, id="two blocks"),
        pytest.param((0,), [0, 3, 5, 9], [False, True, True, True], id="before the first scrape"),
        pytest.param((2, 3), [1, 3, 0, 0], [True, True, False, False], id="not ended yet"),
        pytest.param((0, 1, 2, 3), [0, 0, 0, 0], [False] * 4, id="never scraped"),
    ],
)
def test_a_gap_is_bridged(gaps: tuple[int, ...], means: list[float], has_level: list[bool]) -> None:
    """A gap between two scraped columns has the mean and floor of a straight line, and no falls or turnover."""
    window = columns(4, [1, 3, 5, 9], gaps=gaps)
    for quantity in (MEAN, FLOOR):
        assert window.values[quantity, 0].tolist() == pytest.approx(means)
    assert not window.values[TURNOVER:, 0, list(gaps)].any()
    assert window.has_level.tolist() == has_level


def test_the_turnover_of_columns_with_missed_scrapes() -> None:
    """A column counts by its steps; a column with fewer than three is left out."""
    window = Columns(4)
    window.resize(1)
    for turnover, regular in [(9.0, 2), (4.0, 5), (1.0, 3), (50.0, 0)]:
        window.push(np.full((6, 1), turnover), 5, regular)
    assert window.turnover(np.array([0]), np.arange(4)).tolist() == [pytest.approx((4 * 4 + 2 * 1) / 6)]
    assert window.turnover(np.array([0]), np.array([0, 3])).tolist() == [0]
    assert window.coverage.tolist() == pytest.approx([0, 1, 0.6, 0])


def test_a_new_row_was_zero() -> None:
    """More rows do not change the rows that are there."""
    window = columns(3, [1, 2, 3])
    window.resize(3)
    assert window.values[MEAN].tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("quantity", "merged"),
    [(MEAN, 3.0), (TURNOVER, 3.0), (FLOOR, 2.0), (FALLS, 6.0), (RISES, 6.0), (SQUARED_RISES, 6.0)],
)
def test_pairs_are_merged(quantity: int, merged: float) -> None:
    """Of two columns, means are averaged, the floor is the lower one, sums are added."""
    window = columns(4, [2, 4, 2, 4])
    window.merge_pairs(skip=0)
    assert window.values[quantity, 0].tolist() == [0, 0, merged, merged]
    assert window.scrapes.tolist() == [0, 0, 10, 10]


def test_a_gap_does_not_lower_the_floor_of_a_pair() -> None:
    """A column that is merged with a gap keeps its mean and its floor."""
    window = columns(4, [2, 4, 6, 8], gaps=(0, 3))
    window.merge_pairs(skip=0)
    assert window.values[MEAN, 0].tolist() == window.values[FLOOR, 0].tolist() == [0, 0, 4, 6]


def test_the_newest_columns_may_be_skipped() -> None:
    """An odd column out is dropped before the others are merged."""
    window = columns(4, [1, 3, 5, 100])
    window.merge_pairs(skip=1)
    assert window.values[MEAN, 0].tolist() == [0, 0, 0, 4]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [(15, 30, False), (15, 60, True), (60, 15, True), (0, 60, False), (60, 0, False)]
)
def test_intervals_that_differ_much(old: float, new: float, expected: bool) -> None:
    """Turnover is compared between intervals that differ by less than a factor of 2.5, or are unknown."""
    assert is_other_interval(old, new) is expected


def test_a_trimmed_mean_ignores_the_extremes() -> None:
    """A sixth of the weight at both ends is left out; of fewer than six columns, nothing is."""
    rows, weights = floats([[100, 1, 2, 3, 4, -100], [1, 2, 3, 4, 5, 6]]), np.ones(6, np.float32)
    assert trimmed_mean(rows, weights).tolist() == pytest.approx([2.5, 3.5])
    assert trimmed_mean(rows[:, :5], weights[:5]).tolist() == pytest.approx([22, 3])
    assert trimmed_mean(rows[:1], floats([2, 1, 1, 1, 1, 0])).tolist() == pytest.approx([109 / 4])


def test_an_hour_is_made_of_twelve_blocks() -> None:
    """An hour has the median of the means, the lowest floor, and the sums of rises and falls."""
    hour = hour_column(columns(BLOCKS, [100.0] * BLOCKS_PER_HOUR + [float(i) for i in range(BLOCKS_PER_HOUR)]))
    assert hour is not None
    column, scrapes, regular = hour
    assert (column[MEAN, 0], column[FLOOR, 0], column[FALLS, 0]) == (5.5, 0, 66)
    assert column[TURNOVER, 0] == pytest.approx(5.5)
    assert (scrapes, regular) == (5, 4)


def test_an_hour_with_missed_scrapes() -> None:
    """A block with missed scrapes does not hide the turnover of its hour; an hour has the steps of all blocks."""
    blocks = columns(BLOCKS, [6.0] * BLOCKS)
    blocks.scrapes[-2:], blocks.regular[-2:] = 2, 1
    blocks.values[TURNOVER, 0, -2:] = 99
    hour = hour_column(blocks)
    assert hour is not None
    column, scrapes, regular = hour
    assert column[TURNOVER, 0] == pytest.approx(6)
    assert (scrapes, regular) == (4, 3)  # 54 scrapes and 42 steps in 12 blocks


@pytest.mark.parametrize(("gaps", "known"), [(6, True), (7, False)])
def test_an_hour_needs_half_of_its_blocks(gaps: int, known: bool) -> None:
    """An hour with more gaps than blocks is a gap."""
    blocks = columns(BLOCKS, [5.0] * BLOCKS, gaps=tuple(range(BLOCKS - gaps, BLOCKS)))
    assert (hour_column(blocks) is not None) is known


@pytest.mark.parametrize(
    ("floors", "brief", "lasting"),
    [
        pytest.param([10, 10, 10, 10, 10, 10], 0, 0, id="constant"),
        pytest.param([10, 20, 30, 40, 50, 60], 0, 0, id="rises"),
        pytest.param([10, 90, 10, 10, 10, 10], 80, 0, id="an incident of an hour"),
        pytest.param([90, 90, 90, 90, 10, 10], 80, 80, id="four hours"),
        pytest.param([90, 90, 90, 60, 10, 10], 80, 50, id="three hours, then less"),
        pytest.param([90, 10], 80, 0, id="too short to last"),
    ],
)
def test_the_known_drop(floors: list[float], brief: float, lasting: float) -> None:
    """A known drop is the fall from the highest floor to the newest: of any hour, and of a level held for four."""
    drop = update_known_drop(np.zeros((2, 1), np.float32), columns(HOURS, floors))
    assert (drop[BRIEF, 0], drop[LASTING, 0]) == (brief, lasting)


def test_the_known_drop_decays() -> None:
    """After three days without a fall, half of the known drop is left."""
    drop = np.full((2, 1), 80, np.float32)
    hours = columns(HOURS, [10.0] * HOURS)
    for _ in range(72):
        drop = update_known_drop(drop, hours)
    assert drop[BRIEF, 0] == pytest.approx(40, rel=1e-3)


def test_clearing() -> None:
    """Turnover can be made unknown alone; a cleared window has gaps only."""
    window = columns(3, [1, 2, 3])
    window.clear_turnover()
    assert window.regular.tolist() == [0, 0, 0]
    assert window.scrapes.tolist() == [5, 5, 5]
    window.clear()
    assert window.values.any() == window.scrapes.any() == False  # noqa: E712  numpy's False
