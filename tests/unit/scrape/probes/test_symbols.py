"""Wait reasons that text profiles hide: requests for function names, and how their responses are used."""

import asyncio
import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from leakwatch.cli.main import app
from leakwatch.errors import MalformedProfile, NotAProfile, ProfileError, ScrapeError
from leakwatch.http.client import Client, Tls
from leakwatch.http.fake import FakeFetcher
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import HttpSettings, TlsConfig
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Trace
from leakwatch.profile import proto, text, wait_reason
from leakwatch.profile import symbols as symbol
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.symbols import AT_ONCE, MOST, RENEWED, SIZE_LIMIT, SymbolProbe, visible_at
from tests.support.answering import Answer, answering, http
from tests.support.scraping import FakeClock, SimulatedTarget
from tests.support.simulated import START

PROFILES = Path(__file__).parents[3] / "profiles"
VERSIONS = sorted(path.parent for path in PROFILES.glob("*/symbol.txt"))
SENDS, SELECTS, SEND, SELECT = 0x400100, 0x400200, 0x500010, 0x500020
BODY = (
    b"goroutine profile: total 7\n"
    b"5 @ 0x400001 0x400101 0x500011 0x400900\n#\t0x500010\tmain.send+0x10\t/src/main.go:7\n\n"
    b"2 @ 0x400001 0x400201 0x500021 0x400900\n#\t0x500020\tmain.choose+0x10\t/src/main.go:9\n\n"
)
NAMES = {
    SENDS: "runtime.chansend1",
    SELECTS: "runtime.selectgo",
    SEND: "main.send",
    SELECT: "main.choose",
}


def waits(samples: Samples) -> dict[str, str]:
    """Return blamed function -> wait reason."""
    return {sample.stack.blamed.function: sample.stack.wait for sample in samples.values()}


def samples_of(body: bytes = BODY, identifier: Identifier | None = None) -> dict[Fingerprint, Sample]:
    """Return the samples of a text body."""
    return (identifier or Identifier()).merge(text.parse(body).groups, {})


