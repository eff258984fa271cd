"""Fingerprints, blamed frames, wait reasons, and merged groups."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.model import Fingerprint, Frame, Profile, Samples, Trace
from leakwatch.profile import text
from leakwatch.profile.fingerprint import fingerprint_of, normalise, without_brackets
from leakwatch.profile.packages import STD, is_std
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_reason import wait_reason

PROFILES = Path(__file__).parents[2] / "profiles"


def recorded(version: str) -> Samples:
    """Return the samples of a recorded body."""
    body = (PROFILES / version / "goroutine.debug1.txt").read_bytes()
    return Identifier().identify(text.parse(body))


@pytest.mark.parametrize("version", ["1.24", "1.25", "1.26"])
def test_identity_survives_go_upgrades(version: str) -> None:
    """From Go 1.24 on, all stacks of a program keep their fingerprints."""
    assert recorded(version).keys() == recorded("1.27").keys()


@pytest.mark.parametrize(("version", "changed"), [("1.19", 6), ("1.23", 1)])
def test_identity_survives_most_of_older_upgrades(version: str, changed: int) -> None:
    """Renamed functions inside locks and contexts of older Go versions do not change the fingerprint."""
    old, new = recorded(version), recorded("1.27")
    lost = {old[k].stack.frames[0].function for k in old.keys() - new.keys()}
    assert len(old.keys() - new.keys()) <= changed
    assert not any(name.startswith(("sync.", "context.")) for name in lost)


@given(st.lists(st.text(), min_size=1), st.randoms())
def test_fingerprint_sees_function_names_only(names: list[str], random: object) -> None:
    """Addresses, files, lines, labels and the order of groups do not change fingerprints and counts."""
    plain = Trace(tuple(Frame(name) for name in names), b" 0x1")
    other = Trace(
        tuple(Frame(name, f"/elsewhere/{i}.go", i) for i, name in enumerate(names)),
        b" 0x99 0x98",
        labels=(("request", "1"),),
    )
    bystander = Trace((Frame("main.bystander"),), b" 0x7")
    samples = Identifier().identify(Profile(3, ((plain, 1), (other, 1), (bystander, 1))))
    reordered = Identifier().identify(Profile(3, ((bystander, 1), (other, 1), (plain, 1))))
    assert {k: v.goroutines for k, v in samples.items()} == {k: v.goroutines for k, v in reordered.items()}
    assert samples[fingerprint_of(names)].goroutines >= 2
    del random


@pytest.mark.parametrize(
    ("stack", "other"),
    [
        (["main.Generic[go.shape.int]", "main.main"], ["main.Generic[...]", "main.main"]),
        (["main.Map[map[string][]int]"], ["main.Map[...]"]),
        (["main.(*Box[...]).Wait", "main.F[" + "a[" * 15 + "]" * 16], ["main.(*Box).Wait", "main.F"]),
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
def test_the_same_stack_of_another_build(stack: list[str], other: list[str]) -> None:
    """Generic arguments, recursion depth, build hashes, lock and runtime internals, and renames are ignored."""
    assert fingerprint_of(stack) == fingerprint_of(other)


def test_a_name_with_too_many_brackets_stays() -> None:
    """Brackets are removed up to a number that no name in Go has, because each takes time; [...] always is."""
    assert without_brackets("main.F" + "[...]" * 1000) == "main.F"
    assert without_brackets("main.F" + "[]" * 20) == "main.F"
    assert without_brackets("main.F" + "[]" * 21) == "main.F" + "[]" * 21
    assert without_brackets("main.F[...][") == "main.F[...]["


@pytest.mark.parametrize(
    ("stack", "other"),
    [
        (["main.f", "main.g"], ["main.g", "main.f"]),
        (["main.f.func1"], ["main.f.func2"]),
        (["sync.(*Mutex).Lock", "main.f"], ["sync.(*RWMutex).Lock", "main.f"]),
        (["main.f", "main.main"], ["main.f"]),
    ],
)
def test_different_stacks(stack: list[str], other: list[str]) -> None:
    """Order, closures outside the standard library, the kind of lock and the caller distinguish stacks."""
    assert fingerprint_of(stack) != fingerprint_of(other)


def test_fingerprints_are_stable() -> None:
    """A fingerprint never changes, because Prometheus stores it for years, and silences refer to it."""
    assert fingerprint_of(["main.leak", "main.handler"]) == Fingerprint("211bb3abd8ba78da")


def test_groups_split_by_labels_are_merged() -> None:
    """Three goroutines with different labels are one stack with a count of 3."""
    traces = [Trace((Frame("main.wait"),), b" 0x1 0x2", labels=(("request", str(i)),)) for i in range(3)]
    samples = Identifier().identify(Profile(3, tuple((trace, 1) for trace in traces)))
    assert [sample.goroutines for sample in samples.values()] == [3]


def test_goroutines_that_have_not_run_yet_are_not_a_stack() -> None:
    """A group without frames gives no sample."""
    assert Identifier().identify(Profile(7, ((Trace((), b" 0x1"), 7),))) == {}


HTTP = Frame("net/http.(*conn).serve", "/usr/local/go/src/net/http/server.go", 1)
READ = Frame("internal/poll.runtime_pollWait", "/usr/local/go/src/runtime/netpoll.go", 1)
GRPC = Frame("google.golang.org/grpc.(*cc).watch", "/go/pkg/mod/google.golang.org/grpc@v1.64.0/b.go", 5)
VENDORED = Frame("example.com/app/vendor/lib.Do", "/src/app/vendor/lib/do.go", 5)
OWN = Frame("example.com/app/handler.Get", "/src/app/handler/get.go", 9)
MAIN = Frame("main.main", "/src/app/main.go", 3)


@pytest.mark.parametrize(
    ("frames", "blamed"),
    [
        ((READ, GRPC, OWN, HTTP), OWN),
        ((READ, GRPC, HTTP), GRPC),
        ((READ, VENDORED, MAIN), MAIN),
        ((READ, HTTP), HTTP),
        ((OWN, MAIN), OWN),
        ((READ, Frame("main.run", "/go/pkg/mod/example.com/tool@v1.0.0/main.go", 2)), None),
        ((READ, Frame("shop/cart.Add", "/build/cart.go", 2), MAIN), None),
        ((READ, Frame("example.com/zoo.v2/pool%2ev3.Get", "/src/pool.go", 2), MAIN), None),
    ],
)
def test_blamed_frame(frames: tuple[Frame, ...], blamed: Frame | None) -> None:
    """Own code goes before dependencies, and these before the standard library; package main is own code."""
    assert Identifier().blame(frames) == (blamed or frames[1])


def test_own_code_by_prefix() -> None:
    """A configured prefix is own code regardless of the file; the innermost frame of own code is blamed."""
    assert Identifier(["google.golang.org/grpc"]).blame((READ, GRPC, OWN)) == GRPC


def test_standard_library_elements() -> None:
    """STD covers the standard library of the installed Go."""
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
    """The first path element determines the result."""
    assert is_std(function) is std


@pytest.mark.parametrize("version", ["1.19", "1.23", "1.24", "1.27"])
def test_wait_reasons_of_visible_frames(version: str) -> None:
    """Locks, sleep and network waits have the words of debug=2 in Go 1.24, for every Go version."""
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
    """Functions of the runtime distinguish stacks without other functions; runtime/pprof always distinguishes."""
    stacks = [["runtime.bgsweep"], ["runtime.bgscavenge"], ["runtime/pprof.f", "main.f"], ["main.f"]]
    assert len({fingerprint_of(stack) for stack in stacks}) == 4


def test_unknown_wait_reason() -> None:
    """Own code at the leaf has no wait reason, because channels and select hide their runtime frames."""
    assert wait_reason([Frame("main.f")]) == ""


@given(st.text())
def test_normalising_twice_changes_nothing(function: str) -> None:
    """A normalised name is its own normal form."""
    once = normalise(function)
    assert normalise(once) == once
