"""Scores of a whole service: one table of counts and scores per window, and the checks of plausibility."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from leakwatch.detect.columns import FLOOR, HOURS
from leakwatch.detect.history import History
from leakwatch.detect.pool import Pool
from leakwatch.detect.pool_member import PoolMember
from leakwatch.detect.pool_scores import (
    grown_targets,
    is_plausible,
    score_blocks,
    score_hours,
    score_window,
    stands_out,
)
from leakwatch.detect.windows import C2, P0, P2, P8, P24, POOLED_HOUR_WINDOWS, Window
from tests.support.blocks import BLOCK, HOUR, Counts, Fleet, line, record, stairs, strength
from tests.support.simulated import START, samples, stack

POOLED_C8 = POOLED_HOUR_WINDOWS[1]


def score(window: Window, counts: Sequence[Counts], churn: int = 0) -> float:
    """Return the score of the stack in a service of targets with these counts, 0 if it has none."""
    fleet = Fleet(len(counts))
    fleet.play(counts, churn)
    pooled = fleet.pool.pooled_hours if window.hourly else fleet.pool.pooled_blocks
    _, rows, scores = score_window(fleet.pool, pooled, window)
    return float(scores[rows == 0].sum())


@pytest.mark.parametrize(
    ("window", "hours", "gain", "churn", "expected", "figure"),
    [
        pytest.param(P0, 2, 12.5, 0, "confirmed", 1.0, id="P0: 300 in 30 minutes"),
        pytest.param(P0, 2, 5, 0, "none", 0.4, id="P0: 120 in 30 minutes"),
        pytest.param(P2, 2, 0.25, 0, "suspected", 0.547, id="P2: 18 in 90 minutes"),
        pytest.param(P2, 2, 1, 0, "confirmed", 2.4, id="P2: 72 in 90 minutes"),
        pytest.param(P2, 2, 1, 5, "none", 0.0, id="P2: busy"),
        pytest.param(C2, 2, 1, 20, "none", 0.40, id="C2: 80 grow by 72"),
        pytest.param(C2, 2, 2, 20, "suspected", 0.735, id="C2: 80 grow by 144"),
        pytest.param(C2, 2, 5, 20, "confirmed", 1.46, id="C2: 80 grow by 360"),
        pytest.param(P8, 9, 1 / 24, 0, "confirmed", 1.0, id="P8: two per hour"),
        pytest.param(P8, 9, 1 / 12, 0, "confirmed", 2.0, id="P8: four per hour"),
        pytest.param(P8, 9, 1 / 12, 1, "none", 0.0, id="P8: busy"),
        pytest.param(POOLED_C8, 9, 0.25, 5, "suspected", 0.93, id="C8: 80 grow by 72"),
        pytest.param(POOLED_C8, 9, 0.5, 5, "confirmed", 1.55, id="C8: 80 grow by 144"),
        pytest.param(P24, 25, 1 / 144, 0, "confirmed", 1.0, id="P24: one in three hours"),
        pytest.param(P24, 25, 1 / 48, 0, "confirmed", 2.25, id="P24: one per hour"),
        pytest.param(P24, 25, 1 / 48, 1, "none", 0.0, id="P24: busy"),
    ],
)
def test_windows(window: Window, hours: int, gain: float, churn: int, expected: str, figure: float) -> None:
    """The growth of four equal targets, after two hours, is added up and scored like one series.

    `hours`: of growth; `gain`: per block and target.
    """
    counts = [*line(20, 0, 2 * HOUR)[:-1], *line(20, gain, hours * HOUR + 1)]
    value = score(window, [counts] * 4, churn)
    assert value == pytest.approx(figure, abs=0.005)
    assert strength(value) == expected


@pytest.mark.parametrize(("growing", "figure"), [(1, 0.0), (2, 3.0), (3, 4.5), (4, 6.0)])
def test_breadth(growing: int, figure: float) -> None:
    """A leak must rise on at least half of the targets."""
    counts = [line(20, 0.25 if i < growing else 0, 11 * HOUR) for i in range(4)]
    assert score(P8, counts) == pytest.approx(figure, rel=1e-5)


def test_one_target_is_not_a_service() -> None:
    """A single target has no pooled score."""
    assert score(P8, [line(20, 1, 11 * HOUR)]) == 0


def test_a_few_passing_goroutines_are_not_departures() -> None:
    """On four targets, a fall here and there does not prevent a score without departures."""
    leak = line(20, 0.25, 11 * HOUR)
    passing = [count + (i % 20 == 10) for i, count in enumerate(leak)]
    assert score(P8, [passing, leak, leak, leak]) == pytest.approx(6.0, rel=0.01)


def test_all_windows_are_scored() -> None:
    """Block and hourly scores come from the window that gives the highest."""
    fleet = Fleet(4)
    fleet.play([line(20, 1, 26 * HOUR)] * 4)
    assert [window.name for window in score_blocks(fleet.pool).windows] == ["P2"]
    assert [window.name for window in score_hours(fleet.pool).windows] == ["P24"]


Values = Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]


def member(
    floors: Values, uptimes: Values, means: Values | None = None, lifetimes: Sequence[int] = ()
) -> PoolMember:
    """Return a member of one row with these latest hours; its current lifetime is the highest."""
    history = History(BLOCK)
    history.lifetime = max(lifetimes, default=0)
    result = PoolMember(history, 1)
    length = len(floors)
    result.floors[0, -length:] = floors
    result.means[0, -length:] = floors if means is None else means
    result.uptimes[-length:] = uptimes
    if lifetimes:
        result.lifetimes[-length:] = lifetimes
    return result


def plausible(*members: PoolMember, growth: float = 40.0, falls: float = 0.0) -> bool:
    """Return whether growth of row 0 in P8 is that of a leak."""
    pool = Pool(BLOCK, START)
    pool.members = {f"target{i}": one for i, one in enumerate(members)}
    return is_plausible(pool, 0, P8, growth, falls=falls, rises=100.0)


RISE = np.arange(10.0)
OLD = RISE + 20  # hours of uptime
FLAT = RISE * 0 + 5


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param([member(RISE, OLD)] * 2, True, id="all rise"),
        pytest.param([member(RISE, OLD), member(FLAT, OLD)], True, id="half rises"),
        pytest.param([member(RISE, OLD), member(FLAT, OLD), member(FLAT, OLD)], False, id="a third rises"),
        pytest.param([member(RISE, RISE * 0)] * 2, False, id="not scraped"),
        pytest.param([member(RISE, RISE + 1), member(FLAT, OLD)], False, id="only the young target rises"),
        pytest.param([member(FLAT, RISE + 1), member(RISE, OLD)], True, id="only the old target rises"),
    ],
)
def test_breadth_and_balance(members: Sequence[PoolMember], *, expected: bool) -> None:
    """Floors must rise on half of the targets, and as fast at a high uptime as at a low one."""
    assert plausible(*members) is expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param((20, 40, 60), True, id="more with more uptime"),
        pytest.param((40, 40, 40), False, id="the same at all uptimes"),
        pytest.param((60, 40, 20), False, id="less with more uptime"),
    ],
)
def test_contrast(levels: tuple[float, float, float], *, expected: bool) -> None:
    """Replicas that leak hold more after a longer uptime; replicas under load do not."""
    members = [member(RISE, RISE / 10 + age, RISE + level) for age, level in zip((2, 4, 6), levels, strict=True)]
    assert plausible(*members) is expected


@pytest.mark.parametrize(
    ("past", "falls", "expected"),
    [
        pytest.param([0, 20, 40, 60, 80, 100], 0.0, True, id="leaked until it ended"),
        pytest.param([0, 40, 80, 100, 100, 100], 0.0, False, id="plateau"),
        pytest.param([0, 40, 80, 100, 100, 100], 30.0, True, id="plateau, but with turnover"),
        pytest.param([0, 80, 100, 100, 100], 0.0, True, id="too short a lifetime"),
    ],
)
def test_plateaus_of_past_lifetimes(past: list[float], falls: float, *, expected: bool) -> None:
    """If 30 % of the lifetimes that ended reached a plateau, growth without turnover is a pool."""
    length = len(past)
    floors, uptimes = [*past, *RISE], [*range(2, length + 2), *OLD]
    one = member(floors, uptimes, lifetimes=[0] * length + [1] * 10)
    assert plausible(one, one, one, falls=falls) is expected


def test_grown_targets() -> None:
    """The targets of a leak are those with a floor that rose, within the hours asked for."""
    fleet = Fleet(3)
    fleet.play([line(20, 0.25, 11 * HOUR), line(20, 0, 11 * HOUR), stairs(20, 5, 4 * HOUR, 11 * HOUR)])
    assert grown_targets(fleet.pool, 0, HOURS) == ["target0", "target2"]
    assert grown_targets(fleet.pool, 0, 1) == ["target0"]
    assert fleet.pool.hours.values[FLOOR, 0, -1] > 0


KEY = stack("a", "main.goa").fingerprint


def history(count: int, blocks: int = 48) -> History:
    """Return a history with a constant count."""
    result = History(BLOCK)
    if count:
        record(result, {"a": line(count, 0, blocks)})
    else:
        for i in range(blocks + 1):
            result.record(START + i * BLOCK, samples({"b": 1}))
    return result


@pytest.mark.parametrize(
    ("count", "siblings", "expected"),
    [
        pytest.param(50, [], True, id="alone"),
        pytest.param(50, [50], True, id="one sibling"),
        pytest.param(50, [50, 50], False, id="as many as all"),
        pytest.param(50, [10, 10, 10, 10, 500], True, id="more than three in four"),
        pytest.param(50, [10, 50, 50, 50], False, id="as many as three in four"),
        pytest.param(19, [10, 10], False, id="little more"),
        pytest.param(20, [10, 10], True, id="clearly more"),
        pytest.param(9, [0, 0], True, id="siblings without the stack"),
    ],
)
def test_a_target_stands_out(count: int, siblings: Sequence[int], *, expected: bool) -> None:
    """A target stands out if it holds 12 % and 8 goroutines more than three in four of its siblings."""
    assert stands_out(history(count), [history(other) for other in siblings], KEY) is expected


def test_young_siblings_are_not_compared() -> None:
    """A sibling that runs for less than four hours may not have warmed up."""
    assert stands_out(history(50), [history(50, 47), history(50, 47)], KEY)
