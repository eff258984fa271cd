"""`leakwatch demo`: its output, and the end of all its processes."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leakwatch.cli.stack_table import tenths
from tests.support.running import get
from tests.support.terminals import Terminal, children
from tests.support.waiting import wait_for

RATE = "20"
"""Goroutines per second. The service stops at 20,000: at 150 per second that was before the verdict, while the
machine had a load of 10 per core.
"""
COMMAND = [sys.executable, "-m", "leakwatch", "demo", "--listen", "127.0.0.1:0"]


def runs(pid: int) -> bool:
    """Return whether a process runs."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def demo() -> Iterator[Callable[..., Terminal]]:
    """Start a demo with these arguments; it ends with the test."""
    started: list[Terminal] = []

    def run(*arguments: str) -> Terminal:
        started.append(Terminal([*COMMAND, *arguments]))
        return started[-1]

    yield run
    for terminal in started:
        terminal.close()


def test_closing_the_terminal_ends_the_demo(demo: Callable[..., Terminal]) -> None:
    """The demo and its Go service end when their terminal is closed."""
    terminal = demo()
    wait_for(lambda: "by hand" in terminal.said())
    services = children(terminal.popen.pid)
    assert services
    terminal.hang_up()
    wait_for(lambda: terminal.popen.poll() is not None)
    assert not any(map(runs, services))


def test_sighup_ends_the_build(demo: Callable[..., Terminal]) -> None:
    """A demo that is ended during the build leaves no process running."""
    terminal = demo()
    wait_for(lambda: "building" in terminal.said())
    terminal.popen.send_signal(signal.SIGHUP)
    wait_for(lambda: terminal.popen.poll() is not None)
    assert "Traceback" not in terminal.said()


def test_the_leak_is_named(demo: Callable[..., Terminal]) -> None:
    """The live table fits its terminal and names the leak. The last table has no addresses."""
    terminal = demo("--once", "--rate", RATE)
    wait_for(lambda: terminal.said() and terminal.popen.poll() is not None)
    assert terminal.popen.returncode == 0
    *frames, last = re.split(r"goroutines +growth", terminal.said())
    (page,) = re.findall(r"page: (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)", frames[0])
    assert f"this leak  {page}leaks/shop/" in "".join(frames)
    assert f"by hand  {sys.executable} -m leakwatch scrape" in "".join(frames)
    assert "pipeline.FilterService" in last
    assert "http://" not in last
    assert "-0.0/s" not in terminal.said()
    assert max(map(len, terminal.said().replace("\r", "\n").split("\n"))) <= 80


def test_a_demo_in_a_pipe_prints_its_addresses() -> None:
    """In a pipe, the page is printed first, and the page of the leak below its name; both respond."""
    with subprocess.Popen([*COMMAND, "--rate", RATE], stdout=subprocess.PIPE, text=True) as popen:
        try:
            lines = iter(popen.stdout or ())
            page = next(line for line in lines if line.startswith("page: ")).split()[1]
            next(line for line in lines if "  LEAKING  " in line)
            leak = next(lines).strip()
            assert leak.startswith(f"{page}leaks/shop/")
            assert "pipeline.FilterService" in get(leak).text
        finally:
            popen.terminate()


def test_errors_before_the_build(tmp_path: Path) -> None:
    """A used port and a missing Go are one line each, before a build."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        busy = subprocess.run([*COMMAND[:-1], address], capture_output=True, text=True, check=False)
    assert (busy.returncode, busy.stdout) == (1, "")
    assert f"cannot listen on {address}" in busy.stderr
    no_go = subprocess.run(COMMAND, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (no_go.returncode, no_go.stdout) == (1, "")
    assert "the demo needs Go" in no_go.stderr


def test_a_rate_of_zero_is_positive() -> None:
    """A rate that rounds to zero is +0.0, also if it is negative."""
    assert [f"{tenths(rate):+.1f}" for rate in (-0.04, 0.0, -0.06, 5.04)] == ["+0.0", "+0.0", "-0.1", "+5.0"]
