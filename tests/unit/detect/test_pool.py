"""The pool of a service: which growth is added up, and which rows there are."""

import numpy as np
import pytest

from leakwatch.detect.columns import FALLS, FLOOR, MEAN, RISES, TURNOVER, Columns
from leakwatch.detect.history import History
from leakwatch.detect.pool import MIN_CAPACITY, Pool
from leakwatch.detect.pooled_columns import PooledColumns, Step
from leakwatch.leaks.sites import Functions, Sites
from tests.support.blocks import BLOCK, HOUR, Fleet, line
from tests.support.simulated import START, samples


def step(growth: float, level: float = 10.0, scrapes: int = 5, row: int = 0) -> Step:
    """Return a step of one row: mean and floor grew by `growth`."""
    column = np.zeros((6, 1))
    column[MEAN] = column[FLOOR] = growth
    column[RISES] = max(growth, 0)
    return Step(
        pool_rows=np.array([row]), column=column, level=np.array([level]), scrapes=scrapes, regular=scrapes - 1
    )


def pushed(*columns: list[Step | None]) -> PooledColumns:
    """Return pooled columns of one row after these steps."""
    pooled = PooledColumns(Columns(4))
    pooled.resize(1)
    for steps in columns:
        pooled.push(steps)
    return pooled


@pytest.mark.parametrize(
    ("columns", "means"),
    [
        pytest.param([[step(2), step(3)], [step(1), step(1)]], [0, 0, 5, 7], id="growth is added up"),
        pytest.param([[step(2), None]], [0, 0, 0, 4], id="scaled up for a member without a step"),
        pytest.param([[step(2)], [None], [step(1)]], [0, 2, 2.5, 3], id="a gap"),
        pytest.param([[step(2)], [step(-5)]], [0, 0, 2, -3], id="falls"),
        pytest.param([[]], [0, 0, 0, 0], id="no members"),
    ],
)
def test_growth_is_added_up(columns: list[list[Step | None]], means: list[float]) -> None:
    """Mean and floor of a column are those of the last column plus the growth of all members."""
    pooled = pushed(*columns)
    assert pooled.columns.values[MEAN, 0].tolist() == means
    assert pooled.columns.values[FLOOR, 0].tolist() == means


def test_scrapes_levels_and_falls_of_a_column() -> None:
    """A column has the usual scrapes, the sum of the levels, and the falls of each member's floor."""
    pooled = pushed([step(4, 10, 5), step(-3, 20, 7), None])
    assert (pooled.columns.scrapes[-1], pooled.columns.regular[-1]) == (6, 5)
    assert pooled.levels[0, -1] == 45
    assert pooled.falls[0, -1] == 4.5
    assert pooled.columns.values[RISES, 0, -1] == 6


def test_the_turnover_of_a_column() -> None:
    """The turnover is scaled up for the members without one, and less certain by their share."""
    steps = [step(1), step(1, scrapes=2), step(1, scrapes=6), None]
    for each, turnover in zip(steps[:3], (2.0, 50.0, 4.0), strict=True):
        assert each is not None
        each.column[TURNOVER] = turnover
    pooled = pushed(steps)
    assert pooled.columns.values[TURNOVER, 0, -1] == 12
    assert pooled.columns.regular[-1] == 3
    assert pushed([step(1, scrapes=2)]).columns.regular[-1] == 0


def test_rows_of_pooled_columns() -> None:
    """New rows are zero, and rows can be dropped."""
    pooled = pushed([step(2)])
    pooled.resize(3)
    pooled.push([step(7, row=2)])
    pooled.keep([2, 0])
    assert pooled.columns.values[MEAN].tolist() == [[0, 0, 0, 7], [0, 0, 2, 2]]
    assert pooled.levels[:, -1].tolist() == [10, 0]


@pytest.mark.parametrize(
    ("counts", "blocks", "growth"),
    [
        pytest.param([line(20, 1, 24)] * 3, 11, 33, id="all grow, after the first hour"),
        pytest.param([line(20, 1, 24), line(20, 0, 24)], 11, 11, id="one grows"),
        pytest.param([line(500, -1, 24), line(20, 1, 24)], 11, 0, id="one falls"),
    ],
)
def test_growth_of_blocks(counts: list[list[int]], blocks: int, growth: float) -> None:
    """The growth of all targets within their lifetimes is added up, without the first hour."""
    fleet = Fleet(len(counts))
    fleet.play(counts)
    assert (fleet.pool.blocks.scrapes > 0).sum() == blocks
    assert fleet.pool.blocks.values[MEAN, 0, -1] == pytest.approx(growth, abs=1e-4)
    assert fleet.pool.closed == 24


def test_a_restart_is_not_a_fall() -> None:
    """A target is left out when it restarts and for an hour after; the others are scaled up for it."""
    fleet = Fleet(2)
    fleet.play([line(20, 1, 24)] * 2)
    fleet.histories["target0"].restart()
    fleet.play([line(5, 1, 14), line(44, 1, 14)])
    assert fleet.pool.blocks.values[MEAN, 0, -1] == pytest.approx(2 * (11 + 14))
    assert fleet.pool.pooled_blocks.falls.max() == 0
    assert fleet.pool.blocks.values[FALLS, 0].max() == 0


