"""Histories that are refilled from a real Prometheus."""

import asyncio
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import structlog
from answering import Answer, answering, endless, http
from running import Process, eventually, free_port
from simulated import HOUR, samples, stack

from leakwatch.model import Process as Identity
from leakwatch.model import Target, Verdict
from leakwatch.pipeline import Pipeline, Settings
from leakwatch.prometheus import Prometheus, PrometheusConfig
from leakwatch.warm import Warmer

HOURS = 36
RATE = 60.0  # goroutines per hour
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
    yield "# EOF"


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
    assert eventually(lambda: [line for line in server.said if "ready to receive" in line])
    yield f"http://127.0.0.1:{port}", begin
    server.stop()


def refill(url: str, targets: Sequence[Target], now: float, shift: float = 0.0) -> Pipeline:
    """Return a pipeline whose history was refilled."""

    async def fill() -> Pipeline:
        pipeline = Pipeline(Settings())
        warmer = Warmer(Prometheus(PrometheusConfig(url=url)), pipeline, time.monotonic)
        await warmer.refill("shop", targets, now, shift)
        await warmer.close()
        return pipeline

    return asyncio.run(fill())


def test_what_was_known_is_known_again(recorded: tuple[str, float]) -> None:
    """A leak is told at once, with its rate, first date and targets, as by who has watched it all along."""
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
    watch = pipeline.watch(TWO)
    assert watch.restarts == 1
    assert watch.history.closed == pytest.approx((HOURS - RESTARTED) * 12, abs=2)
    fingerprint = stack("sometimes", "main.gosometimes").fingerprint
    known = watch.history.blocks.values[0, watch.history.rows[fingerprint]]
    assert set(np.round(known[2:-2])) >= {0.0, 9.0}  # a stack that is missing has no goroutines


def test_scraping_goes_on_from_there(recorded: tuple[str, float]) -> None:
    """The same process goes on in its lifetime, and its whole stack replaces the one frame that was known."""
    url, begin = recorded
    pipeline = refill(url, [ONE], begin + HOURS * HOUR - 60, shift=5.0)
    closed = pipeline.watch(ONE).history.closed
    for step in range(41):
        at = begin + HOURS * HOUR + step * 15
        found = samples(counts(ONE, (at - begin) / HOUR))
        assert pipeline.observe(ONE, at, 0, found, process(ONE, HOURS)) == []
    assert pipeline.watch(ONE).history.closed in {closed + 2, closed + 3}
    assert pipeline.watch(ONE).restarts == 0
    (leak,) = pipeline.open_leaks()
    assert len(leak.stack.frames) == 2


def test_only_what_is_asked_for_is_refilled(recorded: tuple[str, float]) -> None:
    """Targets that are no more, and services that nobody knows, are no work for anybody."""
    url, begin = recorded
    assert refill(url, [ONE], begin + HOURS * HOUR).watches.keys() == {ONE}
    assert refill(url, [Target("shop", "10.9.9.9:6060")], begin + HOURS * HOUR).watches == {}
    assert refill(url, [], begin + HOURS * HOUR).watches == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"<html>login</html>", "200 OK"), "no answer of a Prometheus API: '<html>login</html>'"),
        (http(b'{"status":"error","errorType":"bad_data","error":"too long"}', "400 Bad Request"), "too long"),
        (http(b"no org id", "401 Unauthorized"), "HTTP 401: no answer of a Prometheus API: 'no org id'"),
        (http(b"starting", "503 Service Unavailable"), "HTTP 503: 'starting'"),
        (http(b'{"status":"success","data":{"result":[{"metric":{}}]}}', "200 OK"), "no answer of a Prometheus"),
    ],
    ids=["html", "error", "401", "503", "other"],
)
def test_a_server_that_cannot_answer_is_said_once(
    answer: Answer, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answered is quoted; judging begins anew, and it is left alone for a while."""
    monkeypatch.setattr("leakwatch.prometheus.PAUSE", 0.01)

    async def fill(url: str) -> None:
        warmer = Warmer(Prometheus(PrometheusConfig(url=url)), Pipeline(Settings()), time.monotonic)
        for service in ("shop", "cart"):
            await warmer.refill(service, [ONE], time.time(), 0.0)
        await warmer.close()

    with answering(answer) as server, structlog.testing.capture_logs() as logs:
        asyncio.run(fill(server.url))
    (line,) = logs
    assert line["log_level"] == "warning"
    assert said in line["error"]
    assert "localhost" in line["error"]


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read than memory can bear."""
    monkeypatch.setattr("leakwatch.prometheus.LIMIT", 1 << 20)

    async def ask(url: str) -> None:
        await Prometheus(PrometheusConfig(url=url)).instant("up", 0.0)

    with answering(endless(b"x" * 65536)) as server, pytest.raises(Exception, match="more than 1 MB"):
        asyncio.run(ask(server.url))
