"""Lower bounds of the age of goroutines."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakwatch.detect.history import History
from leakwatch.detect.min_age import Lows, lows, older
from tests.support.blocks import BLOCK, Counts, curve, line, record
from tests.support.simulated import INTERVAL, START, samples, stack


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(line(3, 0, 24), {2: 3, 12: 3}, id="constant"),
        pytest.param(line(3, 5, 24), {2: 108, 12: 58}, id="leak"),
        pytest.param(curve([3] * 5 + [50] * 20), {2: 50, 12: 50}, id="a step"),
        pytest.param(curve([50] * 20 + [3, 50, 50, 50, 50]), {2: 50, 12: 3}, id="a dip"),
        pytest.param(line(3, 5, 6), {2: 18}, id="a short history"),
        pytest.param(line(3, 5, 84), {2: 408, 12: 358, 72: 3}, id="hours"),
    ],
)
def test_lows(counts: Counts, expected: Mapping[int, float]) -> None:
    """The lowest floor within each span of blocks, as far as the history reaches."""
    history = History(BLOCK)
    record(history, {"a": counts})
    found = lows(history, 0)
    assert found == Lows(counts[0], {blocks * BLOCK: floor for blocks, floor in expected.items()})


@pytest.mark.parametrize(
    ("count", "usual", "expected"),
    [
        pytest.param(60, 0.0, {600.0: 50, 3600.0: 20}, id="all stay"),
        pytest.param(60, 15.0, {600.0: 35, 3600.0: 5}, id="some come and go"),
        pytest.param(60, 30.0, {600.0: 20}, id="as many as an hour ago"),
        pytest.param(12, 0.0, {600.0: 12, 3600.0: 12}, id="fewer now"),
        pytest.param(60, math.nan, {600.0: 40, 3600.0: 10}, id="unknown"),
    ],
)
def test_older(count: int, usual: float, expected: Mapping[float, int]) -> None:
    """As many goroutines are older as the count never fell below, less those that come and go."""
    assert older(Lows(10.0, {600.0: 50.0, 3600.0: 20.0}), count, usual) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), min_size=1, max_size=60),
    st.integers(0, 20),
)
def test_bounds_are_true(ends: list[tuple[int, int]], pool: int) -> None:
    """The bounds never exceed the number of goroutines that are so old.

    `ends`: kinds 0 and 1 never end, 2 and 3 end after so many scrapes; `pool` come and go at every scrape.
    """
    born = [(kind, i * 7, lifetime) for i, (kind, lifetime) in enumerate(ends)]
    history = History(300.0)
    last = 400
    for i in range(last + 1):
        alive = [start for kind, start, lifetime in born if start <= i and (kind < 2 or i < start + lifetime)]
        history.record(START + i * INTERVAL, samples({"lost": len(alive) + pool, "x": 1}))
    row = history.rows[stack("lost", "main.golost").fingerprint]
    for seconds, goroutines in older(lows(history, row), int(history.last[row]), float(pool)).items():
        since = last - seconds / INTERVAL
        true = sum(start <= since and (kind < 2 or last < start + lifetime) for kind, start, lifetime in born)
        assert goroutines <= sum(start <= since for _, start, _ in born)
        if all(kind < 2 for kind, _, _ in born):
            assert goroutines <= true