def test_growth_of_hours() -> None:
    """Hours are added up like blocks; the known drop follows the hourly floors."""
    fleet = Fleet(2)
    fleet.play([line(20, 1, 4 * HOUR)] * 2)
    assert fleet.pool.hours.values[MEAN, 0, -4:].tolist() == [0, 0, 24, 48]
    assert (fleet.pool.hours.scrapes > 0).sum() == 2
    fleet.play([line(68, -2, 2 * HOUR)] * 2)
    assert fleet.pool.known_drop[0, 0] > 0
    assert fleet.pool.pooled_hours.falls[0, -1] > 0


def test_a_target_that_lags_is_left_out() -> None:
    """A target that has closed no block for more than three blocks does not count."""
    fleet = Fleet(2)
    fleet.play([line(20, 1, 24)] * 2)
    lagging = fleet.histories.pop("target1")
    fleet.histories["target1"] = lagging
    for i in range(1, 31):
        fleet.time += BLOCK / 5
        fleet.histories["target0"].record(fleet.time, samples({"a": 44 + i // 5}))
        if fleet.pool.is_due(fleet.time):
            fleet.pool.set_members(fleet.histories)
            fleet.pool.advance(fleet.time)
    steps = np.diff(fleet.pool.blocks.values[MEAN, 0, -7:])
    assert steps[-1] == pytest.approx(2)
    assert steps[0] == pytest.approx(1, abs=1.5)


def test_a_history_that_is_older_than_its_pool() -> None:
    """A restored history that has fewer blocks than its pool has seen does not count."""
    history = History(BLOCK)
    for i in range(5 * 30):
        history.record(START + i * BLOCK / 5, samples({"a": i}))
    pool = Pool(BLOCK, START)
    pool.set_members({"a": history})
    (member,) = pool.members.values()
    pool._assign_rows(member)
    pool.block_start = history.block_start
    for closed, counts in ((history.closed - 1, True), (history.closed + 2, False)):
        member.pooled_until = (history.lifetime, history.block, closed)
        assert (pool._block_step(member) is not None) is counts
    assert member.pooled_until == (history.lifetime, history.block, history.closed)


def test_members_follow_the_targets() -> None:
    """Removed targets leave the pool, and a target with a new history is a new member."""
    fleet = Fleet(2)
    fleet.play([line(20, 1, 2)] * 2)
    first = fleet.pool.members["target0"]
    fleet.pool.set_members(fleet.histories)
    assert fleet.pool.members["target0"] is first
    fleet.pool.set_members({"target0": History(BLOCK)})
    assert list(fleet.pool.members) == ["target0"]
    assert fleet.pool.members["target0"] is not first


@pytest.mark.parametrize("protected", [False, True])
def test_unused_rows_are_dropped(*, protected: bool) -> None:
    """Rows that no member holds are dropped when there are many, but protected rows stay."""
    pool, history = Pool(BLOCK, START), History(BLOCK, series_limit=5)
    first = next(iter(samples({"once0": 1})))
    for i in range(MIN_CAPACITY + 10):
        history.record(START + i * BLOCK, samples({f"once{i}": 1}))
        pool.set_members({"target": history})
        pool.advance(START + i * BLOCK, protected=[first] if protected else [])
    assert len(pool.stacks) < MIN_CAPACITY
    assert (first in pool.rows) is protected
    assert pool.blocks.values.shape[1] == len(pool.stacks) == len(pool.last)
    assert all(pool.stacks[row].fingerprint == key for key, row in pool.rows.items())


def test_a_long_gap_closes_few_blocks() -> None:
    """After a gap of years, at most twice as many blocks are closed as the pool holds."""
    pool = Pool(BLOCK, START)
    pool.advance(START + 1e9)
    assert pool.closed == 2 * 34 * HOUR
    assert not pool.is_due(START + 1e9)


def test_counts_of_an_origin() -> None:
    """The growth of an origin is that of all its stacks."""
    history, pool = History(BLOCK), Pool(BLOCK, START)
    for i in range(24 * 5 + 1):
        found = {**samples({"a": 10 + i // 5, "b": 100 - i // 10}, "main.work"), **samples({"c": 5 + i})}
        history.record(START + i * BLOCK / 5, found)
        if pool.is_due(START + i * BLOCK / 5):
            pool.set_members({"target": history})
            pool.advance(START + i * BLOCK / 5)
    assert pool.sum_counts(pool.blocks, 0)[-1] == pytest.approx(12 * 0.5, abs=0.1)
    assert pool.sum_counts(pool.blocks, 2)[-1] == pytest.approx(12 * 5)


def test_counts_of_an_origin_of_a_site() -> None:
    """The growth of the origins of a site is that of the stacks, which are in another pool."""
    history, functions = History(BLOCK), Functions()
    sites = Sites(history, functions)
    stack_pool = Pool(BLOCK, START)
    site_pool = Pool(BLOCK, START, stack_pool)
    for i in range(24 * 5 + 1):
        time = START + i * BLOCK / 5
        found = {**samples({"a": 10 + i // 5}, "main.one"), **samples({"a": 9, "idle": 90 - i // 5}, "main.two")}
        history.record(time, found)
        sites.record(time, found)
        for pool, member in ((stack_pool, history), (site_pool, sites)):
            if pool.is_due(time):
                pool.set_members({"target": member})
                pool.advance(time)
    assert [stack.site for stack in site_pool.stacks] == [True]
    assert site_pool.blocks.values[MEAN, 0, -1] == pytest.approx(12)
    assert site_pool.sum_counts(site_pool.blocks, 0)[-1] == pytest.approx(0)
