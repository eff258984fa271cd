"""Histories that are refilled from a real Prometheus."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import structlog

from leakwatch.clock import Clock
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Process as Identity
from leakwatch.model import Target, Verdict
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.backfill import Backfill
from leakwatch.scrape.prometheus_api import PrometheusApi, PrometheusConfig
from tests.support.answering import Answer, answering, endless, http
from tests.support.running import Process, free_port
from tests.support.simulated import HOUR, samples, stack
from tests.support.waiting import until, wait_for

HOURS = 36
RATE = 60.0  # goroutines per hour
CART = Target("cart", "10.1.0.1:6060")
STUCK, BUSY = 400, 30
"""Constant counts of the stacks of CART: a leak that has stopped growing, and one that its turnover showed."""
ONE, TWO = Target("shop", "10.0.0.1:6060"), Target("shop", "10.0.0.2:6060")
RESTARTED = 20.0  # hours after which the second one is another process


def counts(target: Target, hour: float) -> dict[str, int]:
    """Return the counts of one target; its leak began after ten hours."""
    since = RESTARTED if target is TWO and hour >= RESTARTED else 10.0
    rng = np.random.default_rng(int(hour * 60) + (target is TWO) * 10_000)
    return {
        "leak": 3 + int(RATE * max(hour - since, 0.0)),
        "busy": int(rng.poisson(40)),
        "sometimes": 9 if int(hour) % 2 else 0,
    }


def process(target: Target, hour: float) -> Identity:
    """Return which process a target ran in."""
    return Identity("0x7f02" if target is TWO and hour >= RESTARTED else "0x7f01", "b1")


def gauge(name: str, values: Iterable[tuple[str, float, float]]) -> Iterator[str]:
    """Yield the lines of one metric, from labels, value and time."""
    yield f"# TYPE {name} gauge"
    for labels, value, at in values:
        yield f"{name}{{{labels}}} {value} {at:.3f}"


def exported(begin: float) -> Iterator[str]:
    """Yield in OpenMetrics what leakwatch exported each minute, since `begin`."""
    hours = [minute / 60 for minute in range(HOURS * 60)]
    stacks = {name: stack(name, f"main.go{name}") for name in counts(ONE, 0)}

    def each(rest: str) -> Iterator[tuple[Target, str]]:
        for target in (ONE, TWO):
            yield target, f'service="{target.service}",target="{target.name}"{rest}'

    yield from gauge(
        "leakwatch_stack_goroutines",
        (
            (labels, count, begin + hour * HOUR)
            for name, one in stacks.items()
            for target, labels in each(f',stack="{one.fingerprint}",function="{one.blamed.function}"')
            for hour in hours
            if (count := counts(target, hour)[name])
        ),
    )
    yield from gauge(
        "leakwatch_stacks_other", ((labels, 0, begin + hour * HOUR) for _, labels in each("") for hour in hours)
    )
    yield from gauge(
        "leakwatch_process_info",
        (
            (labels, 1, begin + hour * HOUR)
            for start in ("0x7f01", "0x7f02")
            for target, labels in each(f',start="{start}",build="b1"')
            for hour in hours
            if process(target, hour).start == start
        ),
    )
    places = [
        f'stack="{one.fingerprint}",function="{one.blamed.function}",file="{one.blamed.file}",'
        f'line="{one.blamed.line}",origin="{one.origin}",wait=""'
        for one in stacks.values()
    ]
    yield from gauge(
        "leakwatch_stack_info", ((place, 1, begin + hour * HOUR) for place in places for hour in hours)
    )
    yield from exported_past(begin)
    yield "# EOF"


def exported_past(begin: float) -> Iterator[str]:
    """Yield what the sidecars of two pods exported of CART: for 30 hours, and in the last six hours."""
    pods = (("a", range(30 * 60)), ("b", range(30 * 60, HOURS * 60)))

    def all_pods(name: str, rest: str, *values: float) -> Iterator[str]:
        yield from gauge(
            name,
            (
                (f'instance="{pod}",service="cart",{rest}', value, begin + minute * 60)
                for (pod, minutes), value in zip(pods, values, strict=True)
                for minute in minutes
            ),
        )

    stacks = {name: stack(name) for name in ("stuck", "busy", "rare")}
    for name, one in stacks.items():
        place = f'stack="{one.fingerprint}",function="{one.blamed.function}"'
        yield from all_pods(
            "leakwatch_stack_info", f'{place},file="/src/{name}.go",line="7",origin="main.main",wait=""', 1, 1
        )
    for name, count in (("stuck", STUCK), ("busy", BUSY)):
        labels = f'target="{CART.name}",stack="{stacks[name].fingerprint}"'
        yield from all_pods("leakwatch_stack_goroutines", labels, count, count)
    drop, ceiling = "leakwatch_stack_known_drop_goroutines", "leakwatch_stack_ceiling_goroutines"
    yield from all_pods(drop, f'stack="{stacks["rare"].fingerprint}",span="brief"', 90, 80)
    yield from all_pods(drop, f'stack="{stacks["rare"].fingerprint}",span="lasting"', 40, 50)
    yield from all_pods(ceiling, f'stack="{stacks["rare"].fingerprint}",lifetime="2"', 200, 100)
    for name, verdict, rate in (("stuck", "plateau", 0.0), ("busy", "leaking", 3 / HOUR)):
        leak = f'stack="{stacks[name].fingerprint}"'
        if name == "stuck":  # exported by an earlier version
            leak += f',verdict="{verdict}"'
        else:
            yield from all_pods("leakwatch_leak_verdict", f'{leak},verdict="{verdict}"', 1, 1)
            yield from all_pods("leakwatch_leak_verdict", f'{leak},verdict="plateau"', 0, 0)
        yield from all_pods("leakwatch_leak_goroutines", leak, 7, 7)
        yield from all_pods("leakwatch_leak_growth_goroutines_per_second", leak, rate, rate)
        for date, hours in (("first_seen", 100), ("detected", 99)):
            time = begin - hours * HOUR
            yield from all_pods(f"leakwatch_leak_{date}_timestamp_seconds", leak, time, time + HOUR)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, float]]:
    """Run a Prometheus that knows the last 36 hours; give its URL and when they began."""
    folder = tmp_path_factory.mktemp("recorded")
    begin = time.time() - HOURS * HOUR
    (folder / "metrics.txt").write_text("\n".join(exported(begin)) + "\n")
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "metrics.txt", "tsdb"]
    subprocess.run(blocks, check=True, cwd=folder, capture_output=True)
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    server = Process(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
    )
    wait_for(lambda: [line for line in server.said if "ready to receive" in line])
    yield f"http://127.0.0.1:{port}", begin
    server.stop()


class At(Clock):
    """A clock that stands still."""

    def __init__(self, now: float, shift: float) -> None:
        super().__init__()
        self._now, self._shift = now, shift

    def time(self) -> float:
        """Return our own time."""
        return self._now + self._shift

    def wall(self, moment: float) -> float:
        """Return the time of the server."""
        return moment - self._shift


def refill(url: str, targets: Sequence[Target], now: float, shift: float = 0.0) -> Pipeline:
    """Return a pipeline that has just begun to scrape `targets`, with a history from the backfill."""

    async def fill() -> Pipeline:
        pipeline = Pipeline(DetectionSettings())
        for target in targets:
            pipeline.observe(pipeline.add_target(target), now + shift - 1, 20, samples({"busy": 20}))
        server = PrometheusApi(PrometheusConfig(url=url))
        backfill = Backfill(server, pipeline, At(now, shift))
        await backfill.fill(targets[0].service if targets else "shop")
        await backfill.close()
        return pipeline

    return asyncio.run(fill())


def test_what_was_known_is_known_again(recorded: tuple[str, float]) -> None:
    """A leak is reported at once, with the rate, the first date and the targets of an uninterrupted run."""
    url, begin = recorded
    now = begin + HOURS * HOUR - 60
    pipeline = refill(url, [ONE, TWO], now)
    (leak,) = pipeline.open_leaks()
    assert leak.stack.blamed == stack("leak", "main.goleak").blamed
    assert leak.stack.origin == "main.goleak"
    assert leak.verdict is Verdict.LEAKING
    assert leak.targets == (ONE.name, TWO.name)
    assert leak.growth.rate * HOUR == pytest.approx(2 * RATE, rel=0.1)
    assert leak.first_seen == pytest.approx(begin + 10 * HOUR, abs=HOUR)
    assert leak.goroutines == pytest.approx(sum(counts(target, HOURS)["leak"] for target in (ONE, TWO)), abs=8)
    state = pipeline.add_target(TWO)
    assert state.restarts == 1
    assert state.history.closed == pytest.approx((HOURS - RESTARTED) * 12, abs=2)
    fingerprint = stack("sometimes", "main.gosometimes").fingerprint
    known = state.history.blocks.values[0, state.history.rows[fingerprint]]
    assert set(np.round(known[2:-2])) >= {0.0, 9.0}  # a stack that is missing has no goroutines


def test_scraping_goes_on_from_there(recorded: tuple[str, float]) -> None:
    """The process continues its lifetime, and its whole stack replaces the single frame of the backfill."""
    url, begin = recorded
    pipeline = refill(url, [ONE], begin + HOURS * HOUR - 60, shift=5.0)
    closed = pipeline.add_target(ONE).history.closed
    for step in range(41):
        at = begin + HOURS * HOUR + step * 15
        found = samples(counts(ONE, (at - begin) / HOUR))
        assert pipeline.observe(pipeline.add_target(ONE), at, 0, found, process(ONE, HOURS)) == []
    assert pipeline.add_target(ONE).history.closed in {closed + 2, closed + 3}
    assert pipeline.add_target(ONE).restarts == 0
    (leak,) = pipeline.open_leaks()
    assert len(leak.stack.frames) == 2


def test_removed_targets_have_replacements(recorded: tuple[str, float]) -> None:
    """A replacement gets the state of the pod before it; a removed pod without replacement is not a target."""
    url, begin = recorded
    now = begin + HOURS * HOUR
    pipeline = refill(url, [ONE], now)
    assert pipeline.targets.keys() == {ONE}
    assert pipeline.add_target(ONE).target.name == ONE.name
    (leak,) = pipeline.open_leaks()
    assert leak.goroutines == pipeline.add_target(ONE).count(leak.stack.fingerprint)
    new = Target("shop", "10.9.9.9:6060")
    pipeline = refill(url, [new], now)
    assert not pipeline.add_target(new).is_observed
    pipeline.observe(pipeline.add_target(new), now + 15, 20, samples({"busy": 20}))
    assert pipeline.add_target(new).replacement
    (leak,) = pipeline.open_leaks()
    assert leak.verdict is Verdict.LEAKING
    assert refill(url, [], now).targets == {}


def test_what_the_replay_does_not_show(recorded: tuple[str, float]) -> None:
    """Known drops and ceilings are the maximum over all pods; leaks keep their verdicts and their earliest dates.

    The leaks grew before the replay, or in a way that it cannot show.
    """
    url, begin = recorded
    pipeline = refill(url, [CART], begin + HOURS * HOUR - 60, shift=5.0)
    history = pipeline.add_target(CART).history
    rare = history.rows[stack("rare").fingerprint]
    assert history.known_drop[:, rare].tolist() == [90, 50]
    assert history.past_lifetimes.ceilings[:, rare].tolist() == [0, 200, 0]
    leaks = {leak.stack.blamed.function: leak for leak in pipeline.open_leaks()}
    verdicts = {name: leak.verdict for name, leak in leaks.items()}
    assert verdicts == {"main.busy": Verdict.LEAKING, "main.stuck": Verdict.PLATEAU}
    for leak in leaks.values():
        assert leak.first_seen == pytest.approx(begin - 100 * HOUR + HOUR + 5, abs=2)  # pod a has ended
        assert leak.detected_at == pytest.approx(begin - 99 * HOUR + HOUR + 5, abs=2)
    assert leaks["main.busy"].goroutines == BUSY
    at = begin + HOURS * HOUR
    events = []
    for step in range(960):
        found = samples({"stuck": STUCK, "busy": BUSY}, "main.main")
        events += pipeline.observe(pipeline.add_target(CART), at + step * 15 + 5, STUCK + BUSY, found)
    (event,) = events
    assert (event.leak.stack.blamed.function, event.leak.verdict) == ("main.busy", Verdict.PLATEAU)


def test_a_new_pod_continues(recorded: tuple[str, float]) -> None:
    """A pod without an own profile continues with the leaks, known drops and ceilings of the earlier pods."""
    url, begin = recorded
    now, new = begin + HOURS * HOUR, Target("cart", "10.1.0.2:6060")
    pipeline = refill(url, [new], now)
    assert pipeline.observe(pipeline.add_target(new), now + 15, 20, samples({"busy": 20}, "main.main")) == []
    state = pipeline.add_target(new)
    rare = state.history.rows[stack("rare").fingerprint]
    assert state.history.known_drop[:, rare].tolist() == [90, 50]
    assert state.history.past_lifetimes.ceilings[:, rare].tolist() == [0, 0, 200]
    (leak,) = pipeline.open_leaks()  # the one that has stopped growing ended with its process
    assert (leak.stack.blamed.function, leak.verdict) == ("main.busy", Verdict.LEAKING)
    assert leak.detected_at is not None
    assert leak.detected_at < begin - 90 * HOUR


def test_nothing_is_reported_before_the_replay_ends(recorded: tuple[str, float]) -> None:
    """Metrics and alerts do not show a leak before the backfill of its service is complete."""
    url, begin = recorded

    async def play() -> list[int]:
        pipeline, seen = Pipeline(DetectionSettings()), []
        pipeline.add_target(TWO)
        pipeline.observe(pipeline.add_target(ONE), begin + HOURS * HOUR - 1, 20, samples({"busy": 20}))
        clock = At(begin + HOURS * HOUR, 0.0)
        backfill = Backfill(PrometheusApi(PrometheusConfig(url=url)), pipeline, clock)
        running = asyncio.create_task(backfill.fill("shop"))
        while not running.done():
            seen.append(len(pipeline.open_leaks()))
            await asyncio.sleep(0)
        await backfill.close()
        assert len(pipeline.open_leaks()) == 1
        return seen

    seen = asyncio.run(play())
    assert len(seen) > 100
    assert set(seen[:-1]) == {0}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"<html>login</html>", "200 OK"), "not a response of a Prometheus API: '<html>login</html>'"),
        (http(b'{"status":"error","errorType":"bad_data","error":"too long"}', "400 Bad Request"), "too long"),
        (http(b"no org id", "401 Unauthorized"), "HTTP 401: not a response of a Prometheus API: 'no org id'"),
        (http(b"starting", "503 Service Unavailable"), "HTTP 503: 'starting'"),
        (
            http(b'{"status":"success","data":{"result":[{"metric":{}}]}}', "200 OK"),
            "not a response of a Prometheus",
        ),
    ],
    ids=["html", "error", "401", "503", "other"],
)
def test_a_server_that_cannot_answer_is_said(answer: Answer, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is quoted in one warning, and the services stay in the queue."""
    monkeypatch.setattr("leakwatch.scrape.prometheus_api.PAUSE", 0.01)

    async def fill(url: str) -> None:
        pipeline = Pipeline(DetectionSettings())
        pipeline.add_target(ONE)
        backfill = Backfill(PrometheusApi(PrometheusConfig(url=url)), pipeline, Clock())
        backfill.add(["shop", "cart", "shop"])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(backfill.run(), 1)
        assert backfill.waiting == 2
        await backfill.close()

    with answering(answer) as server, structlog.testing.capture_logs() as logs:
        asyncio.run(fill(server.url))
    (line,) = logs
    assert line["log_level"] == "warning"
    assert line["services"] == 2
    assert said in line["error"]
    assert "localhost" in line["error"]


