"""The scrape loop: when it scrapes, what it charges, logs and records."""

import asyncio
import gzip
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from leakwatch.errors import FetcherClosed
from leakwatch.http.fake import FakeFetcher
from leakwatch.http.fetch import Feed, Fetched
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process
from leakwatch.profile.body import Format
from leakwatch.profile.redact import Redaction
from leakwatch.scrape.budget import Cost, Limit
from leakwatch.scrape.loop import OpenRecording
from leakwatch.scrape.probes.process import ProcessProbe
from leakwatch.scrape.probes.symbols import SymbolProbe
from leakwatch.scrape.start_queue import Started
from tests.support.scraping import BODY, SimulatedTarget
from tests.support.simulated import START, TARGET

PROFILES = Path(__file__).parents[2] / "profiles"
PARKED = (
    b"goroutine profile: total 5\n5 @ 0x400001 0x400101 0x500011 0x400900\n#\t0x500010\tmain.f+0x10\t/m.go:7\n\n"
)


def test_a_fast_target_is_scraped_at_every_interval() -> None:
    """A scrape within the cost limit does not stretch the interval, and its counts reach the pipeline."""
    simulated = SimulatedTarget()
    simulated.tick(4)
    assert simulated.requested() == [0, 15, 30, 45]
    assert simulated.state.total == 2
    assert simulated.state.health.results["success"] == 4


def test_a_slow_target_is_scraped_less_often() -> None:
    """Scrapes of 0.4 s at 1 % of a core come every 40 s on average; beginning and end are logged once."""
    simulated = SimulatedTarget()
    simulated.duration = 0.4
    logged = simulated.tick(60)
    assert simulated.requested()[:3] == [0, 45, 75]
    assert 900 / 40 - 1 <= len(simulated.request_times) <= 900 / 40 + 1
    stretched = [line for line in logged if "stretched" in line["event"]]
    assert [(line["interval"], line["duration"]) for line in stretched] == [(45.0, 0.4)]
    assert simulated.state.health.interval > 15
    assert simulated.state.health.stretched_by == "duration"
    simulated.duration = 0.01
    assert [line["event"] for line in simulated.tick(40)] == ["interval is back to normal"]
    assert simulated.state.health.interval == 15.0


def test_one_slow_scrape_causes_a_short_gap() -> None:
    """A target that was fast for a long time has saved most of the cost of one slow scrape."""
    simulated = SimulatedTarget()
    simulated.tick(100)
    simulated.duration = 10.0
    simulated.error = httpx.ReadTimeout("")
    simulated.tick(1)
    simulated.duration, simulated.error = 0.01, None
    simulated.tick(20)
    after = [second for second in simulated.requested() if second > 1500]
    assert after[0] - 1500 <= 180
    assert simulated.state.history.block == 300.0


def test_a_target_that_is_usually_slow_gets_a_longer_block() -> None:
    """If scrapes are usually too rare for the block, the block grows; a single rare scrape does not matter."""
    simulated = SimulatedTarget()
    simulated.duration = 2.0
    assert [line for line in simulated.tick(20) if "block grows" in line["event"]] == []
    logged = simulated.tick(80)
    assert [line["block"] for line in logged if "block grows" in line["event"]] == [1200.0]
    assert simulated.state.history.block == 1200.0


@pytest.mark.parametrize(("late", "grown"), [(1.08, False), (1.3, True)])
def test_jitter_does_not_let_the_block_grow(late: float, grown: bool) -> None:
    """The shortest block, five intervals, tolerates jitter; the block grows if scrapes really are late."""
    simulated = SimulatedTarget(interval=0.2, limit=1)
    simulated.pipeline.configure(DetectionSettings(block=1.0))
    simulated.interval = 0.2 * late
    logged = simulated.tick(30)
    assert any("block grows" in line["event"] for line in logged) == grown
    assert simulated.state.history.block == (2.0 if grown else 1.0)


def test_since_when_a_target_is_down() -> None:
    """A target is down since its first failure, even if the reason changes; it is up since its first success."""
    simulated = SimulatedTarget()
    simulated.tick(2)
    assert simulated.state.health.since == pytest.approx(START, abs=1)
    simulated.status = 404
    simulated.tick(2)
    simulated.error = httpx.ConnectError("Connection refused")
    simulated.tick(2)
    assert simulated.state.health.since == pytest.approx(START + 30, abs=1)


def test_a_timeout_is_charged() -> None:
    """The service did the work although the request timed out: the whole timeout is charged."""
    simulated = SimulatedTarget()
    simulated.duration = 1.0
    simulated.error = httpx.ReadTimeout("")
    simulated.tick(12)
    assert simulated.requested() == [0, 105]


