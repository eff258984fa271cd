"""Dumps and profiles that logs, mailers and editors change: counts, states and files stay right."""

import json
import re
from collections.abc import Sequence

import pytest

from leakwatch.model import Profile
from leakwatch.pasted.reader import read
from leakwatch.profile.dump import Dump
from tests.support import mangling

SYSTEM = (
    b"SIGQUIT: quit\nPC=0x48dac1 m=0 sigcode=0\n\n"
    b"goroutine 0 gp=0x68a8c0 m=0 mp=0x68b8c0 [idle]:\nruntime.mPark(...)\n\t/go/src/runtime/proc.go:1967\n\n"
    b"goroutine 1 gp=0xa5efbaa61e0 m=nil [chan receive (nil chan), 45 minutes]:\n"
    b"runtime.gopark(0x2e1ec92de61?, 0x0?, 0xe0?, 0x97?, 0xa5efbba4280?)\n"
    b"\t/go/src/runtime/proc.go:462 +0xce fp=0xa5efbaecdb0 sp=0xa5efbaecd90 pc=0x4850ae\n"
    b"main.main()\n\t/src/orders/main.go:97 +0x805 fp=0xa5efbaecf48 sp=0xa5efbaece08 pc=0x51c705\n"
    b"runtime.goexit({})\n\t/go/src/runtime/asm_amd64.s:1771 +0x1 fp=0xa5efbaecfe8 sp=0xa5efbaecfe0 pc=0x48b\n\n"
    b"goroutine 56 gp=0xa5efbb81a40 m=6 mp=0xa5efbb22008 [running, locked to thread]:\n"
    b"\tgoroutine running on other thread; stack unavailable\n"
    b"created by main.main in goroutine 1\n\t/src/orders/main.go:71 +0x2c9\n\n"
    b"goroutine 57 gp=0xa5efbb81c20 m=nil [runnable]:\nmain.main.func7()\n"
    b"\t/src/orders/main.go:-2 +0x1 fp=0x2dcee3558fe0 sp=0x2dcee3558fd8 pc=0x51cd01\n"
    b"created by main.main in goroutine 1\n\t/src/orders/main.go:99 +0x816\n\n"
)
THREADS = (
    b"rax    0xca\nrbx    0x0\n\n-----\n\nSIGQUIT: quit\nPC=0x48dac3 m=6 sigcode=0\n\n"
    b"goroutine 56 gp=0xa5efbb81a40 m=6 mp=0xa5efbb22008 [running, locked to thread]:\n"
    b"main.spin()\n\t/src/orders/main.go:30 +0x2 fp=0x1 sp=0x2 pc=0x3\n"
    b"created by main.main in goroutine 1\n\t/src/orders/main.go:71 +0x2c9\nrax    0x1\n"
    b"\n-----\n\nSIGQUIT: quit\nPC=0x48dac3 m=7 sigcode=0\n\n"
    b"goroutine 0 gp=0x2299172c7860 m=7 mp=0x2299172fb808 [idle]:\nruntime.mPark(...)\n\t/go/src/proc.go:1\n"
)
SMALL = (
    b"goroutine profile: total 7\n"
    b"5 @ 0x47e08e 0x41491c 0x414517 0x4da0be 0x484561\n"
    b'# labels: {"route":"/orders", "tenant":"acme"}\n'
    b"#\t0x4da0bd\texample.org/orders/stock.(*Cache).refresh+0x1d\t/src/orders/stock/cache.go:311\n\n"
    b"2 @ 0x43a2a5 0x4da10e 0x484561\n"
    b"#\t0x4da10d\tmain.main+0x1d\t\t\t\t\t\t/src/orders/main.go:88\n\n"
)


def shape(body: bytes) -> Sequence[object]:
    """Return state, functions, files and lines of all goroutines or groups, sorted."""
    (profile,) = read(body).profiles
    if isinstance(profile.source, Profile):
        return sorted((count, trace.labels, trace.frames) for trace, count in profile.source.groups)
    return sorted((g.number, g.state, g.minutes, g.trace.frames, g.creator) for g in profile.source.goroutines)


def each(prefix: str) -> mangling.Mangle:
    """Return a function that writes a prefix before each line; `{}` is its number."""
    return mangling.each_line(lambda i, line: prefix.format(i).encode() + line)


