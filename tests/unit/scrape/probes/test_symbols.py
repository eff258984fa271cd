"""Wait reasons that debug=1 hides: what is asked of /symbol, when, and what becomes of the answer."""

import asyncio
import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path

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
from leakwatch.model import Fingerprint, Frame, Process, Sample, Samples, Trace
from leakwatch.profile import proto, text, wait_reason
from leakwatch.profile import symbols as symbol
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.probes.symbols import AT_ONCE, MOST, PAUSE, RENEWED, SIZE_LIMIT, SymbolProbe, visible_at
from tests.support.answering import Answer, answering, http
from tests.support.simulated import START, TARGET
from tests.unit.scrape.test_loop import FakeClock, World

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
        self.asked: list[str] = []
        self.failure: tuple[int, bytes] | httpx.HTTPError | None = None
        """Status and body to answer with instead, or the error of the connection."""
        self.cut: int | None = None

    def respond(self, request: httpx.Request) -> tuple[int, bytes]:
        """Return the names of the addresses in the query."""
        self.asked.append(request.url.query.decode())
        if isinstance(self.failure, httpx.HTTPError):
            raise self.failure
        if self.failure:
            return self.failure
        addresses = [int(word, 16) for word in self.asked[-1].split("+")]
        lines = [f"{address:#x} {self.names[address]}\n" for address in addresses if address in self.names]
        return 200, "".join(["num_symbols: 1\n", *lines]).encode()[: self.cut]


def asking(process: FakeProcess) -> SymbolProbe:
    """Return the probe of a simulated process."""
    return SymbolProbe(FakeFetcher(process.respond).with_profile("symbol", SIZE_LIMIT))


def ask(
    symbols: SymbolProbe,
    samples: Samples,
    now: float = 0.0,
    first: Sequence[Fingerprint] = (),
    said: list[ScrapeError] | None = None,
) -> int:
    """Ask for what is wanted; return for how many addresses. What is news of failures goes to `said`."""
    traces = symbols.wanted(samples, first, now)
    error = asyncio.run(symbols.ask(traces, now)) if traces else None
    if error:
        assert said is not None, error
        said.append(error)
    return len(traces)


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)
def test_text_and_symbols_say_what_protobuf_says(folder: Path) -> None:
    """On every Go version the names of the hidden addresses tell the same wait reasons as debug=0."""
    symbols = symbol.parse((folder / "symbol.txt").read_bytes())
    body = (folder / "goroutine.debug1.txt").read_bytes()
    identifier = Identifier()
    samples = samples_of(body, identifier)
    identifier.learn(samples, symbols)
    at_once = Identifier().identify(text.parse(body, text.TextCache(symbols=symbols)))
    expected = Identifier().identify(proto.parse((folder / "goroutine.debug0.pb.gz").read_bytes()))
    reasons = {key: sample.stack.wait for key, sample in expected.items()}
    for found in (samples, at_once):
        assert {key: sample.stack.wait for key, sample in found.items()} == reasons


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)
def test_one_small_question_names_all(folder: Path) -> None:
    """A real program hides fewer than twenty addresses: one request, a short URL, and the check holds."""
    process = FakeProcess(symbol.parse((folder / "symbol.txt").read_bytes()))
    symbols, samples = asking(process), samples_of((folder / "goroutine.debug1.txt").read_bytes())
    assert 5 <= ask(symbols, samples) < 20
    assert ask(symbols, samples) == 0
    assert len(process.asked) == 1
    assert len(process.asked[0]) < 400
    assert all(symbols.names.values())


def test_what_is_asked() -> None:
    """The address of the hidden call next to the first visible one, each once; a visible one last, as a check."""
    process = FakeProcess(NAMES)
    symbols, identifier = asking(process), Identifier()
    samples = samples_of(identifier=identifier)
    assert ask(symbols, samples) == 2
    assert process.asked == ["0x400100+0x400200+0x500010"]
    identifier.learn(samples, symbols.names)
    assert waits(samples) == {"main.send": "chan send", "main.choose": "select"}
    assert waits(samples_of(identifier=identifier)) == waits(samples)  # the next scrape has them at once


def test_fingerprints_do_not_depend_on_the_reason() -> None:
    """A stack is the same before and after its wait reason is known."""
    before = samples_of()
    identifier = Identifier()
    after = samples_of(identifier=identifier)
    identifier.learn(after, NAMES)
    assert before.keys() == after.keys()
    assert [sample.goroutines for sample in after.values()] == [5, 2]


