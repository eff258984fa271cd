"""The past of a stack: what is worth an export, and how another history continues with it."""

import numpy as np
import pytest

from leakwatch.detect.history import History
from leakwatch.detect.past import PastLeak, StackPast, past_of, reopened, take_over
from leakwatch.model import Verdict
from tests.support.simulated import START, samples, stack

BLOCK = 300.0
POOL = stack("pool").fingerprint


def history(level: int = 20, rise: float = 0.0, hours: float = 6.0) -> History:
    """Return a history of one stack with a count of `level`, which rises by `rise` an hour."""
    result = History(BLOCK)
    for minute in range(int(hours * 60) + 1):
        result.record(START + minute * 60, samples({"pool": level + int(rise * minute / 60)}, "main.main"))
    return result


@pytest.mark.parametrize(
    ("drops", "expected"),
    [
        pytest.param((30, 20), (30, 20), id="both"),
        pytest.param((9, 5), (0, 5), id="a brief one that is too small"),
        pytest.param((10, 3), (10, 0), id="a lasting one that is too small"),
    ],
)
def test_small_known_drops_are_left_out(drops: tuple[float, float], expected: tuple[float, float]) -> None:
    """A known drop that no window compares growth with is not part of the past."""
    known = history()
    known.known_drop[:, known.rows[POOL]] = drops
    assert past_of(known) == {POOL: StackPast(expected, (0, 0, 0))}


def test_stacks_without_a_past_are_left_out() -> None:
    """A stack that never fell and had no ceiling has no past."""
    assert past_of(history()) == {}


def test_the_larger_value_stays() -> None:
    """A history continues with the larger of its own values and those of the past, stack by stack."""
    known = history()
    row = known.rows[POOL]
    known.known_drop[:, row] = 30, 20
    known.past_lifetimes.ceilings[:, row] = 0, 90, 0
    take_over(
        known, {POOL: StackPast((40, 10), (0, 80, 70)), stack("unknown").fingerprint: StackPast((1, 1), (0, 0, 0))}
    )
    assert past_of(known) == {POOL: StackPast((40, 20), (0, 90, 70))}


def test_the_maximum_of_two() -> None:
    """The past of two targets is the larger value of each kind."""
    one, two = StackPast((30, 4), (0, 90, 0)), StackPast((20, 8), (70, 80, 0))
    assert one.maximum(two) == two.maximum(one) == StackPast((30, 8), (70, 90, 0))


def leak(rate: float, first_seen: float | None) -> PastLeak:
    """Return a leak as it was reported."""
    return PastLeak(verdict=Verdict.LEAKING, rate=rate, first_seen=first_seen, detected_at=None)


def test_a_leak_that_is_older_than_the_history() -> None:
    """Its level before the growth is unknown and counts as 0, and it rose last when its floor was highest."""
    known = history(level=400)
    case = reopened(known, known.rows[POOL], leak(0.5, START - 86400))
    assert (case.first_onset, case.onset_floor, case.floor, case.peak) == (START - 86400, 0, 400, 400)
    assert case.last_growth.rate == 0.5
    assert 0 <= case.peak_block <= 12  # the first hour


def test_a_leak_that_began_within_the_history() -> None:
    """Its level before is the floor at that time, and its rate is that of the counts if none was reported."""
    known = history(level=10, rise=60)
    case = reopened(known, known.rows[POOL], leak(0.0, START + 3600))
    assert 10 <= case.onset_floor <= 70
    assert case.last_growth.rate == pytest.approx(60 / 3600, rel=0.1)
    assert case.peak_block >= known.closed - 1


def test_a_leak_without_a_date() -> None:
    """A leak of unknown age begins with the history."""
    known = history()
    case = reopened(known, known.rows[POOL], leak(0.1, None))
    assert START <= case.first_onset <= START + 3600
    assert np.isfinite(case.onset_floor)
