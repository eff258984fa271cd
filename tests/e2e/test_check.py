"""`leakwatch check` and `scrape --watch` on real Go programs, and on invalid targets."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.answering import answering, http
from tests.support.running import Programs
from tests.support.terminals import Terminal
from tests.support.waiting import HANG, wait_for

pytestmark = pytest.mark.usefixtures("checks")
"""The long checks run beside all tests of the module."""

LEAKWATCH = [sys.executable, "-m", "leakwatch"]
QUICK = ("--for", "72s", "--interval", "550ms", "--cost-limit", "1")
"""24 blocks of 3 s; five intervals are less than a block, so that a late scrape does not make the block grow."""
ROOT = Path(__file__).parents[2]
BODY = (ROOT / "tests" / "profiles" / "1.27" / "goroutine.debug1.txt").read_bytes()


class Checks:
    """Checks that run in parallel."""

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
            out, _ = self._running[name].communicate(timeout=HANG)
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
        for form in ("table", "github"):
            checks.start(form, f"shop={start('w5pipeline')}", *QUICK, "--format", form)
        checks.start("healthy", start("healthy", "-period", "90s"), *QUICK, "--format", "json")
        without_leak, baseline = (start("w5pipeline", "-rate", "0") for _ in range(2))
        for name, url in (("regression", start("w5pipeline", "-rate", "1")), ("no regression", without_leak)):
            against = ("--against", f"stable={baseline}", "--format", "json")
            checks.start(name, f"canary={url}", *against, *QUICK)
        try:
            yield checks
        finally:
            checks.close()


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


def test_an_invalid_check() -> None:
    """An invalid command line is one line and status 2, before the first scrape."""
    command = [*LEAKWATCH, "check", "http://x:1", "--for", "1m"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("leakwatch: --for 1m: too short to judge: --interval 1s needs at least 2m")
    assert len(done.stderr.splitlines()) == 1


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
        wait_for(lambda: re.search(r"[1-9]\d*s of 1m12s", terminal.said()))
        terminal.popen.send_signal(signal.SIGINT)
        wait_for(lambda: terminal.raw() and terminal.popen.poll() is not None)
        assert "the check was stopped early" in terminal.said().replace("\r\n", " ")
        assert b"\x1b]0;" not in terminal.raw()
        assert b"\x07" not in terminal.raw()
    assert terminal.popen.returncode == 2


def test_a_live_table() -> None:
    """The table fits the terminal, has growth once it is known, and Ctrl-C ends it."""
    command = ("scrape", "--watch", "--interval", "200ms", "--cost-limit", "1")
    with answering(http(BODY)) as server, shown(*command, server.url, NO_COLOR="1") as terminal:
        wait_for(lambda: re.search(r"^ +\d+ +\+0 +\+0\.0 .*main\.", terminal.said(), re.MULTILINE))
        terminal.popen.send_signal(signal.SIGINT)
        wait_for(lambda: terminal.raw() and terminal.popen.poll() is not None)
    lines = terminal.said().replace("\r", "\n").split("\n")
    assert terminal.popen.returncode == 0
    assert "183 goroutines in 60 stacks" in terminal.said()
    assert max(map(len, lines)) <= 80


def test_a_leak_fails_the_check(checks: Checks) -> None:
    """A leak exits with 1. The output has position, wait reason, rate, reason and duration."""
    status, out, err = checks.done("table")
    assert status == 1, out + err
    assert "LEAKING  main.FilterService" in out
    assert "waits in chan send" in out
    assert re.search(r"grew from [\d,]+ to [\d,]+ in .* without departures; \+[\d,]+/min", out)
    assert re.search(
        r"Created by main\.\S+ at \S+/w5pipeline/main\.go:\d+\.|Creators are unknown: the process has", out
    )
    assert re.search(r"leakwatch: (29|3\d)s of 1m12s: \d+ scrapes, [\d,]+ goroutines", err)
    assert re.search(r"1 leak; checked for 1m1\ds, 1\d\d scrapes, blocks of 3s; leaks below", out)
    assert "leakwatch: checking shop for 1m12s, every 550ms, in 24 blocks of 3s\n" in err
    assert "leakwatch: leaking: main.FilterService: grew from" in err
    assert "\x1b" not in out + err


def test_a_leak_on_github(checks: Checks) -> None:
    """Standard output has only the annotation, which names a file of the repository."""
    status, out, _ = checks.done("github")
    assert status == 1
    assert out.startswith("::error file=tests/go/w5pipeline/main.go,line=")
    assert "title=goroutine leak in main.FilterService::leaking: " in out


def test_a_busy_service_passes(checks: Checks) -> None:
    """A service without a leak exits with 0, under a load that swings, bursts and reconnects."""
    status, out, err = checks.done("healthy")
    assert status == 0, out + err
    report = json.loads(out)
    assert (report["result"], report["leaks"], report["suspects"]) == ("clean", [], [])
    (target,) = report["targets"]
    assert target["judged"]


def test_a_regression_fails_the_check(checks: Checks) -> None:
    """A leak of one goroutine a second, which the baseline does not have, exits with 1."""
    status, out, err = checks.done("regression")
    assert status == 1, out + err
    report = json.loads(out)
    assert all(target["judged"] for target in report["targets"])
    failing = [leak for leak in report["leaks"] + report["suspects"] if leak["regression"]]
    functions = {each["function"] for each in (*failing, *report["regressions"])}
    assert functions == {"main.FilterService"}


def test_equal_builds_pass(checks: Checks) -> None:
    """Two processes of a build without a leak exit with 0."""
    status, out, err = checks.done("no regression")
    assert status == 0, out + err
    report = json.loads(out)
    assert (report["result"], report["regressions"]) == ("clean", [])
