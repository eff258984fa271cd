"""Times at which the scheduler runs its jobs, in virtual time: the wall clock has no influence."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import Self

import apscheduler.schedulers.base
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.scrape.scheduler import Scheduler, offset
from tests.support.virtual_time import VirtualClock, VirtualLoop, run_virtual


class World:
    """A scheduler in virtual time; `runs`: name of the job and seconds, of all runs so far."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.scheduler = Scheduler(self.clock)
        self.runs: list[tuple[str, float]] = []

    def every(self, name: str, interval: float, first: float, takes: float = 0.0) -> None:
        """Schedule a job; `takes`: seconds of each run."""
        self.scheduler.every(name, interval, first, partial(self._run, name, takes))

    async def _run(self, name: str, takes: float) -> None:
        self.runs.append((name, round(self.loop.time(), 3)))
        await asyncio.sleep(takes)

    def play(self, steps: Callable[[], Awaitable[None]]) -> list[tuple[str, float]]:
        """Run `steps` while the scheduler runs; return all runs."""

        async def main() -> None:
            self.scheduler.start()
            await steps()
            self.scheduler.stop()

        run_virtual(self.loop, main())
        return self.runs


def test_jobs_run_at_their_intervals() -> None:
    """The first run is at the given time, the others follow at the interval."""
    world = World()

    async def steps() -> None:
        world.every("a", 15.0, 0.0)
        world.every("b", 60.0, 7.0)
        await asyncio.sleep(50)

    assert world.play(steps) == [("a", 0), ("b", 7), ("a", 15), ("a", 30), ("a", 45)]


def test_a_cancelled_job_does_not_run() -> None:
    """A job does not run after it was cancelled; the name of a job that does not exist is ignored."""
    world = World()

    async def steps() -> None:
        world.every("a", 15.0, 0.0)
        world.scheduler.cancel("never added")
        await asyncio.sleep(20)
        world.scheduler.cancel("a")
        await asyncio.sleep(100)

    assert world.play(steps) == [("a", 0), ("a", 15)]


def test_a_job_replaces_its_namesake() -> None:
    """A job that is added under the name of another one runs instead of it."""
    world = World()

    async def steps() -> None:
        world.every("a", 15.0, 0.0)
        await asyncio.sleep(20)
        world.every("a", 40.0, 5.0)
        await asyncio.sleep(60)

    assert world.play(steps) == [("a", 0), ("a", 15), ("a", 25), ("a", 65)]


@pytest.mark.parametrize("blocked", [1.5, 95.0])
def test_a_late_run_is_not_dropped(blocked: float) -> None:
    """After the event loop was blocked, all missed runs of a job are made up for by one run."""
    world = World()

    async def steps() -> None:
        world.every("a", 30.0, 0.1)
        await asyncio.sleep(0)
        world.loop.block(blocked)
        await asyncio.sleep(1)

    assert world.play(steps) == [("a", blocked)]


def test_runs_do_not_overlap() -> None:
    """Runs that are due while the previous one is in progress are skipped."""
    world = World()

    async def steps() -> None:
        world.every("a", 15.0, 0.0, takes=40.0)
        await asyncio.sleep(100)

    assert world.play(steps) == [("a", 0), ("a", 45), ("a", 90)]


@pytest.mark.parametrize("step", [120.0, 3600.0, -120.0, -3600.0])
def test_a_step_of_the_wall_clock_does_not_move_runs(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the wall clock was set forward or back, runs come neither later nor in a burst."""
    world = World()
    stepped = timedelta()

    class WallClock(datetime):
        """The wall clock that APScheduler reads: virtual time, and the steps so far."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            wall = cls(2026, 1, 1, tzinfo=tz) + timedelta(seconds=world.loop.time()) + stepped
            return tz.fromutc(wall) if tz else wall  # type: ignore[return-value]  # typeshed: datetime

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", WallClock)

    async def steps() -> None:
        nonlocal stepped
        world.every("a", 15.0, 0.0)
        await asyncio.sleep(20)
        stepped = timedelta(seconds=step)
        await asyncio.sleep(50)

    assert world.play(steps) == [("a", 0), ("a", 15), ("a", 30), ("a", 45), ("a", 60)]


@given(st.text(), st.floats(0.1, 3600), st.integers(1, 10_000))
def test_the_first_scrape_is_within_the_interval(name: str, interval: float, targets: int) -> None:
    """The offset of a target is within the interval, always the same, and 0 for a single target."""
    seconds = offset(name, interval, targets)
    assert 0 <= seconds <= interval
    assert seconds == offset(name, interval, targets)
    assert targets > 1 or seconds == 0


def test_many_targets_are_spread_evenly() -> None:
    """A thousand targets start in each tenth of the interval about equally often."""
    counts = [0] * 10
    for i in range(1000):
        counts[int(offset(f"10.0.{i // 256}.{i % 256}:6060", 10.0, 10_000))] += 1
    assert min(counts) > 60
