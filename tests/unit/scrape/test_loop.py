"""The scrape job and its schedule: what a target pays, when scrapes happen, what is said."""

import asyncio
import gzip
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from leakwatch.clock import Clock, Lag
from leakwatch.http.fake import FakeFetcher
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.budget import SAVED, CostBudget
from leakwatch.scrape.loop import ScrapeLoop
from leakwatch.scrape.probes.process import ProcessProbe
from leakwatch.scrape.scheduler import Scheduler, offset
from tests.support.simulated import START, TARGET

PROFILES = Path(__file__).parents[2] / "profiles"
BODY = b"goroutine profile: total 2\n2 @ 0x11 0x21\n#\t0x10\tmain.f+0x1\t/src/main.go:7\n\n"


class FakeClock(Clock):
    """Time in the test's hands."""

    def __init__(self) -> None:
        self.now = START
        self.step = 0.0

    def time(self) -> float:  # noqa: D102  as in Clock
        return self.now

    def stopwatch(self) -> float:  # noqa: D102  as in Clock
        return self.now

    def wall(self, moment: float) -> float:  # noqa: D102  as in Clock
        return moment + self.step


class World:
    """A scrape loop with a simulated clock and target; `tick` calls it once per interval."""

    def __init__(self, interval: float = 15.0, limit: float = 0.01, size_limit: int = 1 << 20) -> None:
        self.clock = FakeClock()
        self.late = 0.0
        self.duration = 0.01
        self.status = 200
        self.body = BODY
        self.error: Exception | None = None
        self.during_request: Callable[[], object] = lambda: None
        self.request_times: list[float] = []
        self.pipeline = Pipeline(DetectionSettings())
        self.fetcher = FakeFetcher(self._respond, size_limit=size_limit)
        budget = CostBudget(interval, limit)
        self.loop = ScrapeLoop(TARGET, self.fetcher, self.pipeline, self.clock, lambda: self.late, budget)
        self.interval = interval

    def _respond(self, _request: httpx.Request) -> tuple[int, bytes]:
        self.request_times.append(self.clock.now)
        self.during_request()
        self.clock.now += self.duration
        if self.error:
            raise self.error
        return self.status, self.body

    def requested(self) -> list[int]:
        """Return when the target received requests, in seconds since the start."""
        return [round(time - START) for time in self.request_times]

    def tick(self, times: int) -> list[dict[str, Any]]:
        """Let some intervals pass; return what was logged."""

        async def run() -> None:
            for _ in range(times):
                due = self.clock.now + self.interval
                await self.loop.run(lambda _: None)
                self.clock.now = max(due, self.clock.now)

        with capture_logs() as logged:
            asyncio.run(run())
        return [dict(line) for line in logged]


def test_a_quick_target_is_scraped_every_interval() -> None:
    """A scrape within the share costs no pause, and the counts arrive."""
    world = World()
    world.tick(4)
    assert world.requested() == [0, 15, 30, 45]
    assert world.pipeline.add_target(TARGET).total == 2
    assert world.loop.health.results["success"] == 4


def test_a_slow_target_is_scraped_less_often() -> None:
    """Scrapes of 0.4 s at 1 % of a core come every 40 s on average; that is said once, and its end too."""
    world = World()
    world.duration = 0.4
    logged = world.tick(60)
    assert world.requested()[:3] == [0, 45, 75]
    assert 900 / 40 - 1 <= len(world.request_times) <= 900 / 40 + 1
    stretched = [line for line in logged if "stretched" in line["event"]]
    assert [(line["interval"], line["duration"]) for line in stretched] == [(45.0, 0.4)]
    assert world.loop.health.interval > 15
    world.duration = 0.01
    assert [line["event"] for line in world.tick(40)] == ["interval is normal again"]
    assert world.loop.health.interval == 15.0


def test_a_hiccup_is_no_outage() -> None:
    """A target that was quick for long may be slow once: what it saved pays for most of that."""
    world = World()
    world.tick(100)
    world.duration = 10.0
    world.error = httpx.ReadTimeout("")
    world.tick(1)
    world.duration, world.error = 0.01, None
    world.tick(20)
    after = [at for at in world.requested() if at > 1500]
    assert after[0] - 1500 <= 180
    assert world.pipeline.add_target(TARGET).history.block == 300.0


@given(st.lists(st.floats(0, 10), min_size=50, max_size=50), st.floats(0.001, 0.5))
def test_never_more_than_the_share(costs: list[float], limit: float) -> None:
    """Whatever scrapes cost, in the long run that is the share, plus one scrape and what was saved."""
    pace = CostBudget(15.0, limit)
    spent, time = 0.0, 0.0
    for cost in costs:
        while not pace.due(time):
            time += 15.0
        spent += cost
        pace.charge(cost)
        time += 15.0
    assert spent <= limit * (time + SAVED) + max(costs) + limit * 15.0