class FakeProcess:
    """A simulated process that serves /symbol as Go does, from `names`; records the queries."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.queries: list[str] = []
        self.failure: tuple[int, bytes] | httpx.HTTPError | None = None
        """Status and body of the response, or the error of the connection."""
        self.cut: int | None = None

    def respond(self, request: httpx.Request) -> tuple[int, bytes]:
        """Return the names of the addresses in the query."""
        self.queries.append(request.url.query.decode())
        if isinstance(self.failure, httpx.HTTPError):
            raise self.failure
        if self.failure:
            return self.failure
        addresses = [int(word, 16) for word in self.queries[-1].split("+")]
        lines = [f"{address:#x} {self.names[address]}\n" for address in addresses if address in self.names]
        return 200, "".join(["num_symbols: 1\n", *lines]).encode()[: self.cut]


def probe_of(process: FakeProcess) -> SymbolProbe:
    """Return the probe of a simulated process."""
    return SymbolProbe(FakeFetcher(process.respond).with_profile("symbol", SIZE_LIMIT))


class Probed:
    """The probe of a simulated process, with its schedule; `errors`: those that differ from the previous one."""

    def __init__(self, process: FakeProcess) -> None:
        self.probe = probe_of(process)
        self.schedule = ProbeSchedule()
        self.errors: list[ScrapeError] = []

    def follow(self, process: str, now: float, *, new_connection: bool = False) -> None:
        """Set the process that answered."""
        self.probe.follow(self.schedule, process, now, new_connection=new_connection)

    def run(self, samples: Samples, now: float = 0.0, first: Sequence[Fingerprint] = ()) -> int:
        """Request the hidden names of `samples` as the scrape loop does; return the number of addresses."""
        traces = self.probe.hidden(samples, first) if now >= self.schedule.retry_at else []
        error = asyncio.run(self.probe.request(self.schedule, traces, now)) if traces else None
        if error:
            self.errors.append(error)
        return len(traces)


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)
def test_text_with_symbols_has_the_wait_reasons_of_protobuf(folder: Path) -> None:
    """On every Go version, the names of the hidden addresses give the same wait reasons as debug=0."""
    names = symbol.parse((folder / "symbol.txt").read_bytes())
    body = (folder / "goroutine.debug1.txt").read_bytes()
    identifier = Identifier()
    samples = samples_of(body, identifier)
    identifier.set_wait_reasons(samples, names)
    with_names = Identifier().identify(text.parse(body, ParseCache(symbols=names)))
    expected = Identifier().identify(proto.parse((folder / "goroutine.debug0.pb.gz").read_bytes()))
    reasons = {key: sample.stack.wait for key, sample in expected.items()}
    for result in (samples, with_names):
        assert {key: sample.stack.wait for key, sample in result.items()} == reasons


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)
def test_one_small_request_per_process(folder: Path) -> None:
    """A real program hides fewer than twenty addresses: one request with a short URL, which passes the check."""
    process = FakeProcess(symbol.parse((folder / "symbol.txt").read_bytes()))
    probed, samples = Probed(process), samples_of((folder / "goroutine.debug1.txt").read_bytes())
    assert 5 <= probed.run(samples) < 20
    assert probed.run(samples) == 0
    assert len(process.queries) == 1
    assert len(process.queries[0]) < 400
    assert all(probed.probe.names.values())


def test_the_query() -> None:
    """The query has each hidden address once, and the address of a visible call last, as a check."""
    process = FakeProcess(NAMES)
    probed, identifier = Probed(process), Identifier()
    samples = samples_of(identifier=identifier)
    assert probed.run(samples) == 2
    assert process.queries == ["0x400100+0x400200+0x500010"]
    identifier.set_wait_reasons(samples, probed.probe.names)
    assert waits(samples) == {"main.send": "chan send", "main.choose": "select"}
    assert waits(samples_of(identifier=identifier)) == waits(samples)  # without setting them again


def test_fingerprints_do_not_depend_on_the_reason() -> None:
    """A stack has the same fingerprint before and after its wait reason is known."""
    before = samples_of()
    identifier = Identifier()
    after = samples_of(identifier=identifier)
    identifier.set_wait_reasons(after, NAMES)
    assert before.keys() == after.keys()
    assert [sample.goroutines for sample in after.values()] == [5, 2]


def test_stacks_without_hidden_functions() -> None:
    """No request is sent for a stack with a visible first program counter, or one that has not run yet."""
    body = b"goroutine profile: total 2\n1 @ 0x5 0x9\n#\t0x4\tmain.f+0x1\t/m.go:1\n\n1 @ 0x9\n\n"
    assert Probed(FakeProcess({})).run(samples_of(body)) == 0


def many(number: int) -> Samples:
    """Return stacks that hide one address each, in the order of their size."""
    samples = {}
    for i in range(number):
        trace = Trace((Frame(f"main.f{i}"),), b" %#x %#x" % (0x1001 + i, 0x900001 + i), parked_at=0x1000 + i)
        stack = Identifier().stack(trace)
        samples[stack.fingerprint] = Sample(stack, i + 1, trace)
    return samples


def test_important_stacks_come_first() -> None:
    """Judged stacks come first, then the largest. A request and a process have a limited number of addresses."""
    process = FakeProcess({0x900000 + i: f"main.f{i}" for i in range(1000)})
    probed, samples = Probed(process), many(1000)
    judged = fingerprint_of(["main.f3"])
    assert probed.run(samples, first=[judged]) == AT_ONCE
    assert process.queries[0].split("+")[:3] == ["0x1003", hex(0x1000 + 999), hex(0x1000 + 998)]
    assert len(process.queries[0]) < 2000
    while probed.run(samples):
        pass
    assert len(probed.probe.names) == MOST


def test_an_address_without_a_name_is_requested_once() -> None:
    """An address that the process cannot name stays unknown."""
    process = FakeProcess({SEND: "main.send", SENDS: "runtime.chansend1"})
    probed, identifier = Probed(process), Identifier()
    samples = samples_of(identifier=identifier)
    assert [probed.run(samples), probed.run(samples)] == [2, 0]
    identifier.set_wait_reasons(samples, probed.probe.names)
    assert waits(samples) == {"main.send": "chan send", "main.choose": ""}


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        ({SENDS: "runtime.chansend1", SELECTS: "runtime.selectgo", SEND: "main.other"}, None),
        ({SENDS: "runtime.chansend1", SELECTS: "runtime.selectgo"}, None),
        (NAMES, 40),
        (NAMES, -1 - len("send")),
    ],
    ids=["another process", "no visible call", "half a response", "half a name"],
)
def test_a_response_that_fails_the_check_is_dropped(names: dict[int, str], cut: int | None) -> None:
    """All names are dropped if the response does not name a visible call as the profile does."""
    process = FakeProcess(names)
    process.cut = cut
    probed = Probed(process)
    probed.run(samples_of())
    assert probed.probe.names == {}
    assert [error.reason for error in probed.errors] == ["malformed"]
    assert "main.send" in str(probed.errors[0])


def test_another_process_is_asked_again() -> None:
    """After a restart the addresses have other names; the known wait reasons stay until the response arrives."""
    process, identifier = FakeProcess(NAMES), Identifier()
    probed = Probed(process)
    probed.follow("0x7f01", 0.0, new_connection=True)
    samples = samples_of(identifier=identifier)
    probed.run(samples)
    identifier.set_wait_reasons(samples, probed.probe.names)
    probed.follow("0x7f01", 5.0, new_connection=True)
    assert probed.run(samples) == 0
    rebuilt = BODY.replace(b"main.go:7", b"main.go:8").replace(b"0x400101", b"0x400301")
    process.names = {**NAMES, 0x400300: "runtime.selectgo"}
    probed.follow("0x7f02", 10.0, new_connection=True)
    samples = samples_of(rebuilt, identifier)
    assert waits(samples)["main.send"] == "chan send"
    assert probed.run(samples) == 2
    identifier.set_wait_reasons(samples, probed.probe.names)
    assert waits(samples)["main.send"] == "select"


def test_an_unidentified_process() -> None:
    """On a new connection an unidentified process may be another one; it is asked again at most once a minute."""
    probed, samples = Probed(FakeProcess(NAMES)), samples_of()
    requests = 0
    for second in range(0, 600, 10):
        probed.follow("", float(second), new_connection=True)
        requests += probed.run(samples, float(second)) > 0
    assert requests == 600 / RENEWED


@pytest.mark.parametrize(
    ("failure", "reason", "lasting"),
    [
        ((404, b""), "status", True),
        ((200, b"<html>"), "not_a_profile", True),
        (httpx.ReadTimeout(""), "timeout", False),
    ],
)
def test_a_failure_is_reported_once_and_the_request_repeated_after_a_pause(
    failure: tuple[int, bytes] | httpx.HTTPError, reason: str, lasting: bool
) -> None:
    """A failure that the same process would repeat is final; a timeout is retried after 60 s, 120 s, ..."""
    process = FakeProcess(NAMES)
    process.failure = failure
    probed, samples = Probed(process), samples_of()
    times = []
    for second in range(0, 600, 15):
        probed.follow("0x7f01", second)
        if probed.run(samples, second):
            times.append(second)
    assert times == ([0] if lasting else [0, 60, 180, 420])
    probed.follow("0x7f02", 600)
    assert probed.run(samples, 600) == 2  # a new build may have the names
    assert {error.reason for error in probed.errors} == {reason}


def response(answer: Answer, timeout: float = 5.0) -> tuple[SymbolProbe, ProbeSchedule, ScrapeError | None]:
    """Send a request to a real server; return the probe, its schedule and the error."""

    async def run(url: str) -> tuple[SymbolProbe, ProbeSchedule, ScrapeError | None]:
        client = Client(Tls(TlsConfig(), secure=False), timeout=timeout)
        profile = httpx.URL(f"{url}/prefix/debug/pprof/goroutine?debug=1")
        fetcher = Fetcher(client, profile, HttpSettings(), timeout=timeout, size_limit=1 << 20)
        probe, schedule = SymbolProbe(fetcher.with_profile("symbol", 1 << 16)), ProbeSchedule()
        error = await probe.request(schedule, probe.hidden(samples_of(), ()), 0.0)
        await fetcher.close()
        return probe, schedule, error

    with answering(answer) as server:
        result = asyncio.run(run(server.url))
        assert [head.split(b"\r\n")[0] for head in server.requests] == [
            b"GET /prefix/debug/pprof/symbol?0x400100+0x400200+0x500010 HTTP/1.1"
        ]
    return result


def test_query_parameters_follow_the_addresses() -> None:
    """Go splits the query at each plus, so a plus separates the last address from the parameters of the job."""

    async def run(url: str) -> None:
        client = Client(Tls(TlsConfig(), secure=False), timeout=5)
        profile = httpx.URL(f"{url}/debug/pprof/goroutine?debug=1&authKey=a%20b")
        fetcher = Fetcher(client, profile, HttpSettings(), timeout=5, size_limit=1 << 20)
        probe = SymbolProbe(fetcher.with_profile("symbol", 1 << 16))
        await probe.request(ProbeSchedule(), probe.hidden(samples_of(), ()), 0.0)
        await fetcher.close()

    with answering(http(body=b"num_symbols: 1\n")) as server:
        asyncio.run(run(server.url))
    (request,) = server.requests
    path, _, query = request.split()[1].decode().partition("?")
    assert path == "/debug/pprof/symbol"
    assert query.split("+")[:3] == ["0x400100", "0x400200", "0x500010"]
    assert parse_qs(query)["authKey"] == ["a b"]


def silent(_: bytes, connection: socket.socket) -> None:
    """Wait until the client closes the connection."""
    connection.recv(1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b"<html>index</html>", "200 OK", "Content-Type: text/html"), "not_a_profile"),
        (http(b"Unknown profile", "404 Not Found"), "status"),
        (http(b"", "405 Method Not Allowed"), "status"),
        (http(b"num_symbols: 1\n0x400100 runtime.chansend1\n", length=500), "truncated"),
        (http(b"num_symbols: 0\n"), "malformed"),
        (http(b"num_symbols: 1\n0x400100 runtime.chansend1\nand so on\n"), "malformed"),
        (http(b"num_symbols: 1\n" + b"0x1 f\n" * 20_000), "too_large"),
        (http(b""), "malformed"),
        (silent, "timeout"),
    ],
    ids=["page", "404", "405", "cut", "no names", "garbage", "endless", "empty", "slow"],
)
def test_invalid_responses(answer: Answer, reason: str) -> None:
    """Each failure has its reason, and no name is recorded; the request is one GET with plain pluses."""
    probe, schedule, error = response(answer, 0.3 if reason == "timeout" else 5.0)
    assert error is not None
    assert error.reason == reason
    assert probe.names == {}
    assert schedule.retry_at >= 60


def test_scrape_of_a_service_without_symbols() -> None:
    """`leakwatch scrape` of a service without /symbol reports this on standard error, and prints the rest."""
    page = http(b"404 page not found", "404 Not Found", "Connection: close")
    profile = http(BODY, "200 OK", "Connection: close")

    def answer(head: bytes, connection: socket.socket) -> None:
        (profile if b"/goroutine?" in head else page)(head, connection)

    with answering(answer) as server:
        output = CliRunner().invoke(app, ["scrape", server.url, "--format", "json"])
    assert json.loads(output.stdout)["goroutines"] == 7
    assert output.stderr == (
        "leakwatch: wait reasons of channels are unknown: HTTP 404 for /debug/pprof/symbol: '404 page not found'\n"
    )


@pytest.mark.parametrize("name", ["symbol", "symbol.txt"])
def test_scrape_of_a_file(tmp_path: Path, name: str) -> None:
    """`leakwatch scrape FILE` uses the names in a recorded response beside it, and reports an invalid one."""
    (tmp_path / "body.txt").write_bytes(BODY)
    (tmp_path / name).write_text("num_symbols: 1\n0x400100 runtime.chansend1\n0x400200 runtime.selectgo\n")
    command = ["scrape", str(tmp_path / "body.txt"), "--format", "json", "--by", "reason"]
    output = CliRunner().invoke(app, command)
    assert [group["key"] for group in json.loads(output.stdout)["groups"]] == ["chan send", "select"]
    (tmp_path / name).write_text("<html>")
    output = CliRunner().invoke(app, command)
    assert [group["key"] for group in json.loads(output.stdout)["groups"]] == ["(unknown)"]
    assert f"{name}: left out: not a response of /symbol" in output.stderr


def test_the_docs_have_all_wait_reasons() -> None:
    """The table in docs/how-it-judges.md has every wait reason."""
    page = (Path(__file__).parents[4] / "docs" / "how-it-judges.md").read_text()
    table = page.partition("| where the goroutine is parked | reason |\n")[2].partition("\n\n")[0]
    listed = {word for row in table.splitlines()[1:] for word in re.findall("`(.+?)`", row.split("|")[2])}
    assert listed == {*wait_reason.PARKED.values(), *wait_reason.WAITS.values(), *wait_reason.LOCKS.values()}


@given(st.binary())
def test_arbitrary_responses(body: bytes) -> None:
    """Every invalid response raises a ProfileError."""
    try:
        names = symbol.parse(body)
    except ProfileError:
        return
    assert all(address >= 0 and function for address, function in names.items())


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"<html>", NotAProfile, "<html>"),
        (b"num_symbols: 1\n0x1 f\noops\n", MalformedProfile, "line 3.*oops"),
        (b"0x1 \n", NotAProfile, "0x1"),
    ],
)
def test_errors_of_invalid_responses(body: bytes, error: type[ProfileError], message: str) -> None:
    """The error has the number of the line and quotes it."""
    with pytest.raises(error, match=message):
        symbol.parse(body)


def test_several_responses_in_one_file() -> None:
    """Responses that were appended to each other are parsed as one."""
    assert symbol.parse(b"num_symbols: 1\n0x1 a\nnum_symbols: 1\n0x2 b c\n") == {1: "a", 2: "b c"}


def test_the_visible_call_beside_a_hidden_one() -> None:
    """The address of the visible call is the next counter, less one."""
    trace = text.parse(BODY).groups[0][0]
    assert (trace.parked_at, visible_at(trace)) == (SENDS, SEND)


@pytest.mark.parametrize(
    ("hidden", "function", "wait"),
    [
        ("runtime.chanrecv2", "main.f", "chan receive"),
        ("runtime.block", "main.f", "select (no cases)"),
        ("runtime.coroswitch", "iter.Pull[...].func2", "coroutine"),
        ("runtime.cgocall", "main._Cfunc_sleep", "syscall"),
        ("runtime.asyncPreempt", "main.f", "runnable"),
        ("runtime.gopark", "time.Sleep", "sleep"),
        ("runtime.semacquire1", "internal/sync.runtime_SemacquireMutex", "sync.Mutex.Lock"),
        ("runtime.netpollblock", "internal/poll.runtime_pollWait", "IO wait"),
        ("runtime.gopark", "main.f", ""),
    ],
)
def test_wait_reasons(hidden: str, function: str, wait: str) -> None:
    """The hidden function, or else the first visible one, gives the wait reason in the words of debug=2."""
    trace = Trace((Frame(function), Frame("main.main")), b" 0x11 0x21", parked_at=0x10)
    identifier = Identifier()
    samples = identifier.merge([(trace, 1)], {})
    identifier.set_wait_reasons(samples, {0x10: hidden})
    assert [sample.stack.wait for sample in samples.values()] == [wait]


def test_a_running_worker_keeps_its_wait_reason() -> None:
    """A worker that runs between two waits keeps its wait reason, so that its series do not come and go."""
    identifier, frames = Identifier(), (Frame("main.work"),)
    waiting, running = Trace(frames, b" 0x11 0x21", parked_at=0x10), Trace(frames, b" 0x15 0x25", parked_at=0x14)
    names = {0x10: "runtime.chanrecv1", 0x14: "runtime.asyncPreempt"}
    for trace, wait in ((running, "runnable"), (waiting, "chan receive"), (running, "chan receive")):
        samples = identifier.merge([(trace, 1)], {})
        identifier.set_wait_reasons(samples, names)
        assert [sample.stack.wait for sample in samples.values()] == [wait]


def scraped(process: FakeProcess) -> SimulatedTarget:
    """Return a simulated target that `process` serves."""
    simulated = SimulatedTarget(symbols=probe_of(process))
    simulated.body = BODY
    return simulated


def test_the_first_profile_has_wait_reasons() -> None:
    """The names are requested once, before the first profile is recorded: no series changes its labels."""
    process = FakeProcess(NAMES)
    simulated = scraped(process)
    simulated.tick(1)
    assert {stack.wait for stack in simulated.state.history.stacks if stack} == {"chan send", "select"}
    simulated.tick(5)
    assert len(process.queries) == 1


class SlowProcess(FakeProcess):
    """A simulated process that answers after `seconds`."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__(NAMES)
        self.clock = clock
        self.seconds = seconds

    def respond(self, request: httpx.Request) -> tuple[int, bytes]:
        """Answer after `seconds`."""
        self.clock.now += self.seconds
        return super().respond(request)


