"""Members of a pool: their hours, and which steps between hours count."""

import numpy as np
import pytest

from leakwatch.detect.history import History
from leakwatch.detect.pool_member import PoolMember
from tests.support.blocks import BLOCK


def hours(uptimes: list[float], lifetimes: list[int]) -> PoolMember:
    """Return a member with these latest hours."""
    member = PoolMember(History(BLOCK), 1)
    member.uptimes[-len(uptimes) :] = uptimes
    member.lifetimes[-len(lifetimes) :] = lifetimes
    return member


@pytest.mark.parametrize(
    ("uptimes", "lifetimes", "valid"),
    [
        pytest.param([1, 2, 3, 4], [0, 0, 0, 0], [False, False, True, True], id="after the first hour"),
        pytest.param([8, 9, 1, 2, 3], [0, 0, 1, 1, 1], [False, True, False, False, True], id="a restart"),
        pytest.param([8, 9, 0.5, 1.5], [0, 0, 1, 1], [False, True, False, False], id="a restart within an hour"),
        pytest.param([8, 0, 10, 11], [0, 0, 0, 0], [False, False, False, True], id="a gap"),
        pytest.param([8, 9, 5, 6], [0, 0, 3, 3], [False, True, False, True], id="another lifetime"),
    ],
)
def test_valid_steps(uptimes: list[float], lifetimes: list[int], valid: list[bool]) -> None:
    """A step counts within one lifetime, after its first hour, between hours that were scraped."""
    assert hours(uptimes, lifetimes).valid_steps()[-len(valid) :].tolist() == valid


def test_valid_steps_of_the_latest_hours() -> None:
    """The number of hours can be limited."""
    member = hours([float(i) for i in range(5, 15)], [0] * 10)
    assert [int(member.valid_steps(limit).sum()) for limit in (0, 3, 9, 34)] == [0, 3, 9, 9]


def test_an_hour_is_pushed() -> None:
    """An hour has mean and floor in the rows of the pool, the uptime and the lifetime; a gap has zeros."""
    member = PoolMember(History(BLOCK), 3)
    member.history.closed, member.history.lifetime = 30, 2
    member.pool_rows = np.array([2, 0])
    column = np.zeros((6, 2))
    column[0], column[1] = [10, 20], [5, 15]
    member.push(column, BLOCK)
    assert member.means[:, -1].tolist() == [20, 0, 10]
    assert member.floors[:, -1].tolist() == [15, 0, 5]
    assert (member.uptimes[-1], member.lifetimes[-1]) == (2.5, 2)
    member.push(None, BLOCK)
    assert member.means[:, -2:].tolist() == [[20, 0], [0, 0], [10, 0]]
    assert (member.uptimes[-1], member.lifetimes[-1]) == (0, 0)


@pytest.mark.parametrize(
    ("lifetime", "means", "valid"),
    [
        pytest.param(0, [10, 20, 30, 40], [True, True, True], id="within a lifetime"),
        pytest.param(1, [10, 0, 0, 40], [False, False, False], id="over a restart"),
    ],
)
def test_a_gap_is_bridged(lifetime: int, means: list[float], valid: list[bool]) -> None:
    """The hours of a gap within a lifetime are on a straight line between the hours beside it."""
    member = PoolMember(History(BLOCK), 1)
    member.pool_rows = np.array([0])
    for level, closed in [(10.0, 48), (None, 60), (None, 72), (40.0, 84)]:
        member.history.closed = closed
        member.history.lifetime = lifetime if closed == 84 else 0
        member.push(None if level is None else np.full((6, 1), level), BLOCK)
    assert member.means[0, -4:].tolist() == pytest.approx(means)
    assert member.floors[0, -4:].tolist() == pytest.approx(means)
    assert member.valid_steps()[-3:].tolist() == valid


def test_uptime_is_in_hours_of_the_pool() -> None:
    """A target with longer blocks has been up for more hours of the pool."""
    member = PoolMember(History(4 * BLOCK), 0)
    member.history.closed = 12
    member.push(np.zeros((6, 0)), BLOCK)
    assert member.uptimes[-1] == 4


def test_rows_are_added_and_dropped() -> None:
    """New rows are zero; the rows that are kept are renumbered, and will be assigned again."""
    member = PoolMember(History(BLOCK), 2)
    member.means[:, -1] = [1, 2]
    member.version = 7
    member.resize(3)
    assert member.means[:, -1].tolist() == [1, 2, 0]
    member.keep([1, 2])
    assert member.means[:, -1].tolist() == [2, 0]
    assert member.version == -1