def test_a_suspended_machine_charges_at_most_the_timeout() -> None:
    """A scrape during which the machine was suspended for hours is charged with the timeout."""
    simulated = SimulatedTarget()
    simulated.tick(100)
    simulated.duration = 8 * 3600.0
    simulated.tick(1)
    simulated.duration = 0.01
    assert simulated.state.health.duration == 10.0
    simulated.tick(20)
    assert len(simulated.request_times) > 110


def test_an_internal_error_is_a_failed_scrape() -> None:
    """An unexpected exception is logged with its traceback and counts as a failed scrape; the loop continues."""
    simulated = SimulatedTarget()
    simulated.error = ZeroDivisionError("oops")
    logged = simulated.tick(1)
    assert logged[0]["event"] == "internal error in a scrape"
    assert logged[0]["exc_info"]
    assert simulated.state.health.up is False
    assert simulated.state.health.results["malformed"] == 1


def test_lag_of_the_event_loop_is_not_charged() -> None:
    """If leakwatch's own event loop was busy during most of a scrape, the interval is not stretched."""
    simulated = SimulatedTarget()
    simulated.duration = 4.0
    simulated.during_request = lambda: setattr(simulated, "late", simulated.late + 3.95)
    simulated.tick(4)
    assert len(simulated.request_times) == 4
    assert simulated.state.health.duration == pytest.approx(0.05)


def test_a_target_that_costs_leakwatch_too_much_cpu_is_scraped_less_often() -> None:
    """Scrapes of 9 s of leakwatch's CPU come every 90 s in the long run; this is logged once, with the reason."""
    simulated = SimulatedTarget(limit=1)

    def parse_slowly() -> None:
        simulated.cpu += 9.0

    simulated.during_request = parse_slowly
    logged = [line for line in simulated.tick(60) if "stretched" in line["event"]]
    assert 9 <= len(simulated.request_times) <= 12
    assert (simulated.state.health.interval, simulated.state.health.stretched_by) == (90.0, "cpu")
    assert [(line["event"], line["reason"]) for line in logged] == [
        ("interval stretched to spare leakwatch", "cpu")
    ]


def test_a_target_with_large_bodies_is_scraped_less_often() -> None:
    """If two bodies per minute are within the limit, a body comes every 30 s, after a minute without gaps."""
    simulated = SimulatedTarget(own_limits={Cost.BYTES: Limit(2 * len(BODY) / 60, 60.0)})
    simulated.tick(40)
    assert 20 <= len(simulated.request_times) <= 23
    assert simulated.requested()[:3] == [0, 15, 30]
    assert simulated.state.health.stretched_by == "bytes"


def test_a_target_with_new_stacks_in_each_profile_is_scraped_less_often() -> None:
    """If two new stacks per minute are within the limit, four per minute come at twice the interval."""
    simulated = SimulatedTarget(own_limits={Cost.STACKS: Limit(2 / 60, 60.0)})
    simulated.tick(40)
    assert len(simulated.request_times) == 40

    def add_stack() -> None:
        simulated.body = BODY.replace(b"main.f+", b"main.f%d+" % len(simulated.request_times))

    simulated.during_request = add_stack
    simulated.tick(40)
    assert 60 <= len(simulated.request_times) <= 63
    assert simulated.state.health.stretched_by == "new_stacks"


def test_missed_scrapes_stretch_the_interval() -> None:
    """While a target waits to start for more than two intervals, its interval is shown as three times as long."""
    simulated = SimulatedTarget()

    async def wait_twice(interval: float, scrape: Callable[[], Coroutine[Any, Any, None]]) -> Started:
        simulated.clock.now += 2.2 * interval
        await scrape()
        return Started(2, 0.0)

    run, simulated.starts.run = simulated.starts.run, wait_twice  # type: ignore[method-assign]  # replaced in this test
    assert [line["event"] for line in simulated.tick(1)] == ["target is up"]
    assert (simulated.state.health.interval, simulated.state.health.stretched_by) == (45.0, "overload")
    assert simulated.state.health.time == pytest.approx(START + 33)
    simulated.starts.run = run  # type: ignore[method-assign]
    simulated.tick(1)
    assert (simulated.state.health.interval, simulated.state.health.stretched_by) == (15.0, "")


class SlowProcessProbe(ProcessProbe):
    """A probe with a request of 10 ms, while the event loop is late by a second."""

    def __init__(self, simulated: SimulatedTarget) -> None:
        super().__init__(simulated.fetcher)
        self._simulated = simulated

    async def request(self, _schedule: ProbeSchedule, _now: float) -> Process | None:
        """Return a process after 10 ms and a lag of 1 s."""
        self._simulated.late += 1.0
        self._simulated.clock.now += 1.01
        return Process("0x7f01", "b1")


