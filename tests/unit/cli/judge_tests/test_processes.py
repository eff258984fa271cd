"""Simulated processes: counts, lifetimes and full dumps."""

from statistics import fmean, variance
from typing import Any

import numpy as np
import pytest

from leakwatch.cli.judge_tests.file import SeriesConfig
from leakwatch.cli.judge_tests.processes import WAITER, SimulatedProcess
from leakwatch.detect.dumped import UNKNOWN
from leakwatch.model import Fingerprint, Trace

INTERVAL = 15.0
KEY = Fingerprint("0123456789abcdef")


def process(**keys: Any) -> SimulatedProcess:
    """Return a process with one series."""
    config = SeriesConfig.model_validate({"stack": "main.work", **keys})
    return SimulatedProcess("a", 0.0, [(Trace(config.stack), config)], INTERVAL)


def counts(simulated: SimulatedProcess, scrapes: int) -> list[int]:
    """Return the number of goroutines at each scrape."""
    return [sum(count for _, count in simulated.groups(INTERVAL * scrape)) for scrape in range(scrapes)]


def test_counts_without_a_lifetime_are_exact() -> None:
    """The process has the goroutines of the notation, also if they become fewer."""
    assert counts(process(counts="3+1x3, 2 x 1, 0 x 1, 7"), 7) == [3, 4, 5, 2, 0, 7, 7]


@pytest.mark.parametrize("lifetime", ["2s", "30s"])
def test_a_lifetime_makes_counts_vary(lifetime: str) -> None:
    """Goroutines come and go independently: mean and variance are the count, whatever their lifetime is."""
    drawn = counts(process(counts="100", lifetime=lifetime), 3_000)
    assert fmean(drawn) == pytest.approx(100, abs=5)
    assert variance(drawn) == pytest.approx(100, rel=0.25)


def test_a_lifetime_slows_changes_down() -> None:
    """Successive counts are the more alike the longer goroutines live."""
    short, long = (np.array(counts(process(counts="100", lifetime=text), 1_000)) for text in ("2s", "10m"))
    assert np.corrcoef(short[:-1], short[1:])[0, 1] == pytest.approx(0, abs=0.1)
    assert np.corrcoef(long[:-1], long[1:])[0, 1] > 0.8


def test_the_same_test_has_the_same_goroutines() -> None:
    """Chance depends only on the name of the process."""
    first, second = (counts(process(counts="30", lifetime="5s"), 50) for _ in range(2))
    assert first == second
    assert len(set(first)) > 5


def test_dumps_have_the_wait_times_of_stuck_goroutines() -> None:
    """Stuck goroutines wait from their start, the others less than a minute, with IDs in the order of starts."""
    simulated = process(counts="4+1x40", stuck="100%")
    counts(simulated, 41)
    dump = simulated.dump(40 * INTERVAL, lambda _: KEY)
    stack = dump[KEY]
    assert stack.ids.tolist() == [*range(2, 46)]
    assert stack.minutes.tolist()[:5] == [10, 10, 10, 10, 9]
    assert stack.minutes.tolist()[-5:] == [1, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert (dump[WAITER].ids.tolist(), dump[WAITER].minutes.tolist()) == ([1], [10])


def test_the_share_of_stuck_goroutines() -> None:
    """The share of a series is stuck, spread over its goroutines; those that wake up end first."""
    simulated = process(counts="100 x 40, 30 x 40, 10", stuck="30%")
    counts(simulated, 40)
    minutes = simulated.dump(39 * INTERVAL, lambda _: KEY)[KEY].minutes
    assert (minutes == 9).sum() == pytest.approx(30, abs=1)
    assert (minutes[:20] == 9).sum() == pytest.approx(6, abs=1)
    simulated.groups(41 * INTERVAL)
    minutes = simulated.dump(41 * INTERVAL, lambda _: KEY)[KEY].minutes
    assert ((minutes == 10).sum(), len(minutes)) == (pytest.approx(30, abs=1), 30)


def test_nothing_stuck() -> None:
    """A series with a share of 0 % has no wait times, and one that is empty is not in the dump."""
    simulated = process(counts="5 x 10, 0", stuck="0%")
    simulated.groups(0.0)
    assert simulated.dump(0.0, lambda _: KEY)[KEY].minutes.tolist() == [UNKNOWN] * 5
    simulated.groups(600.0)
    assert simulated.dump(600.0, lambda _: KEY).keys() == {WAITER}


def test_small_poisson_numbers() -> None:
    """Rare goroutines are rare, not absent."""
    for lifetime in ("1s", "1m"):
        drawn = counts(process(counts="0.1", lifetime=lifetime), 10_000)
        assert fmean(drawn) == pytest.approx(0.1, abs=0.02)
