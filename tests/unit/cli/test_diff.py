"""`leakwatch diff`: formats, sources, and names that contain escape sequences."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import pprof
from leakwatch.profile.diff import changes, compare, largest
from leakwatch.profile.grouping import GroupBy
from leakwatch.profile.stacks import Identifier
from tests.support.answering import answering, http
from tests.support.commands import output_of, run_command
from tests.support.running import eventually
from tests.support.terminals import Terminal

RECORDED = Path(__file__).parents[2] / "profiles"
ESCAPES = "main.\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\n::error::x;y"
HERE = Path(__file__).parent
ALONE = RECORDED / "1.27" / "goroutine.debug2.txt"
COMMAND = [sys.executable, "-m", "leakwatch", "diff"]


def profile(counts: Mapping[str, int], line: int = 7) -> bytes:
    """Return a saved profile of stacks by the name of their function, started in main.serve."""
    groups = [
        (Trace((Frame(name, "/src/shop.go", line), Frame("main.serve", "/src/main.go", 3))), n)
        for name, n in counts.items()
    ]
    return pprof.encode(Profile(sum(counts.values()), tuple(groups)))


def diff(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> str:
    """Return the output of `leakwatch diff`, which succeeds."""
    return output_of("diff", *arguments, stdin=stdin, **environment)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two profiles: one stack grew, one is new, one shrank, one is gone, one stayed."""
    old, new = tmp_path / "old.pb.gz", tmp_path / "new.pb.gz"
    old.write_bytes(profile({"main.grows": 5, "main.shrinks": 9, "main.goes": 4, "main.stays": 3}))
    new.write_bytes(profile({"main.grows": 340, "main.shrinks": 8, "main.comes": 20, "main.stays": 3}, line=99))
    return old, new


def rows(printed: str) -> list[list[str]]:
    """Return the cells of the rows with a change."""
    return [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines() if re.match(r"\s+[+-]\d", line)]


def test_text(two: tuple[Path, Path]) -> None:
    """The text has signed changes, marks of new and gone stacks, and a summary. Growth comes first."""
    printed = diff(*two)
    assert [row[:4] for row in rows(printed)][:2] == [
        ["+335", "5", "340", rows(printed)[0][3]],
        ["+20", "0", "20", "new"],
    ]
    assert [row[:4] for row in rows(printed)][2:] == [
        ["-1", "9", "8", rows(printed)[2][3]],
        ["-4", "4", "0", "gone"],
    ]
    assert f"--- {two[0]}  21 goroutines in 4 stacks" in printed
    assert f"+++ {two[1]}  371 goroutines in 4 stacks" in printed
    assert printed.endswith("total +350: 2 stacks grew by 355 (1 new), 2 stacks shrank by 5 (1 gone), 1 stayed\n")
    assert "/src/shop.go:99" in printed  # as the new build has it
    assert re.search(r"function +started in\n", printed)  # only a full dump has the creator
    assert "\x1b" not in printed


def test_large_numbers_have_separators(tmp_path: Path) -> None:
    """Counts and changes have separators, in the rows and in the summary."""
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_bytes(profile({"leak": 1000}))
    new.write_bytes(profile({"leak": 6234}))
    printed = diff(old, new)
    assert rows(printed)[0][:3] == ["+5,234", "1,000", "6,234"]
    assert printed.endswith("total +5,234: 1 stack grew by 5,234\n")


def test_a_limit_keeps_the_largest_changes(two: tuple[Path, Path]) -> None:
    """With a limit, the largest changes in either direction are shown, and the others are counted."""
    printed = diff(*two, "--limit", "3")
    assert [row[0] for row in rows(printed)] == ["+335", "+20", "-4"]
    assert "1 more; --limit 0 shows all" in printed
    assert len(rows(diff(*two, "--limit", "0"))) == 4


@pytest.mark.parametrize(
    ("by", "key"), [("site", "main.grows"), ("origin", "main.serve"), ("reason", "(unknown)")]
)
def test_groups(two: tuple[Path, Path], by: str, key: str) -> None:
    """Changes by site, origin and wait reason add up to the changes of all stacks."""
    found = json.loads(diff(*two, "--by", by, "--format", "json"))
    assert (found["old"], found["new"], found["change"]) == (21, 371, 350)
    assert sum(group["change"] for group in found["groups"]) == 350
    (group,) = [group for group in found["groups"] if group["key"] == key]
    assert group["change"] == sum(stack["change"] for stack in group["stacks"])
    assert key in diff(*two, "--by", by)