def test_requests_beside_a_scrape_are_charged_once_without_lag() -> None:
    """The process request is charged with its own 10 ms: neither the lag nor the scrape is charged again."""
    simulated = SimulatedTarget()
    simulated.during_request = lambda: setattr(simulated, "late", simulated.late + 1.0)
    simulated.duration = 1.02
    simulated.loop._processes = SlowProcessProbe(simulated)
    simulated.tick(10)
    assert len(simulated.request_times) == 10
    assert simulated.state.health.interval == 15.0


def test_a_target_that_is_down_is_scraped_at_every_interval() -> None:
    """A refused connection is not charged; the reason is logged once, and again when it changes."""
    simulated = SimulatedTarget()
    simulated.duration = 3.0
    simulated.error = httpx.ConnectError("refused")
    logged = simulated.tick(5)
    assert len(simulated.request_times) == 5
    assert [(line["event"], line["reason"]) for line in logged] == [("scrape failed", "connection")]
    simulated.error, simulated.status, simulated.duration = None, 404, 0.01
    assert [line["reason"] for line in simulated.tick(3)] == ["status"]
    assert simulated.state.health.results["connection"] == 5
    assert simulated.state.health.up is False
    simulated.status = 200
    assert [line["event"] for line in simulated.tick(2)] == ["target is up"]


def test_an_invalid_body_leaves_a_gap() -> None:
    """A body that cannot be parsed counts by its reason, and the history does not get zeros."""
    simulated = SimulatedTarget()
    simulated.tick(2)
    simulated.body = BODY.replace(b"total 2", b"total 3")
    simulated.tick(1)
    assert simulated.state.health.results["truncated"] == 1
    assert simulated.state.history.last.max() == 2