def test_the_request_is_charged() -> None:
    """The request is charged like a scrape: at 1 % of a core, half a second makes a pause of 45 s."""
    simulated = scraped(FakeProcess(NAMES))
    simulated.loop._symbols = probe_of(SlowProcess(simulated.clock, 0.5))
    simulated.tick(6)
    assert simulated.requested()[1] - simulated.requested()[0] >= 45


def test_a_failure_does_not_affect_the_profile() -> None:
    """Without /symbol the counts are recorded all the same, with the wait reasons of visible functions."""
    process = FakeProcess(NAMES)
    process.failure = 404, b""
    simulated = scraped(process)
    logged = simulated.tick(5)
    assert simulated.state.total == 7
    assert {stack.wait for stack in simulated.state.history.stacks if stack} == {""}
    assert [line["event"] for line in logged if "wait" in line["event"]] == [
        "wait reasons of channels are unknown"
    ]
    assert simulated.state.health.up is True


def test_mixed_processes_are_not_asked() -> None:
    """If several processes answer in turn, the response may come from another process than the profile."""
    process = FakeProcess(NAMES)
    simulated = scraped(process)
    simulated.state.process_tracker.mixed = True
    simulated.loop._process = Process("0x7f01")
    simulated.tick(1)
    assert process.queries == []
    assert simulated.requested() == [round(simulated.clock.now - START - 15)]