def test_threads_repeat_goroutines_of_a_crash() -> None:
    """With GOTRACEBACK=crash, each thread prints its goroutine again; these complete the dump."""
    (profile,) = read(SYSTEM + THREADS).profiles
    assert isinstance(profile.source, Dump)
    assert [g.number for g in profile.source.goroutines] == [1, 56, 57]
    assert profile.source.goroutines[1].trace.frames[0].function == "main.spin"


def test_two_dumps_between_lines_are_two() -> None:
    """A line of markdown between two dumps does not make the second one a part of the first."""
    assert [profile.total for profile in read(SYSTEM + b"-----\n\n" + SYSTEM).profiles] == [3, 3]


@pytest.mark.parametrize("width", [60, 64, 66, 72, 76, 79, 80, 100, 132])
@pytest.mark.parametrize("body", [SYSTEM, SMALL], ids=["dump", "profile"])
def test_broken_lines(body: bytes, width: int) -> None:
    """Lines that are broken at any column lose no goroutine, state, function, or digit of a line."""
    assert shape(mangling.wrapped(width)(body)) == shape(body)


@pytest.mark.parametrize("width", [40, 60, 72])
@pytest.mark.parametrize("body", [SYSTEM, SMALL], ids=["dump", "profile"])
def test_lines_broken_between_words(body: bytes, width: int) -> None:
    """Lines that a mailer broke between words are joined, also in the first line and the labels."""

    def broken(_: int, line: bytes) -> bytes:
        lines = [b""]
        for word in line.split():
            if lines[-1] and len(lines[-1]) + len(word) >= width:
                lines.append(b"")
            lines[-1] += (b" " if lines[-1] else b"") + word
        return b"\n".join(lines)

    assert shape(mangling.each_line(broken)(body)) == shape(body)


@pytest.mark.parametrize(
    "tab", ["#011", r"\t", "^I", "\u2192", "\u2003\u2003", "\u2002", "\u2009", "\u00ad\t", "\u200e\t"]
)
@pytest.mark.parametrize("body", [SYSTEM, SMALL], ids=["dump", "profile"])
def test_tabs_that_are_shown(body: bytes, tab: str) -> None:
    """Tabs that rsyslog, a shell or an editor writes as other characters are not part of files."""
    assert shape(body.replace(b"\t", tab.encode())) == shape(body)
    logged = each("2026-12-01T10:00:00.{:06d}+00:00 web-3 orders[812]: ")(body.replace(b"\t", tab.encode()))
    assert shape(logged) == shape(body)


def test_no_break_spaces_of_latin_1() -> None:
    """Text in Latin-1 has no-break spaces of one byte."""
    assert shape(SYSTEM.replace(b"\t", b"\xa0\xa0\xa0\xa0")) == shape(SYSTEM)


@pytest.mark.parametrize("end", ["\u2028", "\u0085", "\x0b\n"])
def test_other_line_separators(end: str) -> None:
    """Separators of lines that editors and chats use end a line."""
    assert shape(SYSTEM.replace(b"\n", end.encode())) == shape(SYSTEM)


@pytest.mark.parametrize("prefix", ["10:00:{:02d} web.1  | ", "{:4d} | ", "12:{:02d}:07.5 orders_1 | "])
def test_numbers_and_times_do_not_name_a_process(prefix: str) -> None:
    """Lines with a time or a line number before `|` are of one process."""
    assert shape(each(prefix)(SYSTEM)) == shape(SYSTEM)


@pytest.mark.parametrize(
    "line",
    [
        "I1201 10:00:00.000001       1 reflector.go:221] Starting reflector *v1.Pod (10h) from k8s/factory.go:150",
        "2026/12/01 10:00:00 main.go:77",
        'time="2026" level=info msg="GET /foo (200)" caller=orders/main.go:77',
    ],
)
def test_log_lines_that_end_like_a_place(line: str) -> None:
    """A line of a log that ends with a file and a line between two calls is left out."""
    noisy = mangling.each_line(lambda _, text: text + (b"\n" + line.encode() if b"(" in text else b""))
    assert shape(noisy(SYSTEM)) == shape(SYSTEM)


