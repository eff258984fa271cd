"""Calls of own code into libraries: on allocation paths, in full dumps, in other stacks."""

from pathlib import Path

from leakwatch.model import Frame, Trace
from leakwatch.profile import dump, heap
from leakwatch.profile.dump_stacks import DumpIndex
from leakwatch.profile.heap import HeapRecord
from leakwatch.profile.own_calls import (
    ANCESTOR,
    CREATOR,
    FAR_ANCESTOR,
    MOST,
    PARENT,
    PARENT_INSIDE,
    HeapTally,
    SeenCalls,
    Starter,
    starters,
)
from leakwatch.profile.stacks import Identifier

RECORDED = Path(__file__).parents[2] / "profiles" / "callers"
GRPC = "google.golang.org/grpc"
STOCK = "main.(*supplier).Stock"
IDENTIFIER = Identifier()
LIBRARY = Frame("example.org/bus.(*Client).loop", "/go/pkg/mod/example.org/bus@v1.0.0/bus.go", 7)
OPEN = Frame("example.org/bus.Open", "/go/pkg/mod/example.org/bus@v1.0.0/bus.go", 3)
SERVE = Frame("net/http.(*conn).serve", "/usr/local/go/src/net/http/server.go", 9)


def own(name: str, line: int = 1) -> Frame:
    """Return a frame of own code."""
    return Frame(f"main.{name}", "/src/main.go", line)


def text(frame: Frame) -> str:
    """Return a call of a full dump."""
    return f"{frame.function}(...)\n\t{frame.file}:{frame.line} +0x1\n"


def dumped(*goroutines: str) -> list[Starter]:
    """Return the starters of the library's goroutines in a dump; goroutine 5 belongs to the library."""
    parsed = dump.parse("\n".join(goroutines).encode())
    index = DumpIndex(parsed, Identifier())
    stack = IDENTIFIER.stack(Trace((LIBRARY,)))
    return starters(stack, index.goroutines_of(stack), index.by_number.get, IDENTIFIER.is_own)


def created(by: Frame, parent: int = 9, number: int = 5) -> str:
    """Return a goroutine of the library that was created by a call."""
    head, _, place = text(by).replace("(...)", f" in goroutine {parent}").partition("\n")
    return f"goroutine {number} [select]:\n{text(LIBRARY)}created by {head}\n{place}"


def test_the_heap_names_the_function_that_opens_connections() -> None:
    """In the recorded profile, all live memory that gRPC holds for own code is from the function that dials."""
    tally = HeapTally([GRPC, "net/http"], IDENTIFIER.is_own)
    parser = heap.Parser()
    tally.add(parser.feed((RECORDED / "heap.debug1.txt").read_bytes()))
    parts = tally.parts({GRPC: 12_000, "net/http": 3})
    assert [(caller.function.function, caller.objects) for caller in parts[GRPC].callers] == [(STOCK, 7)]
    assert parts[GRPC].size == sum(caller.size for caller in parts[GRPC].callers)
    assert parts[GRPC].goroutines == 12_000
    assert parts["net/http"].goroutines == 3


def test_the_heap_is_attributed_to_the_innermost_own_code() -> None:
    """Own code is a caller if a part is called below it; its largest record has the line that is shown.

    Memory of the library in a goroutine without own code, and own code that the library calls, do not count.
    """
    tally = HeapTally(["example.org/bus"], IDENTIFIER.is_own)
    tally.add(
        [
            HeapRecord(2, 200.0, (OPEN, own("dial", 1), own("main"))),
            HeapRecord(3, 900.0, (Frame("bufio.NewReader"), OPEN, own("dial", 2), SERVE)),
            HeapRecord(1, 100.0, (OPEN, LIBRARY, own("other"))),
            HeapRecord(9, 5000.0, (OPEN, LIBRARY)),
            HeapRecord(9, 5000.0, (own("callback"), LIBRARY, own("main"))),
        ]
    )
    part = tally.parts({"example.org/bus": 7})["example.org/bus"]
    assert part.size == 1200.0
    assert [(caller.function, caller.size, caller.objects) for caller in part.callers] == [
        (own("dial", 2), 1100.0, 5),
        (own("other"), 100.0, 1),
    ]


def test_few_callers_are_kept() -> None:
    """The sum has all callers, and the result the largest ones."""
    tally = HeapTally(["example.org/bus"], IDENTIFIER.is_own)
    tally.add([HeapRecord(1, float(size), (OPEN, own(f"f{size}"))) for size in range(1, 20)])
    part = tally.parts({"example.org/bus": 7})["example.org/bus"]
    assert part.size == sum(range(1, 20))
    assert [caller.size for caller in part.callers] == [19.0 - i for i in range(MOST)]