def test_what_hides_nothing_is_not_asked_for() -> None:
    """A stack whose first program counter is visible, and goroutines that have not run yet."""
    body = b"goroutine profile: total 2\n1 @ 0x5 0x9\n#\t0x4\tmain.f+0x1\t/m.go:1\n\n1 @ 0x9\n\n"
    assert ask(asking(FakeProcess({})), samples_of(body)) == 0


def many(number: int) -> Samples:
    """Return stacks that hide one address each; the later, the larger."""
    found = {}
    for i in range(number):
        trace = Trace((Frame(f"main.f{i}"),), b" %#x %#x" % (0x1001 + i, 0x900001 + i), parked_at=0x1000 + i)
        stack = Identifier().stack(trace)
        found[stack.fingerprint] = Sample(stack, i + 1, trace)
    return found


def test_what_matters_most_is_asked_first() -> None:
    """Judged stacks, then the largest; no more than a URL holds at once, and no more than any program has."""
    process = FakeProcess({0x900000 + i: f"main.f{i}" for i in range(1000)})
    symbols, samples = asking(process), many(1000)
    judged = fingerprint_of(["main.f3"])
    assert ask(symbols, samples, first=[judged]) == AT_ONCE
    assert process.asked[0].split("+")[:3] == ["0x1003", hex(0x1000 + 999), hex(0x1000 + 998)]
    assert len(process.asked[0]) < 2000
    while ask(symbols, samples):
        pass
    assert len(symbols.names) == MOST


def test_an_address_without_a_name_is_asked_for_once() -> None:
    """What the process itself cannot name stays unknown."""
    process = FakeProcess({SEND: "main.send", SENDS: "runtime.chansend1"})
    symbols, identifier = asking(process), Identifier()
    samples = samples_of(identifier=identifier)
    assert [ask(symbols, samples), ask(symbols, samples)] == [2, 0]
    identifier.learn(samples, symbols.names)
    assert waits(samples) == {"main.send": "chan send", "main.choose": ""}


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        ({SENDS: "runtime.chansend1", SELECTS: "runtime.selectgo", SEND: "main.other"}, None),
        ({SENDS: "runtime.chansend1", SELECTS: "runtime.selectgo"}, None),
        (NAMES, 40),
        (NAMES, -1 - len("send")),
    ],
    ids=["another process", "nothing of ours", "half an answer", "half a name"],
)
def test_an_answer_that_fails_the_check_is_not_believed(names: dict[int, str], cut: int | None) -> None:
    """A visible call that the answer does not name as the profile does makes all of it worthless."""
    process = FakeProcess(names)
    process.cut = cut
    symbols = asking(process)
    said: list[ScrapeError] = []
    ask(symbols, samples_of(), said=said)
    assert symbols.names == {}
    assert [error.reason for error in said] == ["malformed"]
    assert "main.send" in str(said[0])


def test_another_process_is_asked_anew() -> None:
    """Addresses mean something else after a restart; what was known stays until the new process has told."""
    process, identifier = FakeProcess(NAMES), Identifier()
    symbols = asking(process)
    symbols.follow("0x7f01", 0.0, fresh=True)
    samples = samples_of(identifier=identifier)
    ask(symbols, samples)
    identifier.learn(samples, symbols.names)
    symbols.follow("0x7f01", 5.0, fresh=True)
    assert ask(symbols, samples) == 0
    rebuilt = BODY.replace(b"main.go:7", b"main.go:8").replace(b"0x400101", b"0x400301")
    process.names = {**NAMES, 0x400300: "runtime.selectgo"}
    symbols.follow("0x7f02", 10.0, fresh=True)
    samples = samples_of(rebuilt, identifier)
    assert waits(samples)["main.send"] == "chan send"
    assert ask(symbols, samples) == 2
    identifier.learn(samples, symbols.names)
    assert waits(samples)["main.send"] == "select"  # as the new build has it


def test_a_process_that_cannot_be_told_apart() -> None:
    """A new connection may be a new process, where nothing else says so; but not at every scrape."""
    symbols, samples = asking(FakeProcess(NAMES)), samples_of()
    asked = 0
    for second in range(0, 600, 10):
        symbols.follow("", float(second), fresh=True)
        asked += ask(symbols, samples, float(second)) > 0
    assert asked == 600 / RENEWED


