"""What a process is asked of its memory: when, over real connections, and what becomes of odd answers."""

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
from leakwatch.leaks.memory import Look, Usage
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.memory_usage import METRICS, PAUSE, MemoryProbe, memory_inquiry
from leakwatch.scrape.probes.probe import ProbeContext, ask, is_due
from tests.support.answering import Answer, Server, answering, endless, http
from tests.support.simulated import START, TARGET, stack
from tests.unit.scrape.probes.test_go_metrics import BODY

LEAK = stack("leak")
SAID = Usage(1_900_544, 52_051_968)


def context(
    now: float = 0.0, total: int = 800, start: str = "0x7f01", answers: ProbeResults | None = None
) -> ProbeContext:
    """Return one at which a leak of 300 goroutines is suspected."""
    suspects, held = {LEAK.fingerprint: LEAK}, {LEAK.fingerprint: 300}
    answers = answers or ProbeResults()
    return ProbeContext(TARGET, START + now, now, total, suspects, answers, Identifier(), held, 300.0, start)


class Asking:
    """Asks a real server, each time in a loop of its own."""

    def __init__(self, server: Server, path: str = "/metrics", timeout: float = 5.0) -> None:
        self.answers = ProbeResults()
        self._server = server
        self._path = path
        self._timeout = timeout

    def at(self, now: float, total: int = 800) -> Usage | None:
        """Ask if it is due; return what was put down."""

        async def run() -> None:
            client = Client(Tls(TlsConfig(), secure=False), timeout=self._timeout)
            url = httpx.URL(f"{self._server.url}/prefix/debug/pprof/goroutine?debug=1")
            settings = HttpSettings(authorization=Authorization.model_validate({"credentials": "hunter2"}))
            fetcher = Fetcher(client, url, settings, timeout=self._timeout, size_limit=1 << 20)
            probe = MemoryProbe(fetcher.with_path(self._path, 16 << 20), None)
            now_is = context(now, total, answers=self.answers)
            if is_due(probe, now_is):
                await ask(probe, now_is)
            await fetcher.close()

        before = len(self.answers.looks.kept)
        asyncio.run(run())
        kept = self.answers.looks.kept
        return kept[-1].usage if len(kept) > before else None


def requests(server: Server) -> list[bytes]:
    """Return the first lines of what was asked."""
    return [head.split(b"\r\n")[0] for head in server.requests]


def test_one_question_per_block() -> None:
    """At the address of the profile, with its credentials, on suspicion: once in five minutes."""
    with answering(http(BODY)) as server:
        asking = Asking(server)
        assert [asking.at(now) for now in (0, 15, 299, 300)] == [SAID, None, None, SAID]
    assert requests(server) == [b"GET /metrics HTTP/1.1"] * 2
    assert b"Authorization: Bearer hunter2\r\n" in server.requests[0]
    assert asking.answers.looks.kept[0] == Look(SAID, 800, {LEAK.fingerprint: 300})


def test_without_suspicion_nothing_is_asked() -> None:
    """A service in which nothing may leak never hears of it."""
    probe = MemoryProbe(None, None)
    assert not is_due(probe, replace(context(), suspects={}))
    assert is_due(probe, context())


def test_a_zipped_answer() -> None:
    """As metrics usually come."""
    with answering(http(gzip.compress(BODY), "200 OK", "Content-Encoding: gzip")) as server:
        assert Asking(server).at(0) == SAID


def silent(_: bytes, connection: socket.socket) -> None:
    """Wait for the client to give up."""
    connection.recv(1)


BOMB = gzip.compress(b"# nothing\n" * (2 << 20))


@pytest.mark.parametrize(
    ("answer", "why", "again"),
    [
        (http(b"404 page not found", "404 Not Found"), "HTTP 404 for /metrics", False),
        (http(b"", "401 Unauthorized"), "HTTP 401 for /metrics", False),
        (http(b"<!doctype html><p>shop"), "no metrics of a Go process", False),
        (http(b"\x00\x01\x02" * 1000), "no metrics of a Go process", False),
        (http(b"go_goroutines many\n"), "expected `name value`", True),
        (http(b"go_goroutines 7\n"), "go_goroutines is 7, the profile has 800: not the same process", True),
        (http(BODY, length=10_000), "the connection closed after", True),
        (endless(b"x" * 65_536), "larger than 16777216 bytes", True),
        (http(BOMB, "200 OK", "Content-Encoding: gzip"), "larger than 16777216 bytes", True),
        (silent, "no complete response within 0.5 s", True),
    ],
    ids=["404", "401", "page", "bytes", "value", "another", "cut", "endless", "bomb", "slow"],
)
def test_a_bad_answer_is_named_and_not_asked_for_too_soon(answer: Answer, why: str, again: bool) -> None:
    """The leak is looked at all the same; another process is asked anew."""
    with answering(answer) as server:
        asking = Asking(server, timeout=0.5 if answer is silent else 5.0)
        for now in (0, 300, 600):
            assert asking.at(now) == Usage()
        assert len(server.requests) == 1
        assert why in asking.answers.missing[METRICS]
        assert why in asking.answers.looks.each(LEAK.fingerprint).source
        asking.at(PAUSE)
        assert len(server.requests) == 1 + again
        asking.answers.restart()
        server.answer = http(BODY)
        assert asking.at(2 * PAUSE) == SAID
    assert asking.answers.missing == {}
    assert asking.answers.looks.missing == ""


