"""The output of the installed Go for every way to block, parsed by leakwatch."""

import json
import subprocess
import sys
from collections.abc import Callable

from typer.testing import CliRunner

from leakwatch.cli.main import app
from leakwatch.errors import UsageError
from leakwatch.profile import dump, text
from leakwatch.profile.dump_stacks import DumpIndex
from leakwatch.profile.stacks import Identifier
from tests.support.running import get


def body(url: str, debug: int = 1) -> bytes:
    """Fetch the profile of a program."""
    return get(f"{url}/debug/pprof/goroutine?debug={debug}").content


def test_every_shape_is_read(start: Callable[..., str]) -> None:
    """Each blocked function is blamed under its own name, with the wait reason that its frames show."""
    profile = text.parse(body(start("shapes")))
    samples = Identifier().identify(profile).values()
    waits = {sample.stack.blamed.function: sample.stack.wait for sample in samples}
    expected = {
        "main.mutexLock": "sync.Mutex.Lock",
        "main.rwMutexLock": "sync.RWMutex.Lock",
        "main.rwMutexRLock": "sync.RWMutex.RLock",
        "main.waitGroupWait": "sync.WaitGroup.Wait",
        "main.condWait": "sync.Cond.Wait",
        "main.sleep": "sleep",
        "main.tcpRead": "IO wait",
    }
    assert {name: waits.get(name) for name in expected} == expected
    for name in ("chanSend", "nilChanSend", "chanReceive", "rangeChan", "selectMany", "selectNone"):
        assert f"main.{name}" in waits
    assert any(sample.stack.truncated for sample in samples)
    assert any("zoo%2ev2" in function or "zoo.v2" in function for function in waits)


def test_a_dump_of_every_shape(start: Callable[..., str]) -> None:
    """Each stack of debug=1 is found in debug=2, as large, cut ones and gaps included, with its wait reason."""
    url = start("shapes")
    identifier = Identifier()
    printed = identifier.identify(text.parse(body(url)))
    found = dump.parse(body(url, 2))
    assert not found.truncated
    waits = DumpIndex(found, identifier)
    counts = {
        sample.stack.frames[0].function: (sample.goroutines, len(waits.goroutines_of(sample.stack)))
        for sample in printed.values()
        if not any(frame.function.startswith("net/http.") for frame in sample.stack.frames)
    }
    assert {name: both for name, both in counts.items() if both[0] != both[1]} == {}
    assert len(counts) > 25
    assert all(g.creator for g in found.goroutines if g.number != 1)
    states = {g.trace.frames[0].function: g.state for g in found.goroutines if g.trace.frames}
    expected = {"chanSend": "chan send", "chanReceive": "chan receive", "selectMany": "select"}
    assert {name: states[f"main.{name}"] for name in expected} == expected
    assert any(g.gap for g in found.goroutines)


def test_a_full_dump_by_hand(start: Callable[..., str]) -> None:
    """`scrape --full-dump` prints states and creators of a small service, and refuses a large service."""
    url = start("shapes")
    found = CliRunner().invoke(app, ["scrape", url, "--full-dump", "--format", "json"])
    assert found.exit_code == 0, found.output
    stacks = [stack for one in json.loads(found.stdout)["groups"] for stack in one["stacks"]]
    (sending,) = [stack for stack in stacks if stack["function"] == "main.chanSend"]
    assert sending["states"] == {"chan send": sending["goroutines"]}
    assert sending["created_by"][0]["function"].startswith("main.main")
    refused = CliRunner().invoke(app, ["scrape", url, "--full-dump", "--full-dump-limit", "3"])
    assert isinstance(refused.exception, UsageError)
    assert "--full-dump-limit" in str(refused.exception)


def test_labels_of_real_bodies(start: Callable[..., str]) -> None:
    """Labels with quotes, braces, newlines and invalid bytes come out as they went in; they split no stack."""
    profile = text.parse(body(start("shapes")))
    odd = next(dict(trace.labels) for trace, _ in profile.groups if len(trace.labels) > 3)
    assert odd["quoted"] == 'a "quoted" word'
    assert odd["brace"] == '}, {"b":"c"'
    assert odd["group"] == "one\n\n1 @ 0x1"
    assert odd["invalid"] == "\\xff\\xfe\x00\x7f\u200b"
    labelled = [trace for trace, _ in profile.groups if trace.labels]
    identifier = Identifier()
    assert len({identifier.stack(trace).fingerprint for trace in labelled}) < len(labelled)


def test_one_look_at_shapes(start: Callable[..., str]) -> None:
    """The command line reads them too."""
    command = [sys.executable, "-m", "leakwatch", "scrape", start("shapes"), "--format", "json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert said["goroutines"] >= sum(group["goroutines"] for group in said["groups"]) > 30