def test_who_leaks_comes_first(recorded: tuple[str, float]) -> None:
    """Services are refilled one after the other; what cannot be found is asked for once."""
    url, begin = recorded

    async def fill() -> None:
        pipeline = Pipeline(DetectionSettings())
        pipeline.add_target(TWO)
        pipeline.observe(pipeline.add_target(ONE), begin + HOURS * HOUR - 1, 20, samples({"busy": 20}))
        clock = At(begin + HOURS * HOUR, 0.0)
        backfill = Backfill(PrometheusApi(PrometheusConfig(url=url)), pipeline, clock)
        running = asyncio.create_task(backfill.run())
        backfill.add(["cart", "shop"])
        await until(lambda: not backfill.waiting)
        backfill.add(["cart", "shop"])
        assert not backfill.waiting
        assert len(pipeline.open_leaks()) == 1
        running.cancel()
        await backfill.close()

    asyncio.run(fill())


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response larger than the limit of memory is refused."""
    monkeypatch.setattr("leakwatch.scrape.prometheus_api.LIMIT", 1 << 20)

    async def ask(url: str) -> None:
        await PrometheusApi(PrometheusConfig(url=url)).instant("up", 0.0)

    with answering(endless(b"x" * 65536)) as server, pytest.raises(Exception, match="larger than 1 MB"):
        asyncio.run(ask(server.url))