def usage(probe: MemoryProbe, start: str = "0x7f01") -> Usage:
    """Ask; return what was put down."""
    now = context(start=start)
    asyncio.run(ask(probe, now))
    return now.answers.looks.kept[-1].usage


def test_where_the_limit_comes_from() -> None:
    """What is configured goes before what this machine knows; whose used bytes belong to its own limit."""
    here = Usage(resident=5.0, limit=100.0, used=50.0)
    assert usage(MemoryProbe(None, None, lambda _: here)) == here
    assert usage(MemoryProbe(None, 70.0, lambda _: here)) == Usage(resident=5.0, limit=70.0)
    assert usage(MemoryProbe(None, 70.0)) == Usage(limit=70.0)
    assert usage(MemoryProbe(None, None)) == Usage()


def test_this_machine_is_asked_about_the_process_that_answered() -> None:
    """By its start, in another thread; without one it cannot be told from a proxy."""
    asked: list[tuple[str, threading.Thread]] = []

    def here(start: str) -> Usage:
        asked.append((start, threading.current_thread()))
        return Usage(resident=5.0)

    assert usage(MemoryProbe(None, None, here)) == Usage(resident=5.0)
    assert usage(MemoryProbe(None, None, here), start="") == Usage()
    ((start, thread),) = asked
    assert start == "0x7f01"
    assert thread is not threading.main_thread()


@pytest.mark.parametrize(
    ("address", "path", "asks", "here"),
    [
        ("127.0.0.1:6060", "/metrics", "http://127.0.0.1:6060/metrics", True),
        ("localhost", "/internal/metrics", "http://localhost/internal/metrics", True),
        ("10.0.0.1:6060", "", None, False),
        ("unix:///run/shop", "/metrics", "http://localhost/metrics", False),
    ],
)
def test_what_is_made_of_an_endpoint(address: str, path: str, asks: str | None, here: bool) -> None:
    """Metrics are at the address of the profile, without what its URL asks; only loopback is this machine."""
    defaults = TargetDefaults(job="shop", scheme="http", path="/debug/pprof", metrics_path=path)
    found = endpoint({"__address__": address}, defaults)
    client = Client(Tls(TlsConfig(), secure=False), timeout=1)
    fetcher = Fetcher(client, found.url, HttpSettings(), timeout=1, size_limit=1)
    probe = memory_inquiry(fetcher, found)
    assert (str(probe._scraper.url) if probe._scraper else None) == asks
    assert (probe._here is not None) == here


JOB = TargetDefaults(job="shop", scheme="http", path="/debug/pprof", metrics_path="/metrics", memory_limit=1 << 20)


def made(labels: dict[str, str], job: TargetDefaults = JOB) -> Endpoint:
    """Return the endpoint of a target with these labels."""
    return endpoint({"__address__": "10.0.0.1:6060", **labels}, job)


def test_labels_override_the_job() -> None:
    """As those of scheme and path do; but who never asks for metrics does not for what others wrote either."""
    assert (made({}).metrics_path, made({}).memory_limit) == ("/metrics", 1 << 20)
    found = made({"__metrics_path__": "/m", "__memory_limit__": "512Mi"})
    assert (found.metrics_path, found.memory_limit) == ("/m", 512 << 20)
    assert made({"__metrics_path__": "/m"}, replace(JOB, metrics_path="")).metrics_path == ""


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"__metrics_path__": "metrics"}, "__metrics_path__ 'metrics' must be a path that begins with /"),
        ({"__metrics_path__": "/m?x=1"}, "must be a path"),
        ({"__metrics_path__": "/m\n"}, "__metrics_path__ '/m\\\\n' is not a path"),
        ({"__memory_limit__": "much"}, "__memory_limit__ 'much' is no size; write for example 512KB"),
        ({"__memory_limit__": "0"}, "__memory_limit__ '0' must be greater than 0"),
    ],
)
def test_labels_that_cannot_be(labels: dict[str, str], why: str) -> None:
    """The target is left out, and the label named."""
    with pytest.raises(DiscoveryError, match=why.replace("?", r"\?")):
        made(labels)