def test_ancestors_name_the_function_that_opens_connections() -> None:
    """In the recorded dump, each goroutine of a gRPC client descends from the function that dials."""
    parsed = dump.parse((RECORDED / "ancestors.debug2.txt").read_bytes())
    index = DumpIndex(parsed, Identifier())
    names = {"google.golang.org/grpc/internal/transport.(*http2Client).reader": 2}
    names["google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"] = 6
    for name, number in names.items():
        goroutines = [g for g in parsed.goroutines if any(name == frame.function for frame in g.trace.frames)]
        stack = IDENTIFIER.stack(goroutines[0].trace)
        found = starters(stack, index.goroutines_of(stack), index.by_number.get, IDENTIFIER.is_own)
        assert [(each.function.function, each.relation, each.goroutines) for each in found] == [
            (STOCK, ANCESTOR, number)
        ]


def test_the_creator_is_own_code() -> None:
    """Own code that starts a goroutine of a library is exact, whatever its goroutine does now."""
    assert dumped(created(own("start"))) == [Starter(own("start"), CREATOR, 1)]


def test_the_creating_goroutine_is_alive() -> None:
    """Own code in the goroutine that started the leaked one may be in the same call, or do something else."""
    inside = f"goroutine 9 [select]:\n{text(OPEN)}{text(own('dial'))}"
    elsewhere = f"goroutine 9 [select]:\n{text(SERVE)}{text(own('loop'))}"
    other = f"goroutine 8 [select]:\n{text(OPEN)}{text(own('dial'))}"
    assert dumped(inside, created(OPEN)) == [Starter(own("dial"), PARENT_INSIDE, 1)]
    assert dumped(elsewhere, created(OPEN)) == [Starter(own("loop"), PARENT, 1)]
    assert dumped(other, created(OPEN)) == []


def test_the_nearest_ancestor_with_own_code_counts() -> None:
    """It is exact if it called the library, and less so if it only called what called the library, as a server."""
    helper = f"[originating from goroutine 9]:\n{text(OPEN)}created by {text(OPEN).replace('(...)', '')}"
    dialled = f"[originating from goroutine 7]:\n{text(OPEN)}{text(own('dial', 4))}"
    served = f"[originating from goroutine 1]:\n{text(SERVE)}{text(own('main'))}"
    started = f"[originating from goroutine 7]:\n{text(own('spawn'))}"
    leaked = created(OPEN)
    assert dumped(leaked + helper + dialled + served) == [Starter(own("dial", 4), ANCESTOR, 1)]
    assert dumped(leaked + helper + served) == [Starter(own("main"), FAR_ANCESTOR, 1)]
    assert dumped(leaked + helper + started) == [Starter(own("spawn"), ANCESTOR, 1)]
    assert dumped(leaked + helper) == []


def test_starters_are_counted() -> None:
    """The most frequent starter comes first."""
    goroutines = [created(own("rare"), 9, 5), *(created(own("often"), 9, number) for number in range(10, 13))]
    assert [(each.function, each.goroutines) for each in dumped(*goroutines)] == [
        (own("often"), 3),
        (own("rare"), 1),
    ]


def test_calls_seen_in_other_stacks() -> None:
    """The innermost own code counts if it calls the library itself; a new build of the stack has new lines."""
    seen = SeenCalls()
    direct = IDENTIFIER.stack(Trace((OPEN, own("dial", 4), SERVE, own("main"))))
    indirect = IDENTIFIER.stack(Trace((LIBRARY, SERVE, own("main"))))
    without = IDENTIFIER.stack(Trace((OPEN, SERVE)))
    leaf = IDENTIFIER.stack(Trace((own("wait"), OPEN)))
    rebuilt = IDENTIFIER.stack(Trace((OPEN, own("dial", 5), SERVE, own("main"))))
    assert direct.fingerprint == rebuilt.fingerprint
    for _ in range(2):
        assert seen.call(direct, IDENTIFIER.is_own) == ("example.org/bus", own("dial", 4))
    assert seen.call(rebuilt, IDENTIFIER.is_own) == ("example.org/bus", own("dial", 5))
    assert seen.call(indirect, IDENTIFIER.is_own) == ("net/http", own("main"))
    assert seen.call(without, IDENTIFIER.is_own) == ("", None)
    assert seen.call(leaf, IDENTIFIER.is_own) == ("", None)
    seen.clear()
    assert seen.call(direct, lambda _: False) == ("", None)
