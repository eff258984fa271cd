"""Programs that tests run, and what they say."""

import asyncio
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

PATIENCE = 90.0
Found = TypeVar("Found")

FAST = """
global: {scrape_interval: 180ms, scrape_timeout: 180ms, scrape_cost_limit: 1}
detection: {block: 1s}
"""
"""Judges blocks of one second, so that minutes of a test are days of a service.

Five intervals are a little less than a block: where they are all of it, the slightest lateness doubles the block.
"""


def eventually(look: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """Return the first true answer of `look`; the last one when patience is over, for the assertion to show."""
    end = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def until(look: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return when `look` is true, let others of the loop run meanwhile; raises TimeoutError."""
    async with asyncio.timeout(patience):
        while not look():  # noqa: ASYNC110  what is looked at knows no events
            await asyncio.sleep(0.01)


class Process:
    """A program and its output, read as it comes so that it never waits for us."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def line(self) -> str:
        """Return the next line; raises queue.Empty if none comes."""
        return self._lines.get(timeout=PATIENCE)

    def stop(self) -> int:
        """End it, kindly; return its exit status."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            status = self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            status = self.popen.wait()
        self._thread.join(5)
        if self.popen.stdout:
            self.popen.stdout.close()
        return status

    def _read(self) -> None:
        for line in self.popen.stdout or ():
            self.said.append(line)
            self._lines.put(line)


class Programs:
    """The programs of tests/go, built in `folder`; those that run end with the `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[Process, str, tuple[str, ...]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, *_started_as in self._running.values():
            process.stop()

    def __call__(self, name: str, *flags: str) -> str:
        """Start a program by name, with flags; return its URL."""
        process = Process([self._folder / name, *flags])
        url = process.line().removeprefix("listening ").strip()
        self._running[url] = process, name, flags
        return url

    def stop(self, url: str) -> None:
        """Stop the program that serves `url`."""
        self._running.pop(url)[0].stop()

    def restart(self, url: str) -> None:
        """Stop the program that serves `url`, and start it there again."""
        process, name, flags = self._running.pop(url)
        process.stop()
        self(name, "-listen", url.removeprefix("http://"), *flags)


class Daemon(Process):
    """A running leakwatch on a port of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        super().__init__([sys.executable, "-m", "leakwatch", "run", "--listen", "127.0.0.1:0", *arguments])
        self.log: list[dict[str, Any]] = []
        self.url: str = eventually(lambda: next((e["address"] for e in self.events() if "address" in e), ""))

    def events(self) -> list[dict[str, Any]]:
        """Return the log so far; what is on its way to us belongs to it."""
        for _ in range(10):
            known = len(self.said)
            time.sleep(0.02)
            if len(self.said) == known:
                break
        return [json.loads(line) for line in list(self.said) if line.startswith("{")]

    def get(self, path: str) -> httpx.Response:
        """Ask it."""
        return httpx.get(self.url + path, trust_env=False, timeout=10)

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and value of each series called `name` in /metrics."""
        found = []
        for line in self.get("/metrics").text.splitlines():
            match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if match:
                found.append((dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[1] or "")), float(match[2])))
        return found

    def leaks(self, verdict: str = "leaking") -> dict[str, float]:
        """Return function -> goroutines of the leaks with this verdict."""
        return {
            labels["function"]: value
            for labels, value in self.series("leakwatch_leak_goroutines")
            if labels["verdict"] == verdict
        }