def test_a_target_that_is_usually_slow_gets_a_longer_block() -> None:
    """When scrapes usually come too seldom for the block it grows, and says so; one slow scrape is not enough."""
    world = World()
    world.duration = 2.0
    assert [line for line in world.tick(20) if "block grows" in line["event"]] == []
    logged = world.tick(80)
    assert [line["block"] for line in logged if "block grows" in line["event"]] == [1200.0]
    assert world.pipeline.add_target(TARGET).history.block == 1200.0


@pytest.mark.parametrize(("late", "grown"), [(1.08, False), (1.3, True)])
def test_scrapes_that_come_a_little_late_are_no_longer_interval(late: float, grown: bool) -> None:
    """The shortest block that is allowed, five intervals, stands jitter; it grows when scrapes are really late."""
    world = World(interval=0.2, limit=1)
    world.pipeline.configure(DetectionSettings(block=1.0))
    world.interval = 0.2 * late
    logged = world.tick(30)
    assert any("block grows" in line["event"] for line in logged) == grown
    assert world.pipeline.add_target(TARGET).history.block == (2.0 if grown else 1.0)


def test_since_when_a_target_is_down() -> None:
    """Down counts from the first failure, also when the reason changes later; up from the first success."""
    world = World()
    world.tick(2)
    assert world.loop.health.since == pytest.approx(START, abs=1)
    world.status = 404
    world.tick(2)
    world.error = httpx.ConnectError("Connection refused")
    world.tick(2)
    assert world.loop.health.since == pytest.approx(START + 30, abs=1)


def test_a_timeout_is_paid_for() -> None:
    """The service did the work although we hung up: the pause is that of the whole timeout."""
    world = World()
    world.duration = 1.0
    world.error = httpx.ReadTimeout("")
    world.tick(12)
    assert world.requested() == [0, 105]


def test_a_suspended_machine_charges_nobody() -> None:
    """A scrape during which the laptop slept for hours costs no more than the timeout."""
    world = World()
    world.tick(100)
    world.duration = 8 * 3600.0
    world.tick(1)
    world.duration = 0.01
    assert world.loop.health.duration == 10.0
    world.tick(20)
    assert len(world.request_times) > 110


def test_a_mistake_of_ours_is_told() -> None:
    """An exception that nobody foresaw is a failed scrape with a traceback in the log, not silence."""
    world = World()
    world.error = ZeroDivisionError("oops")
    logged = world.tick(1)
    assert "our mistake" in logged[0]["event"]
    assert world.loop.health.up is False
    assert world.loop.health.results["malformed"] == 1


def test_a_target_that_goes_away_during_its_scrape_stays_away() -> None:
    """Nothing that arrives afterwards brings the target back, and its failure is not told."""
    world = World()
    world.during_request = lambda: setattr(world.loop, "_closed", True)
    assert world.tick(3) == []
    assert world.pipeline.targets == {}


def test_the_target_does_not_pay_for_us() -> None:
    """When our own loop was busy for most of a scrape, that is no work of the target's and stretches nothing."""
    world = World()
    world.duration = 4.0
    world.during_request = lambda: setattr(world, "late", world.late + 3.95)
    world.tick(4)
    assert len(world.request_times) == 4
    assert world.loop.health.duration == pytest.approx(0.05)


def test_a_target_that_is_down_is_asked_every_interval() -> None:
    """A refused connection cost the target nothing; the reason is logged once, and again when it changes."""
    world = World()
    world.duration = 3.0
    world.error = httpx.ConnectError("refused")
    logged = world.tick(5)
    assert len(world.request_times) == 5
    assert [(line["event"], line["reason"]) for line in logged] == [("scrape failed", "connection")]
    world.error, world.status, world.duration = None, 404, 0.01
    assert [line["reason"] for line in world.tick(3)] == ["status"]
    assert world.loop.health.results["connection"] == 5
    assert world.loop.health.up is False
    world.status = 200
    assert [line["event"] for line in world.tick(2)] == ["target is up"]


@pytest.mark.parametrize("asked", ["threadcreate", "symbol"])
def test_a_target_that_leaves_while_it_is_asked_stays_away(asked: str) -> None:
    """Whatever the job waits for when its target goes: it does not bring it back, and tells nothing of it."""
    world = World()
    world.tick(1)

    async def run() -> list[Any]:
        told: list[Any] = []

        async def leave(*_: object, **__: object) -> None:
            await world.loop.close()
            world.pipeline.leave(TARGET, world.clock.now)

        job = cast("Any", world.loop)
        if asked == "threadcreate":
            job._identify = leave
        else:
            job._name = leave
        await world.loop.run(told.append)
        return told

    assert asyncio.run(run()) == []
    assert list(world.pipeline.targets) == []
    assert [event.leak for event in world.pipeline.expire(START + 10 * 86_400)] == []


def test_a_body_that_is_no_profile_leaves_a_gap() -> None:
    """What cannot be parsed counts by its reason and does not become a zero."""
    world = World()
    world.tick(2)
    world.body = BODY.replace(b"total 2", b"total 3")
    world.tick(1)
    assert world.loop.health.results["truncated"] == 1
    assert world.pipeline.add_target(TARGET).history.last.max() == 2


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


