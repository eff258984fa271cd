"""The memory probe: when it sends requests, over real connections, and how it treats invalid responses."""

import asyncio
import gzip
import socket
import threading
from dataclasses import replace

import httpx
import pytest

from leakwatch.discovery.target_builder import Endpoint, TargetDefaults, endpoint
from leakwatch.errors import DiscoveryError
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import Authorization, HttpSettings, TlsConfig
from leakwatch.leaks.findings import ProbeResults
from leakwatch.leaks.memory import MemoryMeasurement, MemoryUsage
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.pipeline import Pipeline
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.memory_usage import METRICS, MemoryProbe, memory_probe
from leakwatch.scrape.probes.probe import ProbeContext, is_due, record, run_probe
from tests.support.answering import Answer, Server, answering, endless, http
from tests.support.simulated import START, TARGET, samples, stack
from tests.unit.scrape.probes.test_go_metrics import BODY

LEAK = stack("leak")
USAGE = MemoryUsage(stacks=1_900_544, resident=52_051_968)


def leaking() -> TargetState:
    """Return the state of a target with 800 goroutines, of which 300 leak."""
    pipeline = Pipeline(DetectionSettings())
    state = pipeline.add_target(TARGET)
    pipeline.observe(state, START, 800, samples({"leak": 300, "busy": 500}, "main.main"))
    return state


def context(
    now: float = 0.0, total: int = 800, start: str = "0x7f01", state: TargetState | None = None
) -> ProbeContext:
    """Return the context of a target on which a leak of 300 goroutines is suspected."""
    return ProbeContext(
        state=state or leaking(),
        time=START + now,
        now=now,
        total=total,
        suspects={LEAK.fingerprint: LEAK},
        identifier=Identifier(),
        start=start,
    )


class Probed:
    """A real server with a memory probe; each run has its own event loop."""

    def __init__(self, server: Server, path: str = "/metrics", timeout: float = 5.0) -> None:
        self.state = leaking()
        self._server = server
        self._path = path
        self._timeout = timeout

    @property
    def results(self) -> ProbeResults:
        """The results of the probe."""
        return self.state.probe_results

    def run(self, now: float, total: int = 800) -> MemoryUsage | None:
        """Run the probe if it is due; return the usage that was recorded."""

        async def run() -> None:
            client = Client(Tls(TlsConfig(), secure=False), timeout=self._timeout)
            url = httpx.URL(f"{self._server.url}/prefix/debug/pprof/goroutine?debug=1")
            settings = HttpSettings(authorization=Authorization.model_validate({"credentials": "hunter2"}))
            fetcher = Fetcher(client, url, settings, timeout=self._timeout, size_limit=1 << 20)
            probe = MemoryProbe(fetcher.with_path(self._path, 16 << 20), None)
            probed = context(now, total, state=self.state)
            if is_due(probe, probed):
                record(probe.name, probed, await run_probe(probe, probed))
            await fetcher.close()

        before = len(self.results.memory.measurements)
        asyncio.run(run())
        measurements = self.results.memory.measurements
        return measurements[-1].usage if len(measurements) > before else None


def requests(server: Server) -> list[bytes]:
    """Return the request lines."""
    return [head.split(b"\r\n")[0] for head in server.requests]


def test_one_request_per_block() -> None:
    """On suspicion the metrics are requested every five minutes, with the credentials of the scrapes."""
    with answering(http(BODY)) as server:
        probed = Probed(server)
        assert [probed.run(now) for now in (0, 15, 299, 300)] == [USAGE, None, None, USAGE]
    assert requests(server) == [b"GET /metrics HTTP/1.1"] * 2
    assert b"Authorization: Bearer hunter2\r\n" in server.requests[0]
    assert probed.results.memory.measurements[0] == MemoryMeasurement(USAGE, 800, {LEAK.fingerprint: 300})


def test_without_suspects_no_request_is_sent() -> None:
    """A service without suspects does not get requests."""
    probe = MemoryProbe(None, None)
    assert not is_due(probe, replace(context(), suspects={}))
    assert is_due(probe, context())


def test_a_compressed_response() -> None:
    """Metrics may be compressed with gzip."""
    with answering(http(gzip.compress(BODY), "200 OK", "Content-Encoding: gzip")) as server:
        assert Probed(server).run(0) == USAGE


def silent(_: bytes, connection: socket.socket) -> None:
    """Wait for the client to give up."""
    connection.recv(1)


BOMB = gzip.compress(b"# nothing\n" * (2 << 20))


