"""Identity of stacks: what the fingerprint ignores, what is blamed, what is merged."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.model import Fingerprint, Frame, Profile, Samples, Trace
from leakwatch.profile import text
from leakwatch.profile.fingerprint import fingerprint_of, normalise
from leakwatch.profile.packages import STD, is_std
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_reason import wait_reason

PROFILES = Path(__file__).parent / "profiles"


def recorded(version: str) -> Samples:
    """Return the samples of a recorded body."""
    body = (PROFILES / version / "goroutine.debug1.txt").read_bytes()
    return Identifier().identify(text.parse(body))


@pytest.mark.parametrize("version", ["1.24", "1.25", "1.26"])
def test_identity_survives_go_upgrades(version: str) -> None:
    """From Go 1.24 on, every stack of one program keeps its fingerprint."""
    assert recorded(version).keys() == recorded("1.27").keys()


@pytest.mark.parametrize(("version", "changed"), [("1.19", 6), ("1.23", 1)])
def test_identity_survives_most_of_older_upgrades(version: str, changed: int) -> None:
    """What older Go versions called differently within locks and contexts is the same stack to us."""
    old, new = recorded(version), recorded("1.27")
    lost = {old[k].stack.frames[0].function for k in old.keys() - new.keys()}
    assert len(old.keys() - new.keys()) <= changed
    assert not any(name.startswith(("sync.", "context.")) for name in lost)


@given(st.lists(st.text(), min_size=1), st.randoms())
def test_fingerprint_sees_function_names_only(names: list[str], random: object) -> None:
    """Addresses, files, lines, labels and the order of groups make no difference."""
    plain = Trace(tuple(Frame(name) for name in names), b" 0x1")
    other = Trace(
        tuple(Frame(name, f"/elsewhere/{i}.go", i) for i, name in enumerate(names)),
        b" 0x99 0x98",
        (("request", "1"),),
    )
    bystander = Trace((Frame("main.bystander"),), b" 0x7")
    one = Identifier().identify(Profile(3, ((plain, 1), (other, 1), (bystander, 1))))
    two = Identifier().identify(Profile(3, ((bystander, 1), (other, 1), (plain, 1))))
    assert {k: v.goroutines for k, v in one.items()} == {k: v.goroutines for k, v in two.items()}
    assert one[fingerprint_of(names)].goroutines >= 2
    del random


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["main.Generic[go.shape.int]", "main.main"], ["main.Generic[...]", "main.main"]),
        (["main.Map[map[string][]int]"], ["main.Map[...]"]),
        (["main.(*Box[...]).Wait", "main.F[" + "a[" * 5000 + "]" * 5001], ["main.(*Box).Wait", "main.F"]),
        (["main.walk", "main.main"], ["main.walk", "main.walk", "main.walk", "main.main"]),
        (
            ["main.even", "main.odd", "main.main"],
            ["main.even", "main.odd", "main.even", "main.odd", "main.main"],
        ),
        (["_cgoexp_0123456789ab_callback"], ["_cgoexp_ba9876543210_callback"]),
        (
            ["sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "main.f"],
            ["internal/sync.(*Mutex).Lock", "main.f"],
        ),
        (
            ["sync.runtime_SemacquireMutex", "sync.(*RWMutex).RLock", "main.f"],
            ["sync.runtime_SemacquireRWMutexR", "sync.(*RWMutex).RLock", "main.f"],
        ),
        (["context.propagateCancel.func1"], ["context.(*cancelCtx).propagateCancel.func2"]),
        (["net/http.(*Server).Serve.func1"], ["net/http.(*Server).Serve.func3"]),
        (
            ["main.f.func1", "runtime.gopanic", "runtime.panicmem", "runtime.sigpanic", "main.f"],
            ["main.f.func1", "runtime.gopanic", "main.f"],
        ),
        (["internal/runtime/syscall.Syscall6", "main.main", "runtime.main"], ["main.main"]),
    ],
)
def test_the_same_stack_of_another_build(one: list[str], two: list[str]) -> None:
    """Generic arguments, recursion depth, build hashes, lock and runtime internals, renames are folded."""
    assert fingerprint_of(one) == fingerprint_of(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["main.f", "main.g"], ["main.g", "main.f"]),
        (["main.f.func1"], ["main.f.func2"]),
        (["sync.(*Mutex).Lock", "main.f"], ["sync.(*RWMutex).Lock", "main.f"]),
        (["main.f", "main.main"], ["main.f"]),
    ],
)
def test_different_stacks(one: list[str], two: list[str]) -> None:
    """Order, our user's closures, the kind of lock and the caller are identity."""
    assert fingerprint_of(one) != fingerprint_of(two)


def test_fingerprints_are_stable() -> None:
    """Prometheus keeps them for years: a change of this value orphans history and silences."""
    assert fingerprint_of(["main.leak", "main.handler"]) == Fingerprint("211bb3abd8ba78da")