@pytest.mark.parametrize(
    ("arguments", "status", "messages"),
    [
        (("--fail-over", "335"), 0, []),
        (("--fail-over", "334"), 1, ["main.grows: grew by 335, which is more than 334"]),
        (("--fail-over", "0"), 1, ["main.grows: grew by 335", "main.comes: grew by 20, which is more than 0"]),
        (("--fail-over", "345", "--by", "origin"), 1, ["main.serve: grew by 350, which is more than 345"]),
        (("--fail-over", "10", "--format", "json", "--limit", "1"), 1, ["main.grows: ", "main.comes: grew by 20"]),
    ],
)
def test_fail_over(two: tuple[Path, Path], arguments: tuple[str, ...], status: int, messages: list[str]) -> None:
    """The status is 1 if a group of --by grew by more than N; standard error has each such group."""
    completed = run_command("diff", *two, *arguments)
    lines = completed.stderr.decode().splitlines()
    assert (completed.returncode, len(lines)) == (status, len(messages))
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"leakwatch: {message}")
    assert completed.stdout


def test_json_has_every_change(two: tuple[Path, Path]) -> None:
    """The JSON has marks, counts and frames of each stack that changed."""
    found = json.loads(diff(*two, "--format", "json"))
    marks = {group["stacks"][0]["function"]: group["mark"] for group in found["groups"]}
    assert marks == {"main.grows": "", "main.comes": "new", "main.shrinks": "", "main.goes": "gone"}
    assert found["groups"][0]["stacks"][0]["frames"][0] == {
        "function": "main.grows",
        "file": "/src/shop.go",
        "line": 99,
    }


def test_folded(two: tuple[Path, Path]) -> None:
    """Each line has a stack, root first, the old count and the new count."""
    lines = set(diff(*two, "--format", "folded").splitlines())
    assert lines == {
        "main.serve;main.grows 5 340",
        "main.serve;main.comes 0 20",
        "main.serve;main.shrinks 9 8",
        "main.serve;main.goes 4 0",
        "main.serve;main.stays 3 3",
    }


def test_a_go_upgrade_changes_nothing() -> None:
    """In one program built by Go 1.23 and 1.27, no stack of own code is new or gone."""
    old, new = (RECORDED / version / "goroutine.debug1.txt" for version in ("1.23", "1.27"))
    found = json.loads(diff(old, new, "--format", "json"))
    marked = [
        s["function"]
        for g in found["groups"]
        for s in g["stacks"]
        if s["mark"] and s["function"].startswith("main.")
    ]
    assert marked == []
    assert run_command("diff", old, new).stderr == b""


def test_text_protobuf_and_dump_are_compared(tmp_path: Path) -> None:
    """Text, protobuf and dumps are compared, gzipped, from standard input, or from a service."""
    folder = RECORDED / "1.27"
    body = (folder / "goroutine.debug1.txt").read_bytes()
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(body))
    assert "total 0: 60 stayed" in diff(tmp_path / "packed.txt.gz", "-", stdin=body)
    with answering(http(body)) as server:
        assert "total 0: 60 stayed" in diff("-", server.url, stdin=body)
    grown = json.loads(diff(folder / "goroutine.debug1.txt", folder / "goroutine.debug2.txt", "--format", "json"))
    marks = [s["function"] for g in grown["groups"] for s in g["stacks"] if s["mark"]]
    assert {name for name in marks if name.startswith("main.")} <= {
        "main.deep"
    }  # which text cuts and a dump does not


def test_a_folder_is_its_first_and_last_profile(tmp_path: Path) -> None:
    """For a folder, the first and the last profile by time are compared; the time between them is printed."""
    for time, count in ((999_999_999, 1), (1_000_003_599, 5), (1_000_000_000, 3)):
        (tmp_path / f"{time}.pb.gz").write_bytes(profile({"main.grows": count}))
    (tmp_path / "notes.txt").write_text("not a profile")
    printed = diff(tmp_path)
    assert "total +4, 1h later: 1 stack grew by 4" in printed
    assert f"--- {tmp_path}/999999999.pb.gz  1 goroutine in 1 stack, 2001-09-09 01:46:39 UTC" in printed
    assert "total -4, 1h earlier" in diff(tmp_path / "1000003599.pb.gz", tmp_path / "999999999.pb.gz")


def test_equal_and_empty_profiles(tmp_path: Path) -> None:
    """Equal and empty profiles have a summary; all stacks of a service that started are new."""
    (tmp_path / "empty.pb.gz").write_bytes(profile({}))
    (tmp_path / "some.pb.gz").write_bytes(profile({"main.a": 3}))
    empty, some = tmp_path / "empty.pb.gz", tmp_path / "some.pb.gz"
    assert diff(some, some).endswith("total 0: 1 stayed\n")
    assert diff(empty, empty).endswith("total 0: no stacks\n")
    assert diff(empty, some).endswith("total +3: 1 stack grew by 3 (1 new)\n")
    assert diff(some, empty).endswith("total -3: 1 stack shrank by 3 (1 gone)\n")
    assert diff(empty, empty, "--format", "folded") == ""