@pytest.mark.parametrize(
    ("answer", "error", "lasting"),
    [
        (http(b"404 page not found", "404 Not Found"), "HTTP 404 for /metrics", True),
        (http(b"", "401 Unauthorized"), "HTTP 401 for /metrics", True),
        (http(b"<!doctype html><p>shop"), "no metrics of a Go process", True),
        (http(b"\x00\x01\x02" * 1000), "no metrics of a Go process", True),
        (http(b"go_goroutines many\n"), "expected `name value`", True),
        (http(b"go_goroutines 7\n"), "go_goroutines is 7, the profile has 800: another process answered", False),
        (http(BODY, length=10_000), "the connection closed after", False),
        (endless(b"x" * 65_536), "larger than 16777216 bytes", True),
        (http(BOMB, "200 OK", "Content-Encoding: gzip"), "larger than 16777216 bytes", True),
        (silent, "no complete response within 0.5 s", False),
    ],
    ids=["404", "401", "page", "bytes", "value", "another", "cut", "endless", "bomb", "slow"],
)
def test_a_failure_is_recorded_and_retried_if_it_may_pass(answer: Answer, error: str, lasting: bool) -> None:
    """Without metrics the goroutines are measured all the same. A new process is asked again."""
    with answering(answer) as server:
        probed = Probed(server, timeout=0.5 if answer is silent else 5.0)
        for block in range(4):
            assert probed.run(300 * block) == MemoryUsage()
        assert len(server.requests) == (1 if lasting else 4)
        assert error in probed.results.unavailable[METRICS]
        assert error in probed.results.memory.cost_of(LEAK.fingerprint).source
        probed.results.restart()
        server.answer = http(BODY)
        assert probed.run(1200) == USAGE
    assert probed.results.unavailable == {}
    assert probed.results.memory.unavailable == ""


def usage(probe: MemoryProbe, start: str = "0x7f01") -> MemoryUsage:
    """Run the probe; return the usage that was recorded."""
    probed = context(start=start)
    assert asyncio.run(run_probe(probe, probed)) is None
    return probed.state.probe_results.memory.measurements[-1].usage


def test_where_the_limit_comes_from() -> None:
    """A configured limit has precedence over the limit of this machine, and then the used bytes do not count."""
    here = MemoryUsage(resident=5.0, limit=100.0, used=50.0)
    assert usage(MemoryProbe(None, None, lambda _: here)) == here
    assert usage(MemoryProbe(None, 70.0, lambda _: here)) == MemoryUsage(resident=5.0, limit=70.0)
    assert usage(MemoryProbe(None, 70.0)) == MemoryUsage(limit=70.0)
    assert usage(MemoryProbe(None, None)) == MemoryUsage()


def test_local_usage_of_the_process_that_answered() -> None:
    """A thread finds the local process by its start; a process without a start may be a proxy."""
    calls: list[tuple[str, threading.Thread]] = []

    def here(start: str) -> MemoryUsage:
        calls.append((start, threading.current_thread()))
        return MemoryUsage(resident=5.0)

    assert usage(MemoryProbe(None, None, here)) == MemoryUsage(resident=5.0)
    assert usage(MemoryProbe(None, None, here), start="") == MemoryUsage()
    ((start, thread),) = calls
    assert start == "0x7f01"
    assert thread is not threading.main_thread()


@pytest.mark.parametrize(
    ("address", "path", "url", "is_local"),
    [
        ("127.0.0.1:6060", "/metrics", "http://127.0.0.1:6060/metrics", True),
        ("localhost", "/internal/metrics", "http://localhost/internal/metrics", True),
        ("10.0.0.1:6060", "", None, False),
        ("unix:///run/shop", "/metrics", "http://localhost/metrics", False),
    ],
)
def test_the_probe_of_an_endpoint(address: str, path: str, url: str | None, is_local: bool) -> None:
    """The metrics have the address of the profile, but not its query; only loopback addresses are local."""
    built = endpoint(
        {"__address__": address}, TargetDefaults(job="shop", scheme="http", path="/debug/pprof", metrics_path=path)
    )
    client = Client(Tls(TlsConfig(), secure=False), timeout=1)
    fetcher = Fetcher(client, built.url, HttpSettings(), timeout=1, size_limit=1)
    probe = memory_probe(fetcher, built)
    assert (str(probe._fetcher.url) if probe._fetcher else None) == url
    assert (probe._local is not None) == is_local


JOB = TargetDefaults(job="shop", scheme="http", path="/debug/pprof", metrics_path="/metrics", memory_limit=1 << 20)


def made(labels: dict[str, str], job: TargetDefaults = JOB) -> Endpoint:
    """Return the endpoint of a target with these labels."""
    return endpoint({"__address__": "10.0.0.1:6060", **labels}, job)


def test_labels_override_the_job() -> None:
    """Labels override path and limit of the job; if the job has no metrics_path, no label sets one."""
    assert (made({}).metrics_path, made({}).memory_limit) == ("/metrics", 1 << 20)
    built = made({"__metrics_path__": "/m", "__memory_limit__": "512Mi"})
    assert (built.metrics_path, built.memory_limit) == ("/m", 512 << 20)
    assert made({"__metrics_path__": "/m"}, replace(JOB, metrics_path="")).metrics_path == ""


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"__metrics_path__": "metrics"}, "__metrics_path__ 'metrics' must be a path that begins with /"),
        ({"__metrics_path__": "/m?x=1"}, "must be a path"),
        ({"__metrics_path__": "/m\n"}, "__metrics_path__ '/m\\\\n' is not a path"),
        ({"__memory_limit__": "much"}, "__memory_limit__ 'much' is not a size; write for example 512KB"),
        ({"__memory_limit__": "0"}, "__memory_limit__ '0' must be greater than 0"),
    ],
)
def test_invalid_labels(labels: dict[str, str], why: str) -> None:
    """The target is dropped with an error that names the label."""
    with pytest.raises(DiscoveryError, match=why.replace("?", r"\?")):
        made(labels)
