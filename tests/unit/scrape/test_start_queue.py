"""The order in which due scrapes start, and overload, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from structlog.testing import capture_logs

from leakwatch.scrape.scheduler import Scheduler
from leakwatch.scrape.start_queue import BEGINS, PERIOD, SLOTS, StartQueue
from tests.support.virtual_time import VirtualClock, VirtualLoop, run_virtual

INTERVAL = 15.0
OVERLOADED = "overloaded, scrapes are late: watch fewer targets or add a shard"
TURNS = 10  # turns of the event loop in one scrape


class World:
    """Targets that are scraped at INTERVAL, by a daemon that blocks the event loop for `cost` seconds per scrape.

    `latency`: seconds until a target answers; `silent`: number of targets that do not answer within `timeout`.
    `scrapes`: times of the starts by target; `slow`: scrapes of the other targets that took longer than `timeout`.
    """

    def __init__(self, targets: int, *, cost: float, latency: float = 0.0, silent: int = 0) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.scheduler = Scheduler(self.clock)
        self.busy = 0.0
        self.starts = StartQueue(self.loop.time, idle=lambda: self.loop.time() - self.busy, cpu=lambda: self.busy)
        self.cost = cost
        self.latency = latency
        self.timeout = 10.0
        self.slow = 0
        self.concurrent = [0, 0]
        """Scrapes that are in progress, and the most that were."""
        self.scrapes: dict[int, list[float]] = {i: [] for i in range(targets)}
        self.silent = range(silent)

    async def run(self, target: int) -> None:
        """Scrape a target when the queue lets it start."""
        await self.starts.run(INTERVAL, partial(self._scrape, target))

    async def _scrape(self, target: int) -> None:
        begin = self.loop.time()
        self.scrapes[target].append(begin)
        self.concurrent[0] += 1
        self.concurrent[1] = max(self.concurrent)
        if target in self.silent:
            await asyncio.sleep(self.timeout)
        else:
            await asyncio.sleep(self.latency)
            for _ in range(TURNS):
                self.loop.block(self.cost / TURNS)
                self.busy += self.cost / TURNS
                await asyncio.sleep(0)
            self.slow += self.loop.time() - begin > self.timeout
        self.concurrent[0] -= 1

    def play(self, seconds: float, during: Callable[[], None] = lambda: None) -> None:
        """Scrape all targets for `seconds`, with `during` after half of them."""

        async def main() -> None:
            self.scheduler.start()
            for target in self.scrapes:
                first = INTERVAL * target / len(self.scrapes)
                self.scheduler.every(str(target), INTERVAL, first, partial(self.run, target))
            self.scheduler.every("judge", PERIOD, PERIOD, self._judge)
            await asyncio.sleep(seconds / 2)
            during()
            await asyncio.sleep(seconds / 2)
            self.scheduler.stop()

        run_virtual(self.loop, main())

    async def _judge(self) -> None:
        self.starts.judge()

    def counts(self, begin: float) -> Counter[int]:
        """Return the number of scrapes after `begin`, by target."""
        return Counter({target: sum(time > begin for time in times) for target, times in self.scrapes.items()})


def test_scrapes_are_not_delayed_within_capacity() -> None:
    """With half of the work that leakwatch can do, every target is scraped at its interval."""
    world = World(100, cost=0.075)
    world.play(300)
    assert set(world.counts(0).values()) == {20}
    assert (world.starts.missed, world.starts.overloaded) == (0, False)


@pytest.mark.parametrize("latency", [0.0, 0.5])
@pytest.mark.parametrize("load", [1.1, 2.0, 5.0])
def test_overload_slows_all_targets_evenly(load: float, latency: float) -> None:
    """Beyond its capacity, leakwatch scrapes each target less often, and no scrape takes long."""
    world = World(100, cost=load * 0.15, latency=latency)
    with capture_logs() as logged:
        world.play(1800)
    counts = world.counts(300).values()
    even = 1500 / INTERVAL / load
    assert min(counts) >= 0.75 * even
    assert max(counts) <= 1.25 * even + 1
    assert sum(counts) >= 0.95 * 100 * even
    assert world.slow == 0
    assert world.starts.overloaded
    assert [line["event"] for line in logged] == [OVERLOADED]


def test_the_number_of_scrapes_in_progress_is_limited() -> None:
    """After all targets were due at once, at most as many scrapes as there are slots are in progress."""
    world = World(500, cost=0.01)
    world.play(60, lambda: world.loop.block(30.0))
    assert world.concurrent[1] == SLOTS


def test_a_burst_of_slow_responses_is_processed_within_the_timeout() -> None:
    """After all targets were due at once, and answer late, no scrape takes long."""
    world = World(2000, cost=0.005, latency=0.5)
    world.play(120, lambda: world.loop.block(9.0))
    assert world.slow == 0


def test_silent_targets_do_not_delay_the_others() -> None:
    """If most targets do not answer, the scrapes of the others start at once."""
    world = World(400, cost=0.01, silent=300)
    world.play(300)
    assert world.starts.missed == 0
    assert world.starts.delays.sum < 0.1 * sum(world.counts(0).values())
    assert world.concurrent[1] > 10 * SLOTS


def judged(starts: StartQueue, periods: str) -> str:
    """Judge periods of 100 due scrapes: 2 (x) or none (.) are missed; return x or . for overloaded."""
    states = ""
    for period in periods:
        starts._ended += 98
        starts.missed += 2 if period == "x" else 0
        starts.judge()
        states += "x" if starts.overloaded else "."
    return states


def test_overload_begins_and_ends_with_hysteresis() -> None:
    """A single late minute is not an overload, and a minute without late scrapes does not end one."""
    starts = StartQueue(lambda: 0.0, idle=lambda: 0.0, cpu=lambda: 0.0)
    with capture_logs() as logged:
        assert judged(starts, "x.x.") == "...."
        assert judged(starts, "x" * BEGINS) == "." * (BEGINS - 1) + "x"
        assert judged(starts, "....x....") == "xxxxxxxxx"
        assert judged(starts, ".") == "."
    assert [line["event"] for line in logged] == [
        OVERLOADED,
        "no longer overloaded",
    ]
    assert logged[0]["missed_ratio"] == 0.02
