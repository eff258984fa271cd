"""`leakwatch check` and `scrape --watch` on real Go programs, and on invalid targets."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import junitparser
import pytest

from tests.support.answering import answering, http
from tests.support.running import Programs
from tests.support.terminals import Terminal
from tests.support.waiting import wait_for

pytestmark = pytest.mark.alone

LEAKWATCH = [sys.executable, "-m", "leakwatch"]
QUICK = (  # five intervals are less than a block, so that a busy machine does not make the block grow
    "--for",
    "24s",
    "--interval",
    "150ms",
    "--cost-limit",
    "1",
)
ROOT = Path(__file__).parents[2]
BODY = (ROOT / "tests" / "profiles" / "1.27" / "goroutine.debug1.txt").read_bytes()


class Checks:
    """Checks that run in parallel; each takes half a minute."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._done: dict[str, tuple[int, str, str]] = {}

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin one."""
        command = [*LEAKWATCH, "check", *arguments]
        with (self._folder / name).open("w") as errors:
            popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT)
        self._running[name] = popen
        return popen

    def errors(self, name: str) -> str:
        """Return the standard error of a running check."""
        return (self._folder / name).read_text()

    def done(self, name: str) -> tuple[int, str, str]:
        """Return the status, the output and the errors of one, when it has ended."""
        if name not in self._done:
            out, _ = self._running[name].communicate(timeout=120)
            self._done[name] = self._running[name].returncode, out, self.errors(name)
        return self._done[name]

    def close(self) -> None:
        """Leave none behind."""
        for popen in self._running.values():
            popen.kill()
            popen.communicate()


@pytest.fixture(scope="module")
def checks(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checks]:
    """Start all long checks and the services that they check."""
    checks = Checks(tmp_path_factory.mktemp("checks"))
    with Programs(programs) as start:
        leaking = [start("w5pipeline", "-rate", "10") for _ in range(3)]
        for form, url in zip(("table", "junit", "github"), leaking, strict=True):
            checks.start(form, f"shop={url}", *QUICK, "--format", form)
        checks.start("healthy", start("healthy", "-period", "90s"), *QUICK, "--format", "json")
        restarted, dying = start("healthy"), start("healthy")
        checks.start("restarted", restarted, *QUICK, "--format", "json")
        checks.start(
            "dying", f"shop={dying}", f"cart={start('healthy')}", *QUICK, "--format", "json", "--timeout", "2s"
        )
        wait_for(lambda: all("checking" in checks.errors(name) for name in ("restarted", "dying")))
        time.sleep(8)  # until the checks have scraped it
        start.restart(restarted)
        start.stop(dying)
        try:
            yield checks
        finally:
            checks.close()


def test_a_leak_fails_the_check(checks: Checks) -> None:
    """A leak exits with 1. The output has position, wait reason, rate, reason and duration."""
    status, out, err = checks.done("table")
    assert status == 1, out + err
    assert "LEAKING  main.FilterService" in out
    assert "waits in chan send" in out
    assert re.search(r"grew from \d+ to \d+ in .* without departures; \+3\d,\d00/h", out)
    assert re.search(r"1 leak; checked for 2\ds, 1\d\d scrapes, blocks of 1s; leaks below 100 goroutines", out)
    assert "leakwatch: checking shop for 24s, every 150ms, in 24 blocks of 1s\n" in err
    assert "leakwatch: leaking: main.FilterService: grew from" in err
    assert "\x1b" not in out + err


def test_a_leak_in_junit_and_on_github(checks: Checks) -> None:
    """Standard output has only the report; the annotation names a file of the repository."""
    status, out, _ = checks.done("junit")
    assert status == 1
    (suite,) = junitparser.JUnitXml.fromstring(out.encode())
    assert (suite.tests, suite.failures) == (2, 1)
    status, out, _ = checks.done("github")
    assert status == 1
    assert out.startswith("::error file=tests/go/w5pipeline/main.go,line=")
    assert "title=goroutine leak in main.FilterService::leaking: " in out


def test_a_busy_service_passes(checks: Checks) -> None:
    """A service without a leak exits with 0, under a load that swings, bursts and reconnects."""
    status, out, err = checks.done("healthy")
    assert status == 0, out + err
    found = json.loads(out)
    assert (found["result"], found["leaks"], found["suspects"]) == ("clean", [], [])
    (target,) = found["targets"]
    assert target["judged"]
    assert target["scrapes"] > 100


def test_a_restart_is_reported(checks: Checks) -> None:
    """A process that restarts during the check is not judged: status 2."""
    status, out, _ = checks.done("restarted")
    assert status == 2, out
    (target,) = json.loads(out)["targets"]
    assert target["restarts"] == 1
    assert target["why_not"] == "its process restarted: a check needs 24s of one process"
    assert "its process restarted once during the check" in target["notes"]


def test_a_target_that_dies(checks: Checks) -> None:
    """A target that dies is not judged, with the reason; the other target is judged."""
    status, out, _ = checks.done("dying")
    assert status == 2
    shop, cart = json.loads(out)["targets"]
    assert shop["why_not"].startswith("it no longer responds: ")
    assert shop["seconds"] < 12
    assert (cart["judged"], cart["why_not"]) == (True, "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"<!doctype html><title>\x1b[31m</title>", "not a goroutine profile"), (b"", "the body is empty")],
    ids=["html", "empty"],
)
def test_a_target_without_a_profile(tmp_path: Path, body: bytes, reason: str) -> None:
    """The status is 2 within the timeout, with an escaped quote of the body."""
    with answering(http(body)) as server:
        checks = Checks(tmp_path)
        checks.start("it", server.url, "--timeout", "1s", *QUICK)
        status, out, err = checks.done("it")
    assert status == 2
    assert "no scrape succeeded: " in out
    assert reason in out
    assert "1 of 1 targets not judged" in out
    assert "\x1b" not in out + err


def test_a_target_that_is_down(tmp_path: Path) -> None:
    """The status is 2 after the timeout."""
    checks = Checks(tmp_path)
    checks.start("it", "http://user:hunter2@127.0.0.1:1", "--timeout", "500ms", *QUICK)
    status, out, err = checks.done("it")
    assert (status, "Connection refused" in out) == (2, True)
    assert "hunter2" not in out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://x:1", "--for", "1m"], "--for 1m: too short to judge: --interval 1s needs at least 2m"),
        (["http://x:1", "--for", "soon"], "--for: 'soon' is not a duration"),
        (["http://x:1", "--for", "0s"], "--for 0: must be a number greater than 0"),
        (["http://x:1", "--cost-limit", "2"], "--cost-limit 2: must be above 0 and at most 1"),
        (["http://x:1", "--cost-limit", "nan"], "--cost-limit nan: must be"),
        (["http://x:1", "http://x:1"], "a target is given twice"),
        (["ftp://x"], "target 'ftp://x': must be 'http' or 'https'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_invalid_check(arguments: list[str], message: str) -> None:
    """An invalid command line is one line and status 2, before the first scrape."""
    done = subprocess.run([*LEAKWATCH, "check", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_check_that_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends the check with status 2 and the results so far."""
    with answering(http(BODY)) as server:
        checks = Checks(tmp_path)
        popen = checks.start("it", server.url, *QUICK)
        wait_for(lambda: len(server.requests) > 5)
        popen.send_signal(number)
        status, out, err = checks.done("it")
    assert status == 2, err
    assert "not judged: the check was stopped early" in out
    assert "Traceback" not in err


