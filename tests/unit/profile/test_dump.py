"""Parser of debug=2: recorded, constructed, truncated and invalid dumps."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, NotAProfile, ProfileError, TruncatedProfile
from leakwatch.model import Frame
from leakwatch.profile import dump, redact, text
from leakwatch.profile.dump import Dump
from leakwatch.profile.goroutine import Ancestor
from leakwatch.profile.limits import MAX_ANCESTORS, MAX_DEPTH, MAX_TEXT
from leakwatch.profile.redact import Redaction
from leakwatch.profile.stacks import Identifier

RECORDED = sorted((Path(__file__).parents[2] / "profiles").glob("*/goroutine.debug2.txt"))
BODY = RECORDED[-1].read_bytes()
SMALL = b"""goroutine 1 [chan receive (nil chan), 12 minutes]:
main.main()
\tC:/My Source/main.go:7 +0x1d

goroutine 35 [semacquire, 3 minutes, locked to thread]:
sync.runtime_SemacquireMutex(0x5?, 0xd8?, 0x1?)
\t/usr/local/go/src/runtime/sema.go:77 +0x25
sync.(*Mutex).lockSlow(0xc00001c0a8)
\t/usr/local/go/src/sync/mutex.go:171 +0x15d
sync.(*Mutex).Lock(...)
\t/usr/local/go/src/sync/mutex.go:90
main.(*Box[...]).Put({0x5db818, 0x3}, {0xdeadbeef, ...})
\t/src/main.go:139 +0x28
panic({0x5db818?, 0x5f4030?})
\t/usr/local/go/src/runtime/panic.go:859 +0x125
main.work.func1(0x3?)
\t/src/main.go:141 +0x28
created by main.(*Pool).start in goroutine 17
\t/src/main.go:97 +0x1d
"""
ANCESTORS = b"""goroutine 5 [select]:
example.org/bus.loop(0x1)
\t/bus.go:7 +0x1
created by example.org/bus.Open in goroutine 9
\t/bus.go:3 +0x1
[originating from goroutine 9]:
example.org/bus.Open(...)
\t/bus.go:3 +0x1
main.(*Box[...]).dial(...)
\t/m.go:4 +0x1
created by net/http.(*Server).Serve
\t/server.go:1 +0x1
[originating from goroutine 1]:
main.main(...)
\t/m.go:1
...additional frames elided...
"""


def offset_of(body: bytes, line: bytes) -> int:
    """Return the offset of a line of a dump."""
    return body.index(b"\n" + line) + 1


def shape(parsed: Dump) -> list[object]:
    """Return the contents of a dump; traces compare by identity, so `==` is not enough."""
    goroutines = [
        (
            *(g.number, g.state, g.minutes, g.creator, g.parent, g.gap, g.locked, g.leaked, g.ancestors),
            *(g.trace.frames, g.trace.labels, g.trace.truncated, g.trace.wait),
        )
        for g in parsed.goroutines
    ]
    return [goroutines, parsed.truncated, parsed.ignored]


def in_pieces(body: bytes, size: int) -> Dump:
    """Return the dump in a body that is fed in pieces."""
    parser = dump.Parser()
    goroutines = [g for start in range(0, len(body), size) for g in parser.feed(body[start : start + size])]
    goroutines += parser.close()
    return Dump(tuple(goroutines), parser.truncated, parser.ignored)


def test_a_small_dump() -> None:
    """State, minutes, frames and creator are parsed; runtime frames at the leaf and argument words are omitted."""
    parsed = dump.parse(SMALL)
    main, locked = parsed.goroutines
    assert (main.number, main.state, main.minutes, main.creator) == (1, "chan receive (nil chan)", 12, None)
    assert main.trace.frames == (Frame("main.main", "C:/My Source/main.go", 7),)
    assert (locked.number, locked.state, locked.minutes, locked.locked) == (35, "sync.Mutex.Lock", 3, True)
    assert [frame.function for frame in locked.trace.frames][2:] == [
        "sync.(*Mutex).Lock",
        "main.(*Box[...]).Put",
        "runtime.gopanic",
        "main.work.func1",
    ]
    assert locked.creator == Frame("main.(*Pool).start", "/src/main.go", 97)
    assert (locked.parent, locked.trace.wait) == (17, "sync.Mutex.Lock")
    assert (parsed.truncated, parsed.ignored) == (False, 0)
    assert "deadbeef" not in repr(parsed)


def test_ancestors() -> None:
    """The stacks of the ancestors and what started them are parsed; the goroutine itself is as without them."""
    (goroutine,) = dump.parse(ANCESTORS).goroutines
    first, second = goroutine.ancestors
    assert first == Ancestor(
        9,
        (
            Frame("example.org/bus.Open", "/bus.go", 3),
            Frame("main.(*Box[...]).dial", "/m.go", 4),
            Frame("net/http.(*Server).Serve", "/server.go", 1),
        ),
    )
    assert second == Ancestor(1, (Frame("main.main", "/m.go", 1),))
    (without,) = dump.parse(ANCESTORS.partition(b"[orig")[0]).goroutines
    assert (goroutine.trace.frames, goroutine.creator) == (without.trace.frames, without.creator)
    assert goroutine.parent == without.parent == 9
    assert without.ancestors == ()


def test_ancestors_of_a_recorded_dump() -> None:
    """All but the main goroutine have ancestors, the main one at last; redaction leaves them."""
    body = (RECORDED[0].parents[1] / "callers" / "ancestors.debug2.txt").read_bytes()
    parsed = dump.parse(body)
    assert parsed.goroutines[0].number > 0
    assert all(g.ancestors[-1].number == 1 for g in parsed.goroutines if g.number > 1 and g.ancestors)
    assert sum(bool(g.ancestors) for g in parsed.goroutines) == body.count(b" in goroutine ")
    assert shape(in_pieces(body, 999)) == shape(parsed)
    assert shape(dump.parse(redact.dump(body, Redaction()))) == shape(parsed)


def test_the_nearest_ancestors_are_parsed() -> None:
    """Further ancestors are omitted, whatever is in them."""
    head, mark, ancestor = ANCESTORS.partition(b"[originating from goroutine 9]:\n")
    ancestor = mark + ancestor.partition(b"[orig")[0]
    parsed = dump.parse(head + ancestor * MAX_ANCESTORS + mark + b"not a call\n")
    assert [each.number for each in parsed.goroutines[0].ancestors] == [9] * MAX_ANCESTORS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"goroutine 9]:", b"goroutine nine]:", "line 6: expected the number of a goroutine, found 'nine'"),
        (b"goroutine 9]:", b"goroutine 9", "line 6: expected the number of a goroutine, found '9'"),
        (b"\t/m.go:4", b"\t/m.go", "line 10: expected a call and its file:line"),
        (b"\t/m.go:1", b"\t/m.go", "line 15: expected a call and its file:line"),
        (b"main.main", b"m" * MAX_TEXT, "line 14: expected at most 65536 bytes in a call"),
        (b"main.main(...)\n\t/m.go:1\n", b"a\n\tb:1\n" * (MAX_DEPTH + 1), "line 14: expected at most 2048 calls"),
    ],
)
def test_malformed_ancestors(old: bytes, new: bytes, message: str) -> None:
    """An invalid line of an ancestor is an error that quotes it and has its number."""
    with pytest.raises(MalformedProfile) as error:
        dump.parse(ANCESTORS.replace(old, new) + b"\n" + SMALL)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_recorded_dumps(path: Path) -> None:
    """The dump of each Go version is parsed; all but the main goroutine have a creator; no address remains."""
    parsed = dump.parse(path.read_bytes())
    assert len(parsed.goroutines) == path.read_bytes().count(b"]:\n") + path.read_bytes().count(b"}:\n") > 170
    assert (parsed.truncated, parsed.ignored) == (False, 0)
    assert [g.number for g in parsed.goroutines if g.creator is None] == [1]
    assert all((g.parent > 0) == (path.parent.name > "1.20") for g in parsed.goroutines if g.creator)
    assert all(frame.file and frame.line for g in parsed.goroutines for frame in g.trace.frames)
    assert "0x" not in repr(parsed)
    states = {g.state for g in parsed.goroutines if g.state not in {"running", "runnable"}}
    locks = {"sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait", "sync.Cond.Wait"}
    channels = {"chan send", "chan receive", "chan send (nil chan)", "chan receive (nil chan)", "select"}
    others = {"select (no cases)", "sleep", "IO wait", "syscall", "coroutine"}
    assert states == (locks | channels | others) - ({"coroutine"} if path.parent.name == "1.19" else set())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_a_dump_has_the_stacks_of_debug_1(path: Path) -> None:
    """Each stack in the text of a process is in its dump, with the same count and wait reason.

    Exceptions: the goroutines of a connection, which run in between, and the deep stack that the text truncates.
    """
    printed = Identifier().identify(text.parse(path.with_name("goroutine.debug1.txt").read_bytes()))
    dumped = Identifier().identify(dump.parse(path.read_bytes()).profile())
    moved = {"net/http.(*conn).serve", "net/http.(*connReader).backgroundRead"}
    for key, sample in printed.items():
        stack = sample.stack
        if stack.origin in moved or stack.frames[0].function == "main.deep":
            continue
        assert sample.goroutines == dumped[key].goroutines
        assert dumped[key].stack.blamed == stack.blamed
        assert dumped[key].stack.wait.startswith(stack.wait or "")
    new = [dumped[key].stack for key in dumped.keys() - printed.keys()]
    assert {s.frames[0].function for s in new if s.origin not in moved} <= {"main.deep"}


def test_labels_of_newer_go() -> None:
    """Labels after the bracket (Go 1.27) and inside it (Go 1.26) are parsed, quoted or not, and sorted."""
    labelled = [dict(g.trace.labels) for g in dump.parse(BODY).goroutines if g.trace.labels]
    assert {"worker": "w1"} in labelled
    assert max(labelled, key=len) == {
        "back": "c:\\dir",
        "bad": "\\xff\\xfe\x00\x7f\u200b\u2028",
        "brace": 'a}, {"b":"c"',
        "nl": "line1\nline2\ttab",
        "route": '/api/"quoted"',
        "uni": "größe-日本-😀",
    }
    older = SMALL.replace(b"minutes]", b'minutes labels:{"a b": "c]d", "k,": "v}"}]')
    newer = SMALL.replace(b"minutes]", b'minutes] {"k,": "v}", "a b": "c]d", empty: }')
    assert dump.parse(older).goroutines[0].trace.labels == (("a b", "c]d"), ("k,", "v}"))
    assert dump.parse(newer).goroutines[0].trace.labels == (("a b", "c]d"), ("empty", ""), ("k,", "v}"))
    assert dump.parse(older).goroutines[0].minutes == 12
    bare = SMALL.replace(b"(nil chan), 12 minutes]", b'labels:{"a": "b"}]')
    assert dump.parse(bare).goroutines[0].state == "chan receive"


def test_notes_after_the_state() -> None:
    """Notes are not part of the state; the note `leaked` is reported."""
    noted = SMALL.replace(b"semacquire,", b"select (leaked) (scan) (durable), synctest bubble 3,")
    parsed = dump.parse(noted.replace(b"minutes, locked", b"minutes, synctest bubble 2, locked")).goroutines[1]
    assert (parsed.state, parsed.leaked, parsed.locked, parsed.minutes) == ("select", True, True, None)
    assert not dump.parse(SMALL).goroutines[1].leaked


def test_missing_frames() -> None:
    """Gaps, truncated roots (Go 1.19), C functions, ancestors and stacks of other threads are distinguished."""
    call = offset_of(SMALL, b"main.(*Box")
    gap = dump.parse(SMALL[:call] + b"...203 frames elided...\n" + SMALL[call:]).goroutines[1]
    assert (gap.gap, gap.trace.truncated, len(gap.trace.frames)) == (3, False, 6)
    root = offset_of(SMALL, b"created by")
    truncated = dump.parse(SMALL[:root] + b"...additional frames elided...\n" + SMALL[root:]).goroutines[1]
    assert (truncated.gap, truncated.trace.truncated, len(truncated.trace.frames)) == (0, True, 6)
    foreign = b"non-Go function at pc=0x12\nnon-Go function\n\tpc=0x13\nread\n\t/c/read.c:7 pc=0x14\n"
    mixed = dump.parse(SMALL[:call] + foreign + SMALL[call:]).goroutines[1]
    assert mixed.trace.frames[3:6] == (text.UNKNOWN, text.UNKNOWN, Frame("read", "/c/read.c", 7))
    ancestor = (
        b"[originating from goroutine 1]:\nmain.main(...)\n\t/src/main.go:9 +0x1\ncreated by main.x\n\t/x.go:1"
    )
    descended = dump.parse(SMALL + ancestor + b" +0x1\n").goroutines[1]
    assert descended.trace.frames == dump.parse(SMALL).goroutines[1].trace.frames
    away = SMALL[: offset_of(SMALL, b"sync.runtime")] + b"\tgoroutine running on other thread; stack unavailable\n"
    assert dump.parse(away + SMALL[root:]).goroutines[1].trace.frames == ()


def test_a_goroutine_that_has_not_run() -> None:
    """A goroutine that has not run has no frames, as in debug=1, and gives no stack."""
    body = SMALL + (
        b"\ngoroutine 36 [runnable]:\nmain.main.gowrap1()\n\t/src/main.go:16\nruntime.goexit({})\n"
        b"\t/usr/local/go/src/runtime/asm_amd64.s:1771 +0x1\ncreated by main.main in goroutine 1\n"
        b"\t/src/main.go:16 +0x56\n"
    )
    new = dump.parse(body).goroutines[2]
    assert (new.trace.frames, new.creator) == ((), Frame("main.main", "/src/main.go", 16))
    assert len(Identifier().identify(dump.parse(body).profile())) == 2


def test_a_dump_with_runtime_frames() -> None:
    """With GOTRACEBACK=crash, Go prints hidden frames: stacks stay the same, and the parking function is known."""
    hidden = b"runtime.gopark(0x1)\n\t/go/proc.go:1 +0x1 fp=0xc1 sp=0xc2 pc=0x43\n"
    hidden += b"runtime.chanrecv1(0x0)\n\t/go/chan.go:2 +0x1\n"
    shown = SMALL.replace(b"goroutine 1 [", b"goroutine 1 gp=0xc0000021c0 m=nil [")
    shown = shown.replace(b"main.main()\n", hidden + b"main.main()\n")
    shown = shown.replace(b"+0x1d\n\n", b"+0x1d\nruntime.goexit({})\n\t/go/asm.s:1771 +0x1\n\n")
    threads = b"goroutine 0 gp=0x5 m=0 mp=0x6 [idle]:\nruntime.futex(0x1)\n\t/go/sys.s:557 +0x21\n\n"
    parsed = dump.parse(threads + shown)
    assert shape(parsed) == shape(dump.parse(SMALL))
    assert parsed.goroutines[0].trace.parked == "runtime.chanrecv1"


def test_a_call_without_a_line() -> None:
    """Go prints -2 where it knows no line, as of a goroutine that was preempted in a loop; the line is then 0."""
    body = b"goroutine 36 [runnable]:\nmain.spin()\n\t/src/main.go:-2 +0x3\n\n" + SMALL
    assert dump.parse(body).goroutines[0].trace.frames == (Frame("main.spin", "/src/main.go", 0),)


def test_the_output_of_a_panic() -> None:
    """Text before and after the goroutines is omitted and counted."""
    log = b"2024/01/02 listening\npanic: boom\n[signal SIGSEGV]\n"
    for before in (log + b"\n", log):
        assert shape(dump.parse(before + SMALL + b"exit status 2\n"))[0] == shape(dump.parse(SMALL))[0]
        assert dump.parse(before + SMALL).ignored == 1
    assert dump.parse(SMALL + b"\n-----\n\nrax    0x0\nrbx    0x1\n").ignored == 2


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("body", [SMALL, BODY, BODY[:70_001]], ids=["small", "recorded", "cut"])
def test_pieces_of_any_size(body: bytes, size: int) -> None:
    """A dump in pieces gives the same goroutines as the whole dump."""
    assert shape(in_pieces(body, size)) == shape(dump.parse(body))


@pytest.mark.parametrize("line", [b"goroutine 35", b"created by", b"\t/src/main.go:97", b"\t/src/main.go:139"])
@pytest.mark.parametrize("more", [0, 9])
def test_a_truncated_dump(line: bytes, more: int) -> None:
    """Complete goroutines are returned, and `truncated` is set, also if the dump ends at the end of a line."""
    body = SMALL[: offset_of(SMALL, line) + more]
    if not body.endswith(b"\n\n"):  # the end of a complete dump
        parsed = dump.parse(body)
        assert [g.number for g in parsed.goroutines] == [1]
        assert parsed.truncated


def test_the_main_goroutine_may_be_the_last() -> None:
    """The main goroutine has no creator: it is complete if it ends with the function that starts a program."""
    for root in (b"main.main()", b"example.com/shop.init.0()", b"runtime.main()"):
        parsed = dump.parse(b"goroutine 1 [select]:\nmain.wait()\n\t/x.go:1 +0x1\n" + root + b"\n\t/x.go:7 +0x1\n")
        assert (len(parsed.goroutines), parsed.truncated) == (1, False)


def test_a_dump_of_maximum_size() -> None:
    """A dump of 64 MiB counts as truncated, even if its last goroutine is complete."""
    goroutine = SMALL[SMALL.index(b"goroutine 35") :] + b"\n"
    body = goroutine * (dump.SIZE_LIMIT // len(goroutine) + 1)
    parsed = dump.parse(body[: dump.SIZE_LIMIT])
    assert parsed.truncated
    assert len(parsed.goroutines) == dump.SIZE_LIMIT // len(goroutine)
    fits = goroutine * 9
    parsed = dump.parse(fits + b"x" * (dump.SIZE_LIMIT - len(fits) - 1) + b"\n")
    assert (parsed.truncated, len(parsed.goroutines), parsed.ignored) == (True, 9, 1)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", NotAProfile, "not a dump of goroutines: the body is empty"),
        (b"<!DOCTYPE html>\n<html>", NotAProfile, "the body starts with '<!DOCTYPE html>"),
        (b"goroutine profile: total 3\n2 @ 0x1\n", NotAProfile, "the body starts with 'goroutine profile"),
        (b"x\n\n" * dump.MAX_PREFIX, NotAProfile, "no goroutine ends within 1048576 bytes"),
        (SMALL[:30], TruncatedProfile, "line 1: the dump ends within its first goroutine"),
        (b"panic: x\n\n" + SMALL[:60], TruncatedProfile, "line 3: the dump ends within its first goroutine"),
        (SMALL.replace(b"main.go:7", b"main.go"), MalformedProfile, "line 3: expected a call and its file:line"),
        (SMALL.replace(b"main.main()\n", b""), MalformedProfile, "line 2: expected a call and its file:line"),
        (
            SMALL.replace(b"12 minutes]:", b"12 minutes:"),
            MalformedProfile,
            "line 1: expected `goroutine N [state]",
        ),
        (
            SMALL.replace(b"[chan", b"[" + b"x" * 1_000_000).replace(b"12 minutes]:", b"12 minutes:"),
            MalformedProfile,
            "xxx'...",
        ),
        (
            (SMALL + b"\n" + SMALL).replace(b"goroutine 17", b"goroutine x17"),
            MalformedProfile,
            "line 18: expected the number of a goroutine, found 'x17'",
        ),
        (
            SMALL.replace(b"minutes]:", b'minutes] {key: "hunter2}:'),
            MalformedProfile,
            "line 1: expected `goroutine N [state]:`, found 'goroutine 1 [chan receive ...'",
        ),
        (
            SMALL.replace(b"main.main()", b"main.(*T).main(0xdead, {0xbeef})\nmain.other(0xdead"),
            MalformedProfile,
            "line 3: expected a call and its file:line, found 'main.other...'",
        ),
    ],
)
def test_invalid_bodies(body: bytes, error: type[ProfileError], message: str) -> None:
    """Each invalid body raises an error with its kind; the message quotes the line without secrets."""
    with pytest.raises(error) as caught:
        dump.parse(body)
    assert message in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("hunter2", "dead", "beef"))
    assert len(str(caught.value)) < 300


@given(st.binary() | st.binary().map(lambda b: b"goroutine 1 [running]:\n" + b))
def test_arbitrary_bytes(body: bytes) -> None:
    """Arbitrary bytes give a dump or raise a ProfileError."""
    with suppress(ProfileError):
        dump.parse(body)


@settings(deadline=None)
@given(st.sampled_from(RECORDED), st.data())
def test_cuts_and_damage(path: Path, data: st.DataObject) -> None:
    """A damaged dump gives a dump or raises a ProfileError, with the same result in pieces."""
    body = path.read_bytes()
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
    variants = [body[:end], body[start:end], body[:start] + body[end:], body[:start] + b"\n" + body[start + 1 :]]
    damaged = data.draw(st.sampled_from(variants))
    outcomes = []
    for parse in (dump.parse, lambda damaged: in_pieces(damaged, 997)):
        try:
            outcomes.append(shape(parse(damaged)))
        except ProfileError as error:
            outcomes.append([str(error)])
    assert outcomes[0] == outcomes[1]


@settings(deadline=None)
@given(st.integers(0, len(BODY) - 1))
@example(BODY.index(b"internal/poll.(*pollDesc).wait("))
def test_an_early_end_is_noticed(end: int) -> None:
    """The goroutines before an early end are parsed; `truncated` is set unless a goroutine ends there."""
    whole = shape(dump.parse(BODY))[0]
    try:
        parsed = dump.parse(BODY[:end])
    except ProfileError:
        assert end < BODY.index(b"\n\n") + 1
    else:
        assert isinstance(whole, list)
        assert shape(parsed)[0] == whole[: len(parsed.goroutines)]
        assert len(parsed.goroutines) in {BODY.count(b"\n\n", 0, end), BODY.count(b"\n\n", 0, end) + 1}
        assert parsed.truncated or BODY[:end].endswith(b"\n\n") or BODY[end : end + 1] == b"\n"


CALL = b"main.f(0x1)\n\t/x.go:1 +0x1\n"


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        (CALL * 2_100, "line 6: expected at most 2048 calls in a goroutine, found 'main.f"),
        (CALL * 100_000, "line 5: expected at most 1048576 bytes in a goroutine, found"),
        (CALL.replace(b"f", b"f" * 65_536), "line 6: expected at most 65536 bytes in a call, found 'main.f"),
    ],
)
def test_a_goroutine_is_bounded(calls: bytes, message: str) -> None:
    """A goroutine that Go does not print is rejected: too many calls, too many bytes, or too long a name."""
    header = b"goroutine 2 [select]:\n"
    first = b"goroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1\n\n"
    body = first + header + calls + b"created by main.main\n\t/x.go:2 +0x1\n\n"
    with pytest.raises(MalformedProfile) as caught:
        dump.parse(body)
    assert message in str(caught.value)
