"""Wait reasons of real Go programs, for each way to block and each way to build, compared with debug=2."""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from leakwatch.cli.main import app
from leakwatch.model import Samples
from leakwatch.profile import proto, text
from leakwatch.profile.stacks import Identifier
from tests.support.running import FAST, Daemon, Process, Programs, get
from tests.support.waiting import wait_for

GO = Path(__file__).parents[1] / "go"
BUILDS = {
    "plain": [],
    "pie": ["-buildmode=pie"],
    "stripped": ["-ldflags=-s -w"],
    "trimpath": ["-trimpath"],
}
STATE = re.compile(r"goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[([^],]+)")
OWN = re.compile(r"main\.[^/]*")
OLDER = {"semacquire": "sync.WaitGroup.Wait"}
"""The state of Go 1.23. Package poll still uses it, and is excluded."""
EXPECTED = {
    "main.chanSend": {"chan send"},
    "main.nilChanSend": {"chan send"},
    "main.chanReceive": {"chan receive"},
    "main.chanReceiveOK": {"chan receive"},
    "main.nilChanReceive": {"chan receive"},
    "main.rangeChan": {"chan receive"},
    "main.selectSingle": {"chan receive"},
    "main.selectMany": {"select"},
    "main.selectNone": {"select (no cases)"},
    "main.mutexLock": {"sync.Mutex.Lock"},
    "main.rwMutexLock": {"sync.RWMutex.Lock"},
    "main.rwMutexRLock": {"sync.RWMutex.RLock"},
    "main.waitGroupWait": {"sync.WaitGroup.Wait"},
    "main.condWait": {"sync.Cond.Wait"},
    "main.sleep": {"sleep"},
    "main.tcpRead": {"IO wait"},
    "main.tcpAccept": {"IO wait"},
    "main.tcpWriteLock": {"IO wait", "semacquire"},
    "main.pipeRead": {"syscall"},
    "main.numbers": {"coroutine"},
    "main.yield": {"runnable"},
    "main.spin": {"runnable"},
}


def settled(found: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the goroutines of package main but main.main, which accepts the connections of this test."""
    return {own: waits for own, waits in found.items() if own not in {"", "main.main"}}


def dumped(url: str) -> dict[str, set[str]]:
    """Return the innermost function of package main -> states, as the program prints them for debug=2."""
    said: dict[str, set[str]] = defaultdict(set)
    for goroutine in get(f"{url}/debug/pprof/goroutine?debug=2").text.split("\n\n"):
        head, *lines = goroutine.split("\n")
        calls = [line.rpartition("(")[0] for line in lines if line[:1] not in {"\t", ""}]
        own = next(filter(OWN.fullmatch, calls), "")
        if match := STATE.match(head):
            state = match[1].removesuffix(" (nil chan)").removesuffix(" (leaked)")
            poll = any(call.startswith("internal/poll.") for call in calls)
            said[own].add(state if poll else OLDER.get(state, state))
    return settled(said)


def read(samples: Samples) -> dict[str, set[str]]:
    """Return the same of samples."""
    said: dict[str, set[str]] = defaultdict(set)
    for sample in samples.values():
        calls = [frame.function for frame in sample.stack.frames]
        said[next(filter(OWN.fullmatch, calls), "")].add(sample.stack.wait)
    return settled(said)


def look(url: str) -> Mapping[str, set[str]]:
    """Return the innermost function of package main -> wait reasons, as `leakwatch scrape URL` prints them."""
    said = CliRunner().invoke(app, ["scrape", url, "--format", "json"])
    assert said.exit_code == 0, said.output
    found: dict[str, set[str]] = defaultdict(set)
    for group in httpx.Response(200, content=said.stdout).json()["groups"]:
        for stack in group["stacks"]:
            calls = [frame["function"] for frame in stack["frames"]]
            found[next(filter(OWN.fullmatch, calls), "")].add(stack["wait"])
    return settled(found)


@pytest.fixture(params=BUILDS)
def shapes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Run the program of all shapes, built in one of the ways; give its URL."""
    program = tmp_path / "shapes"
    environment = {**os.environ, "CGO_ENABLED": "0"}
    command = ["go", "build", *BUILDS[request.param], "-o", str(program), "./shapes"]
    subprocess.run(command, check=True, cwd=GO, env=environment)
    process = Process([program, "-busy"])
    yield process.line().removeprefix("listening ").strip()
    process.stop()


def test_every_reason_of_every_build(shapes: str) -> None:
    """Text with /symbol, and protobuf alone, have the wait reasons that the program prints for debug=2."""
    truth = wait_for(lambda: said if (said := dumped(shapes)).items() >= EXPECTED.items() else None)
    truth = truth or dumped(shapes)
    assert {name: truth.get(name) for name in EXPECTED} == EXPECTED
    body = get(f"{shapes}/debug/pprof/goroutine?debug=0").content
    for said in (look(shapes), read(Identifier().identify(proto.parse(body)))):
        assert said == {name: truth[name] for name in said}
        assert said.items() >= EXPECTED.items()


def test_both_formats_have_the_same_stacks(start: Callable[..., str]) -> None:
    """One process scraped as text and as protobuf: same fingerprints, counts, blame, origin and labels."""
    url = start("shapes")
    found = []
    for debug, parse in (("1", text.parse), ("0", proto.parse)):
        profile = parse(get(f"{url}/debug/pprof/goroutine?debug={debug}").content)
        labels = sorted(pair for trace, _ in profile.groups for pair in trace.labels)
        samples = Identifier().identify(profile).items()
        stacks = {
            key: (one.goroutines, one.stack.frames, one.stack.blamed, one.stack.origin, one.stack.truncated)
            for key, one in samples
            if not any(frame.function.startswith(("net/http.", "runtime/pprof.w")) for frame in one.stack.frames)
        }
        found.append((stacks, labels))
    assert len(found[0][0]) > 40
    assert found[0] == found[1]


CONFIG = """
scrape_configs:
  - {{job_name: text, static_configs: [{{targets: ["{0}"]}}]}}
  - {{job_name: proto, profile_format: proto, static_configs: [{{targets: ["{0}"]}}]}}
"""
LEAK = "main.FilterService"


def test_the_first_event_of_a_leak_has_its_wait_reason(
    start: Programs, leakwatch: Callable[..., Daemon], tmp_path: Path
) -> None:
    """In both formats `wait` is there when the leak is first suspected: no series without it comes before."""
    url = start("w5pipeline")
    path = tmp_path / "leakwatch.yml"
    path.write_text(FAST + CONFIG.format(url.removeprefix("http://")))
    daemon = leakwatch("--config", path)
    seen = set()

    def leaking() -> bool:
        now = {
            (labels["service"], labels["wait"], labels["verdict"])
            for labels, _ in daemon.leak_series()
            if labels["function"] == LEAK
        }
        seen.update(now)
        return {(service, "chan send", "leaking") for service in ("text", "proto")} <= now

    wait_for(leaking)
    assert {wait for _, wait, _ in seen} == {"chan send"}
    builds = {labels["service"]: labels["build"] for labels, _ in daemon.series("leakwatch_process_info")}
    assert builds["text"] == builds["proto"]
    starts = {labels["start"] for labels, _ in daemon.series("leakwatch_process_info")}
    assert len(starts) == 1
    assert [e for e in daemon.events() if "unknown" in e["event"]] == []