def test_an_expensive_target(tmp_path: Path) -> None:
    """An expensive target is scraped less often, and the result states a sufficient duration."""

    def slow(head: bytes, connection: socket.socket) -> None:
        time.sleep(0.15)
        http(BODY)(head, connection)

    with answering(slow) as server:
        checks = Checks(tmp_path)
        checks.start("it", server.url, "--for", "12s", "--interval", "100ms", "--format", "json")
        status, out, _ = checks.done("it")
        assert len(server.requests) < 30
    assert status == 2
    (target,) = json.loads(out)["targets"]
    assert (
        "would exceed the cost limit: use --for" in target["why_not"] or "scrapes succeeded" in target["why_not"]
    )


@contextmanager
def shown(*arguments: str, **environment: str) -> Iterator[Terminal]:
    """Run leakwatch on a terminal."""
    terminal = Terminal([*LEAKWATCH, *arguments], **environment)
    try:
        yield terminal
    finally:
        terminal.close()


def hostile() -> bytes:
    """Return a profile with escape sequences in a function name."""
    return (
        b"goroutine profile: total 3\n3 @ 0x1 0x2\n#\t0x1\tmain.\x1b]0;owned\x07\x9b2J+0x1\t/src/\x1b[2Ja.go:7\n\n"
    )


def test_a_check_on_a_terminal() -> None:
    """The progress is live, the table fits, names are escaped, and Ctrl-C ends the check."""
    with answering(http(hostile())) as server, shown("check", server.url, *QUICK) as terminal:
        wait_for(lambda: re.search(r"[3-9]s of 24s", terminal.said()))
        terminal.popen.send_signal(signal.SIGINT)
        wait_for(lambda: terminal.raw() and terminal.popen.poll() is not None)
        assert "the check was stopped early" in terminal.said().replace("\r\n", " ")
        assert b"\x1b]0;" not in terminal.raw()
        assert b"\x07" not in terminal.raw()
    assert terminal.popen.returncode == 2


def test_a_live_table() -> None:
    """The table fits the terminal, has growth once it is known, and ends after the given time."""
    with (
        answering(http(BODY)) as server,
        shown("scrape", server.url, "--watch", "--interval", "200ms", "--for", "7s", NO_COLOR="1") as terminal,
    ):
        wait_for(lambda: terminal.raw() and terminal.popen.poll() is not None)
        lines = terminal.said().replace("\r", "\n").split("\n")
    assert terminal.popen.returncode == 0
    assert "183 goroutines in 60 stacks" in terminal.said()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if re.search(r"^ +\d+ +\+0 .*main\.", line)]
    known = [" +0.0 " in row for row in rows]
    assert (known[0], known[-1]) == (False, True)


def watch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a live table in a pipe."""
    command = [*LEAKWATCH, "scrape", "--watch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_live_table_in_a_pipe(start: Programs) -> None:
    """There is one plain table per scrape, with the growing stack first and its change since the start."""
    done = watch(start("w5pipeline", "-rate", "20"), "--interval", "500ms", "--for", "3s", "--limit", "3")
    assert done.returncode == 0, done.stderr
    tables = done.stdout.split("goroutines   change")
    assert len(tables) > 4
    assert "\x1b" not in done.stdout
    first: Any = re.search(r"\n\s+(\d+)\s+\+(\d+)\s+.*main\.FilterService", tables[-1])
    assert first
    assert int(first[2]) > 20


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["file.txt"], 2, "--watch needs the URL of a service"),
        (["http://x:1", "--format", "json"], 2, "it cannot be combined with --by or --format"),
        (["http://x:1", "--for", "x"], 2, "--for: 'x' is not a duration"),
        (["http://127.0.0.1:1", "--timeout", "0.5"], 1, "127.0.0.1:1: Connection refused"),
    ],
    ids=["file", "format", "for", "down"],
)
def test_an_invalid_live_table(arguments: list[str], status: int, message: str) -> None:
    """The error is one line."""
    done = watch(*arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
