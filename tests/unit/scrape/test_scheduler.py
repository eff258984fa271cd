"""Times at which the scheduler runs its jobs."""

import asyncio
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.clock import Clock
from leakwatch.scrape.scheduler import Scheduler, offset
from tests.support.scraping import FakeClock


@given(st.text(), st.floats(0.1, 3600), st.integers(1, 10_000))
def test_offsets_are_spread(name: str, interval: float, targets: int) -> None:
    """The first scrape comes within the interval, at once for one target, and always at the same offset."""
    found = offset(name, interval, targets)
    assert 0 <= found <= interval
    assert found == offset(name, interval, targets)
    assert targets > 1 or found == 0


def test_a_fleet_is_spread_evenly() -> None:
    """A thousand targets start in each tenth of the interval about equally often."""
    counts = [0] * 10
    for i in range(1000):
        counts[int(offset(f"10.0.{i // 256}.{i % 256}:6060", 10.0, 10_000))] += 1
    assert min(counts) > 60


def test_jobs_run_at_once_and_again() -> None:
    """The first run comes at its offset, the next after the interval; a cancelled job runs no more."""

    async def run() -> list[str]:
        ran: list[str] = []

        async def once(name: str) -> None:
            ran.append(name)

        schedule = Scheduler(Clock())
        schedule.start()
        schedule.every("a", 0.2, 0.0, partial(once, "a"))
        schedule.every("b", 10.0, 0.1, partial(once, "b"))
        schedule.every("c", 0.2, 0.05, partial(once, "c"))
        schedule.cancel("c")
        schedule.cancel("never was")
        await asyncio.sleep(0.7)
        schedule.stop()
        return ran

    ran = asyncio.run(run())
    assert ran.count("b") == 1
    assert "c" not in ran
    assert 3 <= ran.count("a") <= 4


def test_a_job_that_is_late_still_runs() -> None:
    """A loop that was held up for seconds runs what was due, once, instead of dropping it."""

    async def run() -> int:
        ran = 0

        async def count() -> None:
            nonlocal ran
            ran += 1

        schedule = Scheduler(Clock())
        schedule.start()
        schedule.every("a", 30.0, 0.1, count)
        await asyncio.sleep(0)
        time.sleep(1.5)  # noqa: ASYNC251  holding the loop up is the point
        await asyncio.sleep(0.2)
        schedule.stop()
        return ran

    assert asyncio.run(run()) == 1


def test_a_clock_that_is_set_back_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs move with the wall clock, by which the scheduler waits."""
    monkeypatch.setattr("leakwatch.scrape.scheduler.WATCH_CLOCK", 0.05)

    async def run() -> int:
        ran = 0

        async def count() -> None:
            nonlocal ran
            ran += 1

        clock = FakeClock()
        schedule = Scheduler(clock)
        schedule.start()
        schedule.every("a", 3600.0, 3600.0, count)  # as it looks after the clock was set back by an hour
        clock.step = -3600.0
        await asyncio.sleep(0.3)
        schedule.stop()
        return ran

    assert asyncio.run(run()) == 1