def test_two_services_are_noticed(tmp_path: Path) -> None:
    """If the profiles share no own code, a message asks about it, and the diff is printed."""
    (tmp_path / "a.pb.gz").write_bytes(profile({"example.com/a.f": 3}))
    (tmp_path / "b.pb.gz").write_bytes(pprof.encode(Profile(2, ((Trace((Frame("example.com/b.g"),)), 2),))))
    done = run_command("diff", tmp_path / "a.pb.gz", tmp_path / "b.pb.gz")
    assert done.returncode == 0
    assert b"no stack of own code is in both profiles: are they of the same service?" in done.stderr
    assert b"total -1: 1 stack grew by 2 (1 new), 1 stack shrank by 3 (1 gone)" in done.stdout


def test_names_are_escaped(tmp_path: Path) -> None:
    """Escape sequences, bells, direction marks and line ends in names are escaped, on a terminal and in a pipe."""
    (tmp_path / "old.pb.gz").write_bytes(profile({"main.a": 1}))
    (tmp_path / "new.pb.gz").write_bytes(profile({"main.a": 1, ESCAPES: 9, "m" * 10_000: 3}))
    printed = diff(tmp_path / "old.pb.gz", tmp_path / "new.pb.gz")
    assert r"main.\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\n::error::x;y" in printed
    assert "mmm…" in printed
    assert printed.replace("\n", "").isprintable()
    folded = diff(tmp_path / "old.pb.gz", tmp_path / "new.pb.gz", "--format", "folded")
    assert len(folded.splitlines()) == 3
    assert r"\n::error::x:y 0 9" in folded
    terminal = Terminal([*COMMAND, str(tmp_path / "old.pb.gz"), str(tmp_path / "new.pb.gz")])
    try:
        assert eventually(lambda: b"total" in terminal.raw() and terminal.popen.poll() is not None)
        lines = [line for line in terminal.said().splitlines() if not line.startswith(("---", "+++"))]
        assert max(map(len, lines)) <= 80
        assert b"\x1b]0;" not in terminal.raw()
        assert b"\x07" not in terminal.raw()
        assert re.search(rb"\x1b\[31m *\+9", terminal.raw())
    finally:
        terminal.close()


def test_colour(two: tuple[Path, Path]) -> None:
    """FORCE_COLOR enables colours in a pipe, and NO_COLOR disables them on a terminal."""
    assert re.search(r"\x1b\[31m *\+335", diff(*two, FORCE_COLOR="1", TERM="xterm"))
    assert "\x1b[31m" not in diff(*two, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm")
    terminal = Terminal([*COMMAND, *map(str, two)], NO_COLOR="1")
    try:
        assert eventually(lambda: b"total" in terminal.raw() and terminal.popen.poll() is not None)
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9]m", terminal.raw())
        assert "+335" in terminal.said()
    finally:
        terminal.close()


def test_many_stacks() -> None:
    """The largest changes of 20,000 stacks are found, and each stack is compared with itself."""
    names = [f"main.f{n}" for n in range(20_000)]
    old = Identifier().identify(Profile(0, tuple((Trace((Frame(name),)), 2) for name in names)))
    new = Identifier().identify(
        Profile(0, tuple((Trace((Frame(name),)), 2 + n % 200) for n, name in enumerate(names)))
    )
    found = changes(compare(old, new), GroupBy.STACK)
    assert len(found) == 19_900
    assert {one.change for one in largest(found, 100)} == {199}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.txt", "none.txt"], 1, "none.txt: No such file or directory"),
        (
            [ALONE],
            2,
            "goroutine.debug2.txt: without NEW, OLD must be a folder of profiles, or a file with several",
        ),
        (["-", "-"], 2, "only one of OLD and NEW can be standard input"),
        ([HERE, HERE], 1, "cli: has no file named <unix seconds>.txt or .pb, with or without .gz"),
        (["http://user:hunter2@127.0.0.1:1", "-"], 1, "http://127.0.0.1:1: Connection refused"),
        (["127.0.0.1:1", "-"], 1, "127.0.0.1:1: Connection refused"),
        (["a", "b", "--limit", "-1"], 2, "--limit -1: must be 0 or more"),
        (["a", "b", "--timeout", "0s"], 2, "--timeout 0: must be"),
        (["a", "b", "--fail-over", "-1"], 2, "--fail-over -1: must be 0 or more"),
        (["a", "b", "--fail-over", "1"], 2, "a: No such file or directory; for a service, add its port: a:6060"),
    ],
    ids=[
        "missing",
        "alone",
        "stdin twice",
        "folder",
        "refused",
        "no scheme",
        "limit",
        "timeout",
        "gate",
        "gate missing",
    ],
)
def test_invalid_sources(arguments: list[str | Path], status: int, message: str) -> None:
    """The error is one line that names the source, without traceback, secret or output."""
    done = run_command("diff", *arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert b"hunter2" not in done.stderr


def test_a_closed_pipe(two: tuple[Path, Path]) -> None:
    """`leakwatch diff ... | head -1` ends without a traceback."""
    command = f"{' '.join(COMMAND)} {two[0]} {two[1]} | head -1"
    piped = subprocess.run(command, shell=True, capture_output=True, check=True)  # noqa: S602  a pipe
    assert piped.stderr == b""
    assert piped.stdout.startswith(b"--- ")
