"""Matching of leaks against patterns, one rule of the format at a time."""

import pytest

from leakwatch.causes.file import CauseConfig
from leakwatch.causes.matching import canonical, matches
from leakwatch.causes.model import CountedStack
from leakwatch.model import Fingerprint, Frame, Stack


def stack(*functions: str, wait: str = "") -> Stack:
    """Return a stack of `functions`, the innermost first; functions of package main are own code."""
    frames = tuple(map(Frame, functions))
    return Stack(
        fingerprint=Fingerprint(" ".join(functions)),
        frames=frames,
        blamed=frames[0],
        origin=functions[-1],
        wait=wait,
    )


def is_own(frame: Frame) -> bool:
    """Return whether a frame is in package main."""
    return frame.function.startswith("main.")


def fits(pattern: object, *stacks: Stack, counts: tuple[int, ...] = (), **keys: object) -> bool:
    """Return whether a cause with the pattern `pattern` and other `keys` matches the leak of `stacks`."""
    document = {
        "id": "a",
        "kind": "object",
        "title": "A",
        "explanation": "B",
        "fix": "C",
        "match": [pattern],
    } | keys
    cause = CauseConfig.model_validate(document).cause()
    counted = list(map(CountedStack, stacks, counts or (40,) * len(stacks)))
    return list(matches([cause], counted, is_own)) == [cause]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("github.com/jackc/pgx/v5/pgxpool.(*Pool).Close", "github.com/jackc/pgx/pgxpool.(*Pool).Close"),
        ("github.com/robfig/cron/v3.(*Cron).run", "github.com/robfig/cron.(*Cron).run"),
        (
            "gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun",
            "gopkg.in/natefinch/lumberjack.(*Logger).millRun",
        ),
        ("github.com/nats-io/nats%2ego.(*Conn).flusher", "github.com/nats-io/nats.go.(*Conn).flusher"),
        ("example.com/a/vendor/k8s.io/klog/v2.(*flushDaemon).run", "k8s.io/klog.(*flushDaemon).run"),
        ("go.etcd.io/etcd/client/v3.(*lessor).Close", "go.etcd.io/etcd/client.(*lessor).Close"),
        ("github.com/a/lru/v2/expirable.NewLRU[...].func1", "github.com/a/lru/expirable.NewLRU.func1"),
        ("iter.Pull[go.shape.int].func1.2", "iter.Pull.func"),
        ("context.propagateCancel.func1", "context.(*cancelCtx).propagateCancel.func"),
        ("k8s.io/api/core/v1beta1.New", "k8s.io/api/core/v1beta1.New"),
    ],
)
def test_canonical_names(function: str, expected: str) -> None:
    """Canonical names have no vendor directory, major version, type arguments and numbers of closures of Go."""
    assert canonical(function) == expected


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (["lib.(*Pool).reap"], True),
        (["lib.(*Pool).*", "lib.New.func?"], True),
        (["lib.New.func?", "lib.(*Pool).*"], False),
        (["lib.(*Pool).reap", "lib.(*Pool).reap"], False),
        (["lib.(*Pool).rea"], False),
        ([["other.Run", "lib.New.func?"]], True),
    ],
)
def test_functions(functions: list[object], expected: bool) -> None:
    """All functions must occur, from the innermost to the outermost, with any frames between them."""
    assert fits({"functions": functions}, stack("lib.(*Pool).reap", "lib.helper", "lib.New.func1")) is expected


@pytest.mark.parametrize(
    ("kind", "wait", "expected"),
    [
        ("object", "select", True),
        ("object", "chan send", False),
        ("object", "", True),
        ("wait", "select", True),
        ("wait", "", False),
    ],
)
def test_wait_reasons(kind: str, wait: str, expected: bool) -> None:
    """An unknown wait reason matches, except where the wait reason is all that a cause follows from."""
    pattern = {"functions": ["library.Run"], "wait": ["select", "IO wait"]}
    assert fits(pattern, stack("library.Run", wait=wait), kind=kind) is expected


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (("main.add",), True),
        (("sync.(*Mutex).Lock", "main.add"), True),
        (("internal/sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "main.add"), True),
        (("lib.Lock", "main.add"), False),
    ],
)
def test_a_leaf_waits_itself(functions: tuple[str, ...], expected: bool) -> None:
    """With `leaf`, the first function is the innermost one outside package sync."""
    pattern = {"functions": ["<own code>"], "wait": "sync.Mutex.Lock", "leaf": True}
    assert fits(pattern, stack(*functions, wait="sync.Mutex.Lock"), kind="wait") is expected


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (("main.F.func1",), True),
        (("main.F.func1", "sync.(*WaitGroup).Go.func1"), True),
        (("main.F.func1", "golang.org/x/sync/errgroup.(*Group).Go.func1"), False),
        (("main.F.func1", "main.G.func2"), False),
        (("main.send", "main.F.func1"), False),
    ],
)
def test_a_root_is_started_with_go(functions: tuple[str, ...], expected: bool) -> None:
    """With `root`, the last function is the one that was started with `go`, and with `leaf` the same frame."""
    pattern = {"functions": ["*.func?*"], "wait": "chan send", "leaf": True, "root": True, "direct": True}
    assert fits(pattern, stack(*functions, wait="chan send"), kind="wait") is expected