def test_groups_split_by_labels_are_merged() -> None:
    """Three goroutines with a request id each are one stack of three."""
    traces = [Trace((Frame("main.wait"),), b" 0x1 0x2", (("request", str(i)),)) for i in range(3)]
    samples = Identifier().identify(Profile(3, tuple((trace, 1) for trace in traces)))
    assert [sample.goroutines for sample in samples.values()] == [3]


def test_goroutines_that_have_not_run_yet_are_no_stack() -> None:
    """A group without frames never becomes a series."""
    assert Identifier().identify(Profile(7, ((Trace((), b" 0x1"), 7),))) == {}


HTTP = Frame("net/http.(*conn).serve", "/usr/local/go/src/net/http/server.go", 1)
READ = Frame("internal/poll.runtime_pollWait", "/usr/local/go/src/runtime/netpoll.go", 1)
GRPC = Frame("google.golang.org/grpc.(*cc).watch", "/go/pkg/mod/google.golang.org/grpc@v1.64.0/b.go", 5)
VENDORED = Frame("example.com/app/vendor/lib.Do", "/src/app/vendor/lib/do.go", 5)
OURS = Frame("example.com/app/handler.Get", "/src/app/handler/get.go", 9)
MAIN = Frame("main.main", "/src/app/main.go", 3)


@pytest.mark.parametrize(
    ("frames", "blamed"),
    [
        ((READ, GRPC, OURS, HTTP), OURS),
        ((READ, GRPC, HTTP), GRPC),
        ((READ, VENDORED, MAIN), MAIN),
        ((READ, HTTP), HTTP),
        ((OURS, MAIN), OURS),
        ((READ, Frame("main.run", "/go/pkg/mod/example.com/tool@v1.0.0/main.go", 2)), None),
        ((READ, Frame("shop/cart.Add", "/build/cart.go", 2), MAIN), None),
        ((READ, Frame("example.com/zoo.v2/pool%2ev3.Get", "/src/pool.go", 2), MAIN), None),
    ],
)
def test_blamed_frame(frames: tuple[Frame, ...], blamed: Frame | None) -> None:
    """Own code before dependencies before the standard library; package main and undotted modules are own."""
    assert Identifier().blame(frames) == (blamed or frames[1])


def test_own_code_by_prefix() -> None:
    """A configured prefix is own code wherever it lies; the innermost frame still wins."""
    assert Identifier(["google.golang.org/grpc"]).blame((READ, GRPC, OURS)) == GRPC


def test_standard_library_elements() -> None:
    """The list of first path elements covers the Go that is here."""
    listed = subprocess.run(["go", "list", "std"], check=True, capture_output=True, text=True, cwd="/").stdout
    assert {line.partition("/")[0] for line in listed.split()} <= STD


@pytest.mark.parametrize(
    ("function", "std"),
    [
        ("net/http.(*conn).serve", True),
        ("time.Sleep", True),
        ("vendor/golang.org/x/net/http2/hpack.f", True),
        ("internal/poll.runtime_pollWait", True),
        ("main.main", False),
        ("shop/cart.Add", False),
        ("net.example/x.F", False),
        ("github.com/a/b.F", False),
        ("_cgoexp_0123456789ab_f", False),
    ],
)
def test_is_std(function: str, std: bool) -> None:
    """The first path element decides."""
    assert is_std(function) is std


@pytest.mark.parametrize("version", ["1.19", "1.23", "1.24", "1.27"])
def test_wait_reasons_that_frames_tell(version: str) -> None:
    """Locks, sleep and network waits have debug=2's words of Go 1.24 on every version."""
    waits = {s.stack.blamed.function: s.stack.wait for s in recorded(version).values()}
    expected = {
        "main.mutexLock": "sync.Mutex.Lock",
        "main.rwRLock": "sync.RWMutex.RLock",
        "main.wgWait": "sync.WaitGroup.Wait",
        "main.condWait": "sync.Cond.Wait",
        "main.sleepForever": "sleep",
        "main.tcpRead": "IO wait",
        "main.rawSyscallRead": "syscall",
        "main.chanSend": "",
    }
    assert {name: waits[name] for name in expected} == expected


def test_stacks_of_the_runtime_alone_differ() -> None:
    """Where nothing else is visible the runtime's functions tell; runtime/pprof and the like always do."""
    stacks = [["runtime.bgsweep"], ["runtime.bgscavenge"], ["runtime/pprof.f", "main.f"], ["main.f"]]
    assert len({fingerprint_of(stack) for stack in stacks}) == 4


def test_wait_reason_of_nothing_known() -> None:
    """Own code at the leaf says nothing: channels and select hide their runtime frames."""
    assert wait_reason([Frame("main.f")]) == ""


@given(st.text())
def test_normalising_twice_changes_nothing(function: str) -> None:
    """A normalised name is its own normal form."""
    once = normalise(function)
    assert normalise(once) == once
