"""The open block: the sums of its scrapes, and the turnover from their moments."""

import numpy as np
import pytest

from leakwatch.detect.columns import FALLS, FLOOR, MEAN, RISES, SQUARED_RISES, TURNOVER
from leakwatch.detect.open_block import BATCH, OpenBlock
from leakwatch.detect.plain import PlainWriter, SharedValues

STEP = 15.0


def filled(counts: list[float], steps: list[float] | None = None) -> OpenBlock:
    """Return a block with one row and a scrape for each of `counts`; the first is not preceded by a scrape."""
    block = OpenBlock()
    block.resize(1)
    block.begin(0.0)
    last = np.zeros(1)
    for count, step in zip(counts, steps or [0.0, *[STEP] * (len(counts) - 1)], strict=True):
        block.add(np.array([count]), last, step)
        last = np.array([count])
    return block


def column(block: OpenBlock) -> list[float]:
    """Return the column of the only row."""
    values = block.column()
    assert values is not None
    return [float(value) for value in values[:, 0]]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param([5, 5, 5, 5, 5], (5, 5, 0, 0, 0, 0), id="constant"),
        pytest.param([4, 6, 3, 3, 9], (5, 3, 4.71875, 3, 8, 40), id="mixed"),
        pytest.param([0, 1, 2, 3, 4], (2, 0, 0, 0, 4, 4), id="leak"),
        pytest.param([9, 6, 3, 0, 0], (3.6, 0, 1.96875, 9, 0, 0), id="falls"),
        pytest.param([0, 10, 0, 10, 0], (4, 0, 50, 20, 20, 200), id="in and out"),
        pytest.param([7], (7, 7, 0, 0, 0, 0), id="one scrape"),
    ],
)
def test_a_column(counts: list[float], expected: tuple[float, ...]) -> None:
    """A column has mean, floor, turnover, falls, rises and squared rises of the counts."""
    assert tuple(range(6)) == (MEAN, FLOOR, TURNOVER, FALLS, RISES, SQUARED_RISES)
    assert column(filled(counts)) == pytest.approx(list(expected))


@pytest.mark.parametrize(("leaving", "growth"), [(0.0, 0.5), (2.0, 0.0), (5.0, 0.2)])
def test_turnover_is_departures_per_scrape(leaving: float, growth: float) -> None:
    """Turnover estimates how many goroutines leave per scrape, whatever the growth."""
    rng = np.random.default_rng(1)
    changes = rng.poisson(leaving + growth, 24_000) - rng.poisson(leaving, 24_000)
    counts = (100_000 + np.cumsum(changes)).tolist()
    assert column(filled(counts))[TURNOVER] == pytest.approx(leaving, abs=0.25)


def test_a_step_across_a_missed_scrape_has_no_turnover() -> None:
    """Rises and falls include a long step, the turnover does not."""
    block = filled([5, 5, 5, 25, 25], [0.0, STEP, STEP, 3 * STEP, STEP])
    assert (block.scrapes, block.regular, block.interval) == (5, 3, STEP)
    assert (column(block)[TURNOVER], column(block)[RISES]) == (0, 20)


def test_an_empty_block_has_no_column() -> None:
    """A block without scrapes is a gap."""
    assert OpenBlock().column() is None
    block = filled([5, 5])
    block.begin(300.0)
    assert (block.column(), block.scrapes, block.start) == (None, 0, 300.0)


def test_a_new_row_was_zero_in_earlier_scrapes() -> None:
    """The floor of a row that appears within a block is 0; at the beginning of a block it is its first count."""
    block = filled([5, 5])
    block.resize(2)
    block.add(np.array([5.0, 8.0]), np.array([5.0, 0.0]), STEP)
    values = block.column()
    assert values is not None
    assert values[FLOOR].tolist() == [5, 0]
    block.begin(0.0)
    block.add(np.array([5.0, 8.0]), np.array([5.0, 8.0]), STEP)
    values = block.column()
    assert values is not None
    assert values[FLOOR].tolist() == [5, 8]


def test_a_cleared_row_starts_again() -> None:
    """The sums of a row that gets another stack are zero."""
    block = filled([5, 9, 2])
    block.clear(0)
    assert column(block) == [0] * 6


def test_the_usual_interval_is_a_median() -> None:
    """Single late scrapes do not change the usual interval; it can be made unknown."""
    block = filled([1] * 6, [0.0, 15.0, 15.0, 60.0, 15.0, 15.0])
    assert block.interval == 15.0
    block.restart()
    assert block.interval == 0.0


@pytest.mark.parametrize("scrapes", [BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_scrapes_of_a_batch_count_like_single_ones(scrapes: int) -> None:
    """The column does not depend on when the scrapes were added to the sums, also if rows are added meanwhile."""
    generator = np.random.default_rng(scrapes)
    counts = generator.integers(0, 50, (scrapes, 2)).astype(float)
    batched, single = OpenBlock(), OpenBlock()
    last = np.zeros(0)
    for i, count in enumerate(counts):
        rows = 1 if i < scrapes // 2 else 2
        for block in (batched, single):
            if rows > len(last):
                block.resize(rows)
            block.add(count[:rows], np.pad(last, (0, rows - len(last))), 10.0 if i else 0.0)
        single.to_plain(PlainWriter(SharedValues()))  # adds the batch to the sums
        last = count[:rows]
    np.testing.assert_array_equal(batched.column(), single.column())