def test_a_root_need_not_be_the_leaf() -> None:
    """Without `leaf`, other frames may lie inside the function that was started with `go`."""
    pattern = {"functions": ["library.Run", "library.New.func?"], "root": True}
    assert fits(pattern, stack("net.(*conn).Read", "library.Run", "library.New.func1"))
    assert not fits(pattern, stack("library.Run", "library.New.func1", "main.start"))


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (("net.(*conn).Read", "bufio.(*Reader).fill", "main.read"), True),
        (("net.(*conn).Read", "github.com/gorilla/websocket.(*Conn).Read", "main.read"), False),
        (("net.(*conn).Read", "net/http.(*persistConn).readLoop"), False),
    ],
)
def test_direct_calls_of_the_standard_library(functions: tuple[str, ...], expected: bool) -> None:
    """With `direct`, own code calls only the standard library where it waits."""
    assert fits({"functions": ["net.(*conn).Read"], "direct": True}, stack(*functions)) is expected


def test_a_stack_without_a_function() -> None:
    """With `without`, a stack that has one of these functions does not match."""
    pattern = {"functions": ["net.(*conn).Read"], "without": "net/http.*"}
    assert fits(pattern, stack("net.(*conn).Read", "main.read"))
    assert not fits(pattern, stack("net.(*conn).Read", "net/http.(*conn).serve"))


@pytest.mark.parametrize(("partners", "expected"), [(40, True), (20, True), (19, False), (81, False), (0, False)])
def test_partners_have_a_ratio(partners: int, expected: bool) -> None:
    """A partner is another stack of the leak, within the ratio to the matched one."""
    stacks = [stack("library.read"), stack("library.write")][: 2 if partners else 1]
    pattern = {"functions": ["library.write"], "ratio": [0.5, 2]}
    counts = (40, partners)[: len(stacks)]
    assert fits({"functions": ["library.read"]}, *stacks, counts=counts, partners=[pattern]) is expected


def test_a_stack_is_not_its_own_partner() -> None:
    """A partner that only the matched stack itself would match is missing."""
    assert not fits(
        {"functions": ["library.*"]}, stack("library.read"), partners=[{"functions": ["library.read"]}]
    )


def test_absent_stacks() -> None:
    """A stack of the leak that matches a pattern of `absent` rules the cause out."""
    absent = [{"functions": ["library.informer"]}]
    assert fits({"functions": ["library.watch"]}, stack("library.watch"), absent=absent)
    assert not fits(
        {"functions": ["library.watch"]}, stack("library.watch"), stack("library.informer"), absent=absent
    )


def test_own_code_explains_itself() -> None:
    """With `unless_own_code`, a stack of own code in the leak rules the cause out."""
    library, own = stack("library.Run"), stack("library.Get", "main.get")
    assert fits({"functions": ["library.Run"]}, library, own)
    assert fits({"functions": ["library.Run"]}, library, unless_own_code=True)
    assert not fits({"functions": ["library.Run"]}, library, own, unless_own_code=True)


def test_sites_have_no_frames_to_match() -> None:
    """The only frame of a site is its function, so that patterns of whole stacks do not see it."""
    site = Stack(
        fingerprint=Fingerprint("a"), frames=(Frame("library.Run"),), blamed=Frame("library.Run"), origin="",
        wait="", site=True,
    )  # fmt: skip
    assert not fits({"functions": ["library.Run"]}, site)
    assert fits({"functions": ["library.Run"]}, site, stack("library.Run"))
