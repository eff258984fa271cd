"""The severity of leaks: ten times the goroutines, the memory limit, and hysteresis."""

import pytest

from leakwatch.detect.history import History
from leakwatch.leaks.model import Limit
from leakwatch.leaks.severity import ProcessGrowth, goroutines_at, is_page
from tests.support.simulated import START, samples

HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY


def growth(per_hour: float, at_onset: float = 1000, now: float = 1000) -> ProcessGrowth:
    """Return the growth of a process by `per_hour` goroutines per hour."""
    return ProcessGrowth(at_onset=at_onset, now=now, rate=per_hour / HOUR)


def limit(latest: float | None, soonest: float | None = 0.0) -> Limit:
    """Return the time until a memory limit, in days."""
    days = (None if time is None else time * DAY for time in (soonest, latest))
    return Limit(target="a", size=1e9, soonest=next(days), latest=next(days))


@pytest.mark.parametrize(
    ("processes", "page"),
    [
        pytest.param([growth(53)], False, id="too slow"),
        pytest.param([growth(54)], True, id="tenfold within a week"),
        pytest.param([growth(16, 300, 300)], False, id="a smaller process, too slow"),
        pytest.param([growth(17, 300, 300)], True, id="a smaller process"),
        pytest.param([growth(10, now=8400)], True, id="a slow leak that has grown"),
        pytest.param([growth(1, now=12_000)], True, id="more than tenfold, and growing"),
        pytest.param([growth(0, now=12_000)], False, id="more than tenfold, but not growing"),
        pytest.param([growth(10), growth(60)], True, id="one of two processes"),
        pytest.param([growth(0.01, 0, 0)], False, id="a process without goroutines at the onset"),
        pytest.param([], False, id="no process"),
    ],
)
def test_ten_times_the_goroutines(processes: list[ProcessGrowth], page: bool) -> None:
    """A leak is a page if a process will have ten times its goroutines of the onset within a week."""
    assert is_page(processes, None, WEEK, was_page=False) is page


@pytest.mark.parametrize(
    ("until", "page"),
    [
        pytest.param(limit(6.9), True, id="within a week"),
        pytest.param(limit(7.1), False, id="later"),
        pytest.param(limit(None), False, id="only the soonest time is known"),
        pytest.param(None, False, id="no limit"),
    ],
)
def test_the_memory_limit(until: Limit | None, page: bool) -> None:
    """A leak is a page if it will reach a memory limit within a week, by the latest estimate."""
    assert is_page([growth(1)], until, WEEK, was_page=False) is page


@pytest.mark.parametrize(
    ("process", "until", "page"),
    [
        pytest.param(growth(53), None, True, id="a little slower"),
        pytest.param(growth(27), None, True, id="half of the rate"),
        pytest.param(growth(26), None, False, id="less than half of the rate"),
        pytest.param(growth(1), limit(13), True, id="memory for less than twice the time"),
        pytest.param(growth(1), limit(15), False, id="memory for more than twice the time"),
    ],
)
def test_a_page_stays_a_page(process: ProcessGrowth, until: Limit | None, page: bool) -> None:
    """A page becomes a ticket only when twice the time would be enough."""
    assert is_page([process], until, WEEK, was_page=True) is page


def test_a_rate_that_fluctuates_does_not_change_the_severity() -> None:
    """Rates around the one that makes a page change the severity once."""
    severities, page = [], False
    for rate in (50, 52, 55, 51, 56, 40, 57, 30, 54):
        page = is_page([growth(rate)], None, WEEK, was_page=page)
        severities.append(page)
    assert severities == [False, False, *[True] * 7]


@pytest.mark.parametrize(
    ("hours", "goroutines"),
    [
        pytest.param(9.99, 1200, id="now"),
        pytest.param(9.0, 1080, id="within the blocks"),
        pytest.param(5.5, 660, id="within the hours"),
        pytest.param(-1.0, 60, id="before the first hour"),
    ],
)
def test_the_goroutines_at_a_time(hours: float, goroutines: int) -> None:
    """The total of all stacks comes from the latest blocks, or else from the hours."""
    history = History(300.0)
    for minute in range(10 * 60 + 1):
        history.record(START + 60 * minute, samples({"a": minute, "b": minute}))
    assert goroutines_at(history, START + hours * HOUR) == pytest.approx(goroutines, abs=15)


def test_the_goroutines_before_the_first_block() -> None:
    """Without a block, the latest profile counts."""
    history = History(300.0)
    history.record(START, samples({"a": 3, "b": 4}))
    assert goroutines_at(history, START) == 7