def test_lag_is_what_the_loop_was_late() -> None:
    """A loop that is held up for half a second is half a second late, whenever it is asked."""

    async def run() -> tuple[float, float, float]:
        lag = Lag()
        lag.start()
        await asyncio.sleep(0.3)
        idle = lag.total()
        time.sleep(0.5)  # noqa: ASYNC251  holding the loop up is the point
        at_once = lag.total()
        await asyncio.sleep(0.2)
        lag.stop()
        return idle, at_once, lag.total()

    idle, at_once, later = asyncio.run(run())
    assert idle < 0.2
    assert 0.3 < at_once - idle < 0.7
    assert later == pytest.approx(at_once, abs=0.2)


def test_the_clock_goes_on_evenly() -> None:
    """Time only rises, and what was noted is shown by the wall clock of now."""
    clock = Clock()
    first = clock.time()
    assert clock.time() >= first
    assert clock.wall(first) == pytest.approx(first, abs=0.5)


class FakeQuestion:
    """Answers with the process it is told."""

    def __init__(self) -> None:
        self.process: Process | None = Process("0x7f01", "b1")
        self.asked = 0

    def is_due(self, _now: float, **change: bool) -> bool:
        """Ask over new connections only."""
        return change["fresh"]

    async def ask(self, _now: float) -> Process | None:
        """Return the process."""
        self.asked += 1
        return self.process


def test_a_new_process_begins_a_new_lifetime() -> None:
    """A new connection is reason to ask; another process is said, with whether it is a new build, and counted."""
    world, process_probe = World(), FakeQuestion()
    world.loop._question = cast("ProcessProbe", process_probe)
    world.tick(4)
    assert process_probe.asked == 1
    for process, new_build in ((Process("0x7f02", "b1"), False), (Process("0x7f03", "b2"), True)):
        process_probe.process = process
        world.fetcher.reconnect()
        said = [line for line in world.tick(1) if line["event"] == "target has restarted"]
        assert [line["new_build"] for line in said] == [new_build]
    process_probe.process = None  # it cannot be asked just now: no news
    world.tick(2)
    assert world.pipeline.add_target(TARGET).restarts == 2


def test_protobuf_says_itself_which_process_it_is() -> None:
    """With profile_format proto nothing else is asked; another [vdso] in the body is another process."""
    world = World()
    world.loop._form = "proto"
    body = gzip.decompress((PROFILES / "1.27/goroutine.debug0.pb.gz").read_bytes())
    world.body = body
    world.tick(2)
    state = world.pipeline.add_target(TARGET)
    assert (state.total, state.restarts) == (183, 0)
    first = state.identity.process
    assert first is not None
    assert first.build
    world.body = _moved(body, int(first.start, 16))
    assert [line["new_build"] for line in world.tick(1) if "restarted" in line["event"]] == [False]
    assert state.restarts == 1
    world.body = gzip.compress(body)[:-50]
    world.tick(1)
    world.body = BODY
    world.tick(1)
    assert {reason for reason, count in world.loop.health.results.items() if count} == {
        "success",
        "truncated",
        "not_a_profile",
    }
    assert state.history.last.sum() == 182  # failures leave gaps, not zeros; one has not run yet


def _moved(body: bytes, start: int) -> bytes:
    """Return `body` with its [vdso] elsewhere in memory."""
    return body.replace(_varint(start), _varint(start + 0x1000))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_when_to_ask_which_process_answers() -> None:
    """Over a new connection always; after a fall of a fifth at most once a minute; else never."""
    response = 200, (PROFILES / "1.27/goroutine.debug0.pb.gz").read_bytes()
    process_probe = ProcessProbe(FakeFetcher(lambda _: response))
    assert process_probe.is_due(0, before=0, total=50, fresh=True)
    assert process_probe.is_due(0, before=100, total=80, fresh=False)
    assert not process_probe.is_due(0, before=100, total=81, fresh=False)
    assert not process_probe.is_due(0, before=10, total=1, fresh=False)
    process = asyncio.run(process_probe.ask(0))
    assert process is not None
    assert process.start.startswith("0x7f")
    assert not process_probe.is_due(59, before=100, total=10, fresh=False)
    assert process_probe.is_due(60, before=100, total=10, fresh=False)
    response = 404, b""
    assert asyncio.run(process_probe.ask(100)) is None
    assert not process_probe.is_due(200, before=100, total=100, fresh=False)  # it has no such profile


def test_a_question_without_an_answer_is_asked_again() -> None:
    """A process that is too slow to answer just after its start is asked once a minute, but not for ever."""

    def respond(_request: httpx.Request) -> tuple[int, bytes]:
        raise httpx.ReadTimeout("")

    process_probe = ProcessProbe(FakeFetcher(respond))
    assert asyncio.run(process_probe.ask(0)) is None
    assert not process_probe.is_due(59, before=100, total=100, fresh=False)
    for minute in range(1, 6):
        assert process_probe.is_due(60 * minute, before=100, total=100, fresh=False)
        assert asyncio.run(process_probe.ask(60 * minute)) is None
    assert not process_probe.is_due(400, before=100, total=100, fresh=False)
