"""Programs that tests run, and their output."""

import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.waiting import HANG, until, wait_for

__all__ = ["FAST", "Daemon", "Process", "Programs", "eventually", "free_port", "get", "post", "series", "until"]

eventually = wait_for
"""The former name of `wait_for`, which tests outside of tests/e2e still use."""

Series = tuple[dict[str, str], float]
"""Labels and value."""

FAST = """
global: {scrape_interval: 400ms, scrape_timeout: 400ms, scrape_cost_limit: 1}
detection: {block: 2200ms}
"""
"""A leak of 40 goroutines per second is found after 11 blocks, or 24 s; a leak of less than 25, after 24 blocks.

Five intervals are less than a block.

With a timeout of 180 ms all scrapes failed while the machine had a load of 15 per core. If scrapes are late, the
block grows, and the verdict comes later.
"""


def free_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def get(url: str, **options: Any) -> httpx.Response:
    """Return the response to a GET request."""
    return httpx.get(url, trust_env=False, timeout=HANG, **options)


def post(url: str) -> httpx.Response:
    """Return the response to a POST request."""
    return httpx.post(url, trust_env=False, timeout=HANG)


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
        return self._lines.get(timeout=HANG)

    def stop(self) -> int:
        """End it, kindly; return its exit status."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            status = self.popen.wait(HANG)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            status = self.popen.wait()
        self._thread.join(HANG)
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


def series(text: str, name: str) -> list[Series]:
    """Return the series called `name` of metrics in the text format."""
    matches = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)), float(value)) for labels, value in matches]


class Daemon(Process):
    """A running leakwatch on a port of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        super().__init__([sys.executable, "-m", "leakwatch", "run", "--listen", "127.0.0.1:0", *arguments])
        self.log: list[dict[str, Any]] = []
        self.url: str = wait_for(self._address, show=lambda: self.said)

    def events(self) -> list[dict[str, Any]]:
        """Return the log so far; what is on its way to us belongs to it."""
        for _ in range(10):
            known = len(self.said)
            time.sleep(0.02)
            if len(self.said) == known:
                break
        return [json.loads(line) for line in list(self.said) if line.startswith("{")]

    def _address(self) -> str:
        if self.popen.poll() is not None:
            raise AssertionError("".join(self.said))
        return next((event["address"] for event in self.events() if "address" in event), "")

    def get(self, path: str) -> httpx.Response:
        """Return the response of leakwatch."""
        return get(self.url + path)

    def post(self, path: str) -> httpx.Response:
        """Return the response of leakwatch to a POST request."""
        return post(self.url + path)

    def series(self, name: str) -> list[Series]:
        """Return the series of a metric."""
        return series(self.get("/metrics").text, name)

    def leak_series(self, name: str = "goroutines") -> list[Series]:
        """Return the series of a metric of leaks, with the current verdict as a further label."""
        text = self.get("/metrics").text
        verdicts = {
            (labels["service"], labels["stack"]): labels["verdict"]
            for labels, value in series(text, "leakwatch_leak_verdict")
            if value
        }
        return [
            ({**labels, "verdict": verdicts[labels["service"], labels["stack"]]}, value)
            for labels, value in series(text, f"leakwatch_leak_{name}")
        ]

    def leaks(self, verdict: str = "leaking") -> dict[str, float]:
        """Return function -> goroutines of the leaks with this verdict."""
        return {labels["function"]: value for labels, value in self.leak_series() if labels["verdict"] == verdict}
