"""Past lifetimes: which growth has a ceiling, and which is like that of a leak."""

import numpy as np
import pytest

from leakwatch.detect.columns import FLOOR
from leakwatch.detect.history import History
from leakwatch.detect.lifetimes import PastLifetimes, hourly_floors, shapes
from tests.support.blocks import BLOCK, HOUR, floats, line, record


@pytest.mark.parametrize(
    ("floors", "ceiling", "leaked"),
    [
        pytest.param([0, 20, 40, 60, 80, 100], 0, True, id="straight"),
        pytest.param([0, 40, 80, 100, 100, 100], 100, False, id="plateau"),
        pytest.param([0, 30, 55, 75, 90, 100], 0, True, id="slows down a little"),
        pytest.param([0, 20, 40, 60, 80, 20], 80, False, id="falls back"),
        pytest.param([0, 20, 40, 60, 80, 75], 0, False, id="falls a little"),
        pytest.param([0, 80, 100, 20, 40, 60], 100, True, id="falls back, then rises"),
        pytest.param([5, 5, 5, 5, 5, 5], 0, False, id="constant"),
        pytest.param([0, 2, 4, 6, 6, 6], 0, False, id="small"),
        pytest.param([100, 110, 120, 120, 120, 120], 0, False, id="small against the count"),
        pytest.param([90, 70, 50, 30, 20, 10], 0, False, id="falls"),
        pytest.param([0, 0, 0, 0, 50, 100], 0, True, id="late"),
        pytest.param([0, 50, 100], 0, True, id="three hours"),
    ],
)
def test_shapes(floors: list[float], ceiling: float, *, leaked: bool) -> None:
    """A row that stopped rising or fell back has a ceiling; a row that rose until the end may be a leak."""
    ceilings, leaks = shapes(floats([floors]))
    assert (ceilings[0], leaks[0]) == (ceiling, leaked)


def past(*lifetimes: list[float]) -> PastLifetimes:
    """Return the past of one row after these lifetimes, given as hourly floors."""
    result = PastLifetimes()
    result.resize(1)
    for floors in lifetimes:
        result.set_current(floats([floors]))
        result.end_lifetime()
    return result


POOL, LARGE, LEAK = [0.0, 40, 80, 100, 100, 100], [0.0, 80, 160, 200, 200, 200], [0.0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize(
    ("lifetimes", "floor", "below"),
    [
        pytest.param([POOL], 100, True, id="at the ceiling"),
        pytest.param([POOL], 120, True, id="within the margin"),
        pytest.param([POOL], 121, False, id="above the margin"),
        pytest.param([LARGE, POOL, POOL], 200, True, id="the highest ceiling"),
        pytest.param([LARGE, POOL, POOL, POOL], 200, False, id="of three lifetimes"),
        pytest.param([LEAK], 50, False, id="a leak has no ceiling"),
        pytest.param([[0.0, 100]], 50, False, id="too short for a shape"),
        pytest.param([], 50, False, id="no past"),
    ],
)
def test_ceilings(lifetimes: list[list[float]], floor: float, *, below: bool) -> None:
    """A floor is below a ceiling up to 12 % and 8 goroutines above it."""
    assert past(*lifetimes).is_below_ceiling(np.array([0]), floats([floor])).tolist() == [below]


def test_only_the_last_lifetime_counts_as_leaked() -> None:
    """A leak in the lifetime before the last is not a reason for less evidence."""
    assert past(POOL, LEAK).leaked.tolist() == [True]
    assert past(LEAK, POOL).leaked.tolist() == [False]


def test_rows_are_taken_over_and_cleared() -> None:
    """A row that is taken over adds ceilings and leaks; a cleared row has no past."""
    past_lifetimes, other = past(POOL), past(LARGE, LEAK)
    past_lifetimes.take_over(0, other, 0)
    assert past_lifetimes.ceilings[:, 0].tolist() == [100, 200, 0]
    assert past_lifetimes.leaked.tolist() == [True]
    past_lifetimes.clear(0)
    assert not past_lifetimes.ceilings.any()
    assert not past_lifetimes.leaked.any()


@pytest.mark.parametrize(
    ("blocks", "floors"), [(24, [3, 15]), (29, [3, 15]), (30, [3, 15, 27]), (36, [3, 15, 27]), (5, []), (6, [3])]
)
def test_hourly_floors(blocks: int, floors: list[float]) -> None:
    """Complete hours have a floor, and an incomplete one after half of its blocks."""
    history = History(BLOCK)
    record(history, {"a": line(3, 1, blocks)})
    assert hourly_floors(history.blocks, history.hours, history.closed)[0].tolist() == floors


def test_a_restart_ends_a_lifetime() -> None:
    """A history records the shapes of a lifetime when it ends, or after 33 hours."""
    history = History(BLOCK)
    record(history, {"a": [*line(0, 5, 20)[:-1], *line(100, 0, 5 * HOUR)]})
    history.restart()
    assert history.past_lifetimes.ceilings[:, 0].tolist() == [100, 0, 0]
    assert history.hours.values[FLOOR].max() == 0