@pytest.mark.parametrize("size", [200, 600, 1000])
@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("body", [SYSTEM, SMALL, SMALL.replace(b"goroutine ", b"goroutineleak ")])
def test_docker_splits_long_lines(body: bytes, is_json: bool, size: int) -> None:
    """A long line of the service, which Docker writes as several objects, is joined before it is read."""
    quoted = json.dumps(body.decode())
    line = f'{{"msg":"x","stack":{quoted}}}' if is_json else f"level=error stack={quoted} a=b"
    parts = [line[i : i + size] for i in range(0, len(line), size)]
    parts[-1] += "\n"
    log = "".join(json.dumps({"log": part, "stream": "stderr", "time": "x"}) + "\n" for part in parts)
    assert shape(log.encode()) == shape(body)


def test_docker_with_a_terminal() -> None:
    """Containers with a terminal end their lines with a carriage return, in JSON too."""
    log = mangling.each_line(
        lambda _, line: json.dumps({"log": line.decode() + "\r\n", "stream": "stdout"}).encode()
    )
    assert shape(log(SYSTEM)) == shape(SYSTEM)


def test_text_before_and_after_a_profile() -> None:
    """The progress of curl in the line of the header, and a heading after a group, do not matter."""
    for before in (
        "100  3987    0  3987    0     0   123      0 --:--:-- --:--:--   129",
        "100 3987 --:--:-- 1297k",
    ):
        assert shape(before.encode() + SMALL) == shape(SMALL)
    assert shape(b"#+BEGIN_EXAMPLE\n" + SMALL.rstrip() + b"\n#+END_EXAMPLE\n# Notes\n") == shape(SMALL)


GOLEAK = (
    b"--- FAIL: Test%s (0.44s)\n    cache_test.go:12: found unexpected goroutines:\n"
    b"        [Goroutine %d in state chan receive (nil chan), with main.f on top of the stack:\n"
    b"        main.f(0xc000)\n        \t/src/orders/f.go:3 +0x1\n"
    b"        created by main.g in goroutine 7\n        \t/src/orders/f.go:9 +0x5\n        ]\n"
)
DUMP = SYSTEM.partition(b"\n\n")[2]


def test_reports_of_several_tests() -> None:
    """Each report of goleak is read on its own, also if no goroutine occurs twice."""
    assert [p.total for p in read(GOLEAK % (b"A", 18) + GOLEAK % (b"B", 21)).profiles] == [1, 1]


def interleaved(line: str) -> bytes:
    """Return two dumps, line by line; `line`: a format of the process and a line in JSON."""
    lines = [json.dumps(text.decode()) for text in DUMP.splitlines()]
    return "".join(
        line % (name, text) + "\n" for text in lines for name in ("orders-7c9d-x2x4z", "b-7-aaaaa")
    ).encode()


@pytest.mark.parametrize(
    "line",
    [
        '{"Action":"output","Package":"%s","Output":%s}',
        '{"kubernetes":{"pod_name":"%s"},"log":%s}',
        '{"_PID":"%s","MESSAGE":%s}',
    ],
)
def test_processes_in_json(line: str) -> None:
    """Packages, pods and processes that write lines in turn are kept apart."""
    body = interleaved(line)
    if "Output" in line:
        body = body.replace(b'"}\n', b'\\n"}\n')
    assert [p.total for p in read(body).profiles] == [3, 3]


def test_pods_of_stern() -> None:
    """The name of the pod before each line keeps pods apart."""
    lines = [
        f"{pod} app {text.decode()}\n"
        for text in DUMP.splitlines()
        for pod in ("orders-7c9-x2x4z", "orders-7c9-aabbc")
    ]
    assert [p.total for p in read("".join(lines).encode()).profiles] == [3, 3]


@pytest.mark.parametrize("mark", [rb"\\#\t\1", rb"1. \1", rb"<h1>\1</h1>"])
def test_marks_of_lists_and_headings(mark: bytes) -> None:
    """Markdown and HTML change the marks of frames."""
    assert shape(re.sub(rb"(?m)^#\t(.*)$", mark, SMALL)) == shape(SMALL)


def test_groups_without_calls() -> None:
    """If only the lines with counts were saved, the message reports that the calls are missing."""
    counts = b"".join(line for line in SMALL.splitlines(keepends=True) if not line.startswith(b"#"))
    assert read(counts).sentence(0) == "read 7 goroutines from a profile; their calls are missing"