@pytest.mark.parametrize(
    ("failure", "reason", "again"),
    [
        ((404, b""), "status", False),
        ((200, b"<html>"), "not_a_profile", False),
        (httpx.ReadTimeout(""), "timeout", True),
    ],
)
def test_a_failure_is_reported_once_and_the_request_repeated_after_a_pause(
    failure: tuple[int, bytes] | httpx.HTTPError, reason: str, again: bool
) -> None:
    """A failure that the same process would repeat is final; a timeout is followed by another request."""
    process = FakeProcess(NAMES)
    process.failure = failure
    symbols, samples = asking(process), samples_of()
    said: list[ScrapeError] = []
    for second in (0.0, 15.0, PAUSE - 1):
        symbols.follow("0x7f01", second, fresh=False)
        ask(symbols, samples, second, said=said)
    assert len(process.asked) == 1
    ask(symbols, samples, PAUSE, said=said)
    assert len(process.asked) == 1 + again
    symbols.follow("0x7f02", PAUSE + 1, fresh=False)
    assert ask(symbols, samples, PAUSE + 1, said=said) == 2  # a new build may have it
    assert [error.reason for error in said] == [reason]


def refused(answer: Answer, timeout: float = 5.0) -> tuple[SymbolProbe, ScrapeError | None]:
    """Ask a real server that answers so; return the one who asked, and why there was no answer."""

    async def run(url: str) -> tuple[SymbolProbe, ScrapeError | None]:
        client = Client(Tls(TlsConfig(), secure=False), timeout=timeout)
        profile = httpx.URL(f"{url}/prefix/debug/pprof/goroutine?debug=1")
        fetcher = Fetcher(client, profile, HttpSettings(), timeout=timeout, size_limit=1 << 20)
        symbols = SymbolProbe(fetcher.with_profile("symbol", 1 << 16))
        error = await symbols.ask(symbols.wanted(samples_of(), (), 0.0), 0.0)
        await fetcher.close()
        return symbols, error

    with answering(answer) as server:
        found = asyncio.run(run(server.url))
        assert [head.split(b"\r\n")[0] for head in server.requests] == [
            b"GET /prefix/debug/pprof/symbol?0x400100+0x400200+0x500010 HTTP/1.1"
        ]
    return found


def silent(_: bytes, connection: socket.socket) -> None:
    """Wait for the client to give up."""
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
def test_servers_without_a_good_answer(answer: Answer, reason: str) -> None:
    """Each way to fail has its reason; the question is one GET with plain pluses, and nothing is learned."""
    symbols, error = refused(answer, 0.3 if reason == "timeout" else 5.0)
    assert error is not None
    assert error.reason == reason
    assert symbols.names == {}
    assert symbols.wanted(samples_of(), (), PAUSE - 1) == []


def test_one_look_without_symbols() -> None:
    """`leakwatch scrape` of a service without /symbol says so on standard error, and shows what it has."""
    page = http(b"404 page not found", "404 Not Found", "Connection: close")
    profile = http(BODY, "200 OK", "Connection: close")

    def answer(head: bytes, connection: socket.socket) -> None:
        (profile if b"/goroutine?" in head else page)(head, connection)

    with answering(answer) as server:
        look = CliRunner().invoke(app, ["scrape", server.url, "--format", "json"])
    assert json.loads(look.stdout)["goroutines"] == 7
    assert look.stderr == (
        "leakwatch: wait reasons of channels stay unknown:"
        " HTTP 404 for /debug/pprof/symbol: '404 page not found'\n"
    )


@pytest.mark.parametrize("name", ["symbol", "symbol.txt"])
def test_one_look_at_a_file(tmp_path: Path, name: str) -> None:
    """`leakwatch scrape FILE` takes the names from a recorded answer beside it; one that is none is named."""
    (tmp_path / "body.txt").write_bytes(BODY)
    (tmp_path / name).write_text("num_symbols: 1\n0x400100 runtime.chansend1\n0x400200 runtime.selectgo\n")
    command = ["scrape", str(tmp_path / "body.txt"), "--format", "json", "--by", "reason"]
    look = CliRunner().invoke(app, command)
    assert [group["key"] for group in json.loads(look.stdout)["groups"]] == ["chan send", "select"]
    (tmp_path / name).write_text("<html>")
    look = CliRunner().invoke(app, command)
    assert [group["key"] for group in json.loads(look.stdout)["groups"]] == ["(not told)"]
    assert f"{name}: left out: not an answer of /symbol" in look.stderr


def test_the_docs_have_all_words() -> None:
    """The table of wait reasons is complete."""
    page = (Path(__file__).parents[4] / "docs" / "how-it-judges.md").read_text()
    table = page.partition("| where the goroutine is parked | reason |\n")[2].partition("\n\n")[0]
    listed = {word for row in table.splitlines()[1:] for word in re.findall("`(.+?)`", row.split("|")[2])}
    assert listed == {*wait_reason.PARKED.values(), *wait_reason.WAITS.values(), *wait_reason.LOCKS.values()}