class Recorder:
    """Records the calls of the loop."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def begin(self, _form: Format, _size_limit: int, _leaks: object) -> OpenRecording | None:
        """Record every body."""
        self.calls.append("begin")
        return self

    def tee(self, feed: Feed) -> Feed:
        """Return the feed."""
        return feed

    async def end(self, _time: float, _total: int, _process: Process | None, _symbols: Mapping[int, str]) -> None:
        """Record the end of a body."""
        self.calls.append("end")

    def failed(self) -> None:
        """Record a failed scrape."""
        self.calls.append("failed")

    async def dump(self, _body: bytes, _time: float, _goroutines: int) -> None:
        """Do not record dumps."""


def test_bodies_are_recorded() -> None:
    """A recording begins before the scrape and ends after the profile was observed, or the scrape failed."""
    recorder = Recorder()
    simulated = SimulatedTarget(recorder=recorder)
    simulated.tick(1)
    simulated.status = 500
    simulated.tick(1)
    assert recorder.calls == ["begin", "end", "begin", "failed"]


class BlockedFetcher(FakeFetcher):
    """A fetcher with requests that end when it is closed."""

    def __init__(self) -> None:
        super().__init__(lambda _: (200, BODY))
        self.requested = asyncio.Event()
        self.closed = asyncio.Event()

    async def fetch(self, _feed: Feed, *, query: bytes | None = None) -> Fetched:
        """Wait until the fetcher is closed."""
        del query
        self.requested.set()
        await self.closed.wait()
        raise FetcherClosed

    async def close(self) -> None:
        """End the requests."""
        self.closed.set()


def in_profile(simulated: SimulatedTarget, blocked: BlockedFetcher) -> None:
    """Let the request for the profile wait."""
    simulated.loop._fetcher = blocked


def in_process(simulated: SimulatedTarget, blocked: BlockedFetcher) -> None:
    """Let the request for the process wait."""
    simulated.loop._processes = ProcessProbe(blocked)


def in_symbols(simulated: SimulatedTarget, blocked: BlockedFetcher) -> None:
    """Let the request for function names wait."""
    simulated.loop._symbols = SymbolProbe(blocked)


@pytest.mark.parametrize("block", [in_profile, in_process, in_symbols])
def test_a_target_that_is_removed_during_a_request_stays_removed(
    block: Callable[[SimulatedTarget, BlockedFetcher], None],
) -> None:
    """A scrape in flight does not create the target again, and neither logs nor records a failure."""

    async def run() -> None:
        blocked = BlockedFetcher()
        block(simulated, blocked)
        scrape = asyncio.create_task(simulated.loop.run(simulated.events.append))
        await blocked.requested.wait()
        events.extend(simulated.pipeline.remove_target(TARGET, simulated.clock.now))
        await blocked.close()
        await simulated.loop.close()
        await scrape
        await simulated.loop.run(simulated.events.append)

    recorder, events = Recorder(), list[object]()
    simulated = SimulatedTarget(recorder=recorder)
    simulated.body = PARKED
    asyncio.run(run())
    assert simulated.pipeline.targets == {}
    assert simulated.pipeline.services == {}
    assert (events, simulated.events) == ([], [])
    assert recorder.calls == ["begin"]
    assert simulated.state.health.results.total() == 0
    assert all(not schedule.failures for schedule in simulated.state.probe_results.schedules.values())


def test_a_profile_of_a_removed_target_is_ignored() -> None:
    """A profile that arrives after the removal changes neither the pipeline nor the state."""
    simulated = SimulatedTarget()
    simulated.tick(1)
    simulated.during_request = lambda: simulated.pipeline.remove_target(TARGET, simulated.clock.now)
    simulated.body = BODY.replace(b"total 2\n2", b"total 9\n9")
    simulated.tick(1)
    assert simulated.pipeline.targets == {}
    assert (simulated.state.total, simulated.state.history.last.max()) == (2, 2)
    assert simulated.events == []


class FakeProcessProbe(ProcessProbe):
    """A probe that returns `process`."""

    def __init__(self) -> None:
        super().__init__(FakeFetcher(lambda _: (404, b"")))
        self.process: Process | None = Process("0x7f01", "b1")
        self.requests = 0

    async def request(self, _schedule: ProbeSchedule, _now: float) -> Process | None:
        """Return the process."""
        self.requests += 1
        return self.process


def test_a_new_process_begins_a_new_lifetime() -> None:
    """The process is requested on a new connection; a restart is counted and logged once, with its build."""
    probe = FakeProcessProbe()
    simulated = SimulatedTarget(processes=probe)
    simulated.tick(4)
    assert probe.requests == 1
    for process, new_build in ((Process("0x7f02", "b1"), False), (Process("0x7f03", "b2"), True)):
        probe.process = process
        simulated.fetcher.reconnect()
        restarted = [line for line in simulated.tick(4) if line["event"] == "target restarted"]
        assert [line["new_build"] for line in restarted] == [new_build]
    probe.process = None  # the request failed: the process is unknown
    simulated.fetcher.reconnect()
    assert simulated.tick(2) == []
    assert simulated.state.restarts == 2


def test_a_protobuf_profile_identifies_the_process() -> None:
    """A proto profile has the process: no other request is sent, and another [vdso] is another process."""
    simulated = SimulatedTarget(proto=True)
    body = gzip.decompress((PROFILES / "1.27/goroutine.debug0.pb.gz").read_bytes())
    simulated.body = body
    simulated.tick(2)
    state = simulated.state
    assert (state.total, state.restarts) == (183, 0)
    first = state.process_tracker.process
    assert first is not None
    assert first.build
    simulated.body = _moved(body, int(first.start, 16))
    assert [line["new_build"] for line in simulated.tick(1) if line["event"] == "target restarted"] == [False]
    assert state.restarts == 1
    simulated.body = gzip.compress(body)[:-50]
    simulated.tick(1)
    simulated.body = BODY
    simulated.tick(1)
    assert {reason for reason, count in state.health.results.items() if count} == {
        "success",
        "truncated",
        "not_a_profile",
    }
    assert state.history.last.sum() == 182  # failures leave gaps, not zeros; one goroutine has not run yet


def _moved(body: bytes, start: int) -> bytes:
    """Return `body` with its [vdso] elsewhere in memory."""
    return body.replace(_varint(start), _varint(start + 0x1000))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


LEAKING = b"goroutine profile: total %d\n" + b"".join(
    (
        b'%d @ 0x11 0x21\n# labels: {"trace endpoint":"/stock"}\n',
        b"#\t0x10\texample.org/bus.(*Client).loop+0x1\t/go/pkg/mod/example.org/bus@v1.0.0/bus.go:7\n\n",
    )
)


@pytest.mark.parametrize(("redaction", "shown"), [(Redaction(labels=None), True), (Redaction(), False)])
def test_labels_of_a_leak_without_own_code(redaction: Redaction, shown: bool) -> None:
    """The leak has the labels of its goroutines, from the scrape after the suspicion on, if not redacted."""
    simulated = SimulatedTarget()
    simulated.pipeline.configure(DetectionSettings(redaction=redaction))
    for goroutines in range(0, 2400, 4):
        simulated.body = LEAKING % (goroutines, goroutines)
        simulated.tick(1)
        assert not simulated.state.labels or simulated.events  # a service without leaks pays nothing
    (leak,) = simulated.pipeline.open_leaks()
    assert [(caller.label, caller.value, caller.share) for caller in leak.callers] == (
        [("trace endpoint", "/stock", 1.0)] if shown else []
    )
