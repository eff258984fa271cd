"""The history of a target: blocks and hours, gaps, lifetimes, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.detect.columns import BRIEF, FALLS, FLOOR, MEAN, RISES, SQUARED_RISES
from leakwatch.detect.history import History
from tests.support.simulated import samples, stack


def feed(history: History, counts: list[int], step: float = 15.0, start: float = 0.0) -> None:
    """Record the counts of stack `a`, one per step."""
    for i, count in enumerate(counts):
        history.record(start + i * step, samples({"a": count}))


def newest(history: History, quantity: int, name: str = "a") -> float:
    """Return a quantity of a stack in the newest closed block."""
    return float(history.blocks.values[quantity, history.rows[stack(name, f"main.go{name}").fingerprint], -1])


def test_a_block() -> None:
    """A closed block has mean and floor of its scrapes, and the sums of falls, rises and squared rises."""
    history = History(75.0)
    feed(history, [4, 6, 3, 3, 9, 1])
    assert history.closed == 1
    assert newest(history, MEAN) == 5.0
    assert newest(history, FLOOR) == 3.0
    assert newest(history, FALLS) == 3.0
    assert newest(history, RISES) == 8.0
    assert newest(history, SQUARED_RISES) == 40.0


def test_a_missed_scrape_is_a_gap() -> None:
    """A block without a scrape is a gap, not zeros, and the step across it does not enter the turnover."""
    history = History(75.0)
    feed(history, [7] * 20)
    feed(history, [7] * 20, start=900.0)
    assert (history.blocks.scrapes == 0).sum() >= 7
    assert history.blocks.values[MEAN, 0][history.blocks.scrapes > 0].tolist() == [7.0] * 7
    assert history.blocks.regular[history.blocks.scrapes > 0].min() == 4


def test_a_stack_that_appears_was_zero_before() -> None:
    """The counts of a new row are zero in all earlier scrapes, also within the open block."""
    history = History(75.0)
    for i in range(8):
        history.record(i * 15.0, samples({"a": 1}))
    for i in range(8, 11):
        history.record(i * 15.0, samples({"a": 1, "b": 10}))
    assert newest(history, FLOOR, "b") == 0.0
    assert newest(history, MEAN, "b") == 4.0
    assert newest(history, RISES, "b") == 10.0


def test_a_scrape_that_is_not_later_is_ignored() -> None:
    """A clock that steps back, or a scrape that is recorded twice, changes nothing."""
    history = History(75.0)
    feed(history, [5, 5, 5])
    history.record(30.0, samples({"a": 500}))
    history.record(-100.0, samples({"a": 500}))
    assert history.last.max() == 5


def test_hours_and_the_known_drop() -> None:
    """Twelve blocks make an hour; the known drop is the largest fall of the hourly floor, and decays."""
    history = History(75.0)
    hour = 60
    feed(history, [100] * hour + [20] * 41 * hour)
    assert history.hours.values[MEAN, 0, -1] == 20.0
    assert (history.hours.scrapes > 0).all()
    assert 60 < history.known_drop[BRIEF, 0] < 80


def test_a_restart_clears_counts_but_not_the_known_drop() -> None:
    """A new lifetime has no blocks, but rows and known drops stay."""
    history = History(75.0)
    feed(history, [100] * 60 + [20] * 120)
    drop = float(history.known_drop[BRIEF, 0])
    history.restart()
    assert history.blocks.scrapes.sum() == history.hours.scrapes.sum() == 0
    assert float(history.known_drop[BRIEF, 0]) == drop > 0
    feed(history, [1] * 6, start=1e6)
    assert newest(history, MEAN) == 1.0


def test_doubled_blocks_are_merged_pairs() -> None:
    """When the block doubles, two blocks become one, with mean, floor and sums of both."""
    history = History(75.0)
    feed(history, [4, 6, 3, 3, 9] + [10, 10, 12, 10, 8] + [10] * 5 * 22 + [0])
    before = history.blocks.values[:, 0, -24:].copy()
    assert history.fit(30.0)
    after = history.blocks.values[:, 0]
    assert after[MEAN, -12] == pytest.approx((before[MEAN, 0] + before[MEAN, 1]) / 2)
    assert after[FLOOR, -12] == 3.0
    assert after[RISES, -12] == before[RISES, 0] + before[RISES, 1]
    assert history.blocks.scrapes.tolist() == [0] * 12 + [10] * 12
    assert history.closed == 12
    feed(history, [10] * 20, start=5000.0)
    assert newest(history, MEAN) == 10.0
    history.shrink()
    assert history.block == 75.0


def test_a_large_stack_takes_the_row_of_a_small_one() -> None:
    """A leak that begins when all rows are taken gets a row as soon as it is large; protected stacks stay."""
    history = History(75.0, series_limit=10)
    small = {f"s{i}": 1 for i in range(10)}
    history.record(0.0, samples(small))
    protected = [stack("s0", "main.gos0").fingerprint]
    for i in range(1, 20):
        history.record(i * 15.0, samples(small | {"leak": i}), protected)
    assert stack("leak", "main.goleak").fingerprint in history.rows
    assert stack("s0", "main.gos0").fingerprint in history.rows
    assert history.folded == 1
    history.record(600.0, samples({"s1": 500, "new": 1}), protected)
    assert history.last.max() == 500


def test_a_slow_target_gets_a_longer_block() -> None:
    """The block doubles until it holds five scrapes; faster targets keep their block."""
    history = History(300.0)
    assert not history.fit(60.0)
    assert history.fit(100.0)
    assert history.block == 600.0
    assert not history.fit(15.0)


def test_bounded_rows() -> None:
    """With more stacks than rows the smallest are summed up, and rows of empty stacks are used again."""
    history = History(75.0, series_limit=10)
    history.record(0.0, samples({f"s{i}": i + 1 for i in range(100)}))
    assert len(history.rows) == 10
    assert history.last.sum() == sum(range(91, 101))
    assert history.folded == sum(range(1, 91))
    assert history.folded_stacks == 90
    history.record(15.0, samples({"new": 7}))
    history.record(30.0, samples({"new": 7, **{f"t{i}": 1 for i in range(30)}}))
    assert history.last.sum() == 7 + 9
    assert history.folded == 21
    assert len(history.stacks) == 10


def test_memory_per_series() -> None:
    """A series costs at most 2 KiB."""
    history = History(300.0)
    history.record(0.0, samples({f"s{i}": 1 for i in range(1000)}))
    arrays = (history.blocks.values, history.hours.values, history.known_drop, history.last, history.origins)
    inner = (
        history._table._last_seen,
        history.open_block._sums,
        history.past_lifetimes.ceilings,
        history.past_lifetimes.leaked,
    )
    assert sum(array.nbytes for array in arrays + inner) <= 2048 * 1000


@given(st.lists(st.tuples(st.floats(0, 5000), st.integers(0, 10**6)), max_size=200))
def test_any_times_and_counts(scrapes: list[tuple[float, int]]) -> None:
    """For any times and counts, columns stay finite, and the latest count is that of the latest scrape."""
    history = History(75.0)
    time, latest, last = 0.0, -1.0, 0
    for step, count in scrapes:
        time += step
        if time > latest:
            latest, last = time, count
        history.record(time, samples({"a": count, "b": count // 2}))
    assert np.isfinite(history.blocks.values).all()
    assert np.isfinite(history.hours.values).all()
    assert max(history.last, default=0) == last


def test_turnover_at_another_interval_is_not_compared() -> None:
    """Four times as many leave in a minute as in 15 s, so after a change of the interval turnover is unknown."""
    history = History(300.0)
    feed(history, [20] * 4 * 240)  # four hours at 15 s
    assert (history.hours.regular > 0).sum() == 3
    feed(history, [20] * 30, step=60.0, start=4 * 3600.0)
    assert (history.blocks.regular > 0).sum() == 3
    feed(history, [20] * 210, step=60.0, start=4.5 * 3600.0)
    assert (history.blocks.regular > 0).all()  # after two hours it is known again