@given(st.binary())
def test_arbitrary_answers_raise_only_our_errors(body: bytes) -> None:
    """Whatever comes, the error is a ProfileError."""
    try:
        names = symbol.parse(body)
    except ProfileError:
        return
    assert all(address >= 0 and function for address, function in names.items())


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"<html>", NotAProfile, "<html>"),
        (b"num_symbols: 1\n0x1 f\noops\n", MalformedProfile, "line 3.*oops"),
        (b"0x1 \n", NotAProfile, "0x1"),
    ],
)
def test_what_is_no_answer_is_named(body: bytes, error: type[ProfileError], said: str) -> None:
    """The error quotes the line, and says which it is."""
    with pytest.raises(error, match=said):
        symbol.parse(body)


def test_several_answers_in_one_file() -> None:
    """Answers that were appended to each other are read as one."""
    assert symbol.parse(b"num_symbols: 1\n0x1 a\nnum_symbols: 1\n0x2 b c\n") == {1: "a", 2: "b c"}


def test_the_visible_neighbour_of_a_hidden_call() -> None:
    """It is the next counter, less one."""
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
def test_words(hidden: str, function: str, wait: str) -> None:
    """The hidden function decides, or else the first visible one; in debug=2's words."""
    trace = Trace((Frame(function), Frame("main.main")), b" 0x11 0x21", parked_at=0x10)
    identifier = Identifier()
    samples = identifier.merge([(trace, 1)], {})
    identifier.learn(samples, {0x10: hidden})
    assert [sample.stack.wait for sample in samples.values()] == [wait]


def test_who_runs_for_a_moment_still_waits_for_the_same() -> None:
    """A worker that is caught running between two waits keeps its wait reason; no series comes and goes."""
    identifier, frames = Identifier(), (Frame("main.work"),)
    waiting, running = Trace(frames, b" 0x11 0x21", parked_at=0x10), Trace(frames, b" 0x15 0x25", parked_at=0x14)
    names = {0x10: "runtime.chanrecv1", 0x14: "runtime.asyncPreempt"}
    for trace, wait in ((running, "runnable"), (waiting, "chan receive"), (running, "chan receive")):
        samples = identifier.merge([(trace, 1)], {})
        identifier.learn(samples, names)
        assert [sample.stack.wait for sample in samples.values()] == [wait]


def watched(process: FakeProcess) -> World:
    """Return a job that asks this process."""
    world = World()
    world.body = BODY
    world.loop._symbols = asking(process)
    return world


def test_the_first_profile_has_its_reasons() -> None:
    """They are known before anything is recorded, so no series ever had another label; and asked for once."""
    process = FakeProcess(NAMES)
    world = watched(process)
    world.tick(1)
    found = world.pipeline.add_target(TARGET).history.stacks
    assert {stack.wait for stack in found if stack} == {"chan send", "select"}
    world.tick(5)
    assert len(process.asked) == 1


class SlowProcess(FakeProcess):
    """A simulated process that takes `seconds` to answer."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__(NAMES)
        self.clock = clock
        self.seconds = seconds

    def respond(self, request: httpx.Request) -> tuple[int, bytes]:
        """Answer after `seconds`."""
        self.clock.now += self.seconds
        return super().respond(request)


def test_the_question_is_paid_for() -> None:
    """What it costs the target is charged like a scrape: with 1 % of a core, half a second makes 45 s of pause."""
    world = watched(FakeProcess(NAMES))
    world.loop._symbols = asking(SlowProcess(world.clock, 0.5))
    world.tick(6)
    assert world.requested()[1] - world.requested()[0] >= 45


def test_a_refusal_costs_no_profile() -> None:
    """Where /symbol is missing the counts arrive all the same, with what the visible frames tell."""
    process = FakeProcess(NAMES)
    process.failure = 404, b""
    world = watched(process)
    logged = world.tick(5)
    state = world.pipeline.add_target(TARGET)
    assert state.total == 7
    assert {stack.wait for stack in state.history.stacks if stack} == {""}
    assert [line["event"] for line in logged if "wait" in line["event"]] == [
        "wait reasons of channels stay unknown"
    ]
    assert world.loop.health.up is True


def test_processes_that_take_turns_are_not_asked() -> None:
    """Behind one address, the answer may come from another process than the profile."""
    process = FakeProcess(NAMES)
    world = watched(process)
    world.pipeline.add_target(TARGET).identity.mixed = True
    world.loop._process = Process("0x7f01")
    world.tick(1)
    assert process.asked == []
    assert world.requested() == [round(world.clock.now - START - 15)]
