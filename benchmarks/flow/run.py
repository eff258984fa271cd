"""Measure the path of a scrape and of a request through the code: calls, files, and moves between files.

    python benchmarks/flow/run.py [--blocks 15] [--walk CASE]

Runs `leakwatch run` against a server that answers as a Go service does (service.py), and records the event loop
with sys.setprofile. The columns count named functions of leakwatch only:

- A call is the start of a function, a coroutine or a generator. A resumption after an await or a yield is not a
  call, because the network decides how many there are. Comprehensions, generator expressions and lambdas are not
  calls, because Python versions differ in them.
- A walk is the sequence of calls of one asyncio task, with its threads and child tasks. The scheduler starts one
  task for each scrape, uvicorn one for each request.
- A move is a pair of consecutive calls in different files. A return is a move to a file that was left before.

Each row is the walk that has the median number of calls. Core is the same walk without the calls of the fetcher,
of evidence and of probes. `--walk` prints the calls of a row. benchmarks/cost/daemon.py measures the memory of a
sidecar.
"""

import argparse
import asyncio
import contextlib
import dis
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import compress, pairwise
from multiprocessing import get_context
from operator import not_
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import httpx

# No other constant names files of leakwatch; main() checks that these exist.
JUDGES: Final = "detect/growth.py"
"""A scrape that closes a block has calls in this file."""
BESIDE: Final = ("http/", "evidence/", "scrape/probes/")
"""The fetcher, evidence and probes."""

SERVICE: Final = Path(__file__).parent / "service.py"
PACKAGE: Final = f"{Path(str(find_spec('leakwatch').origin)).parent}/"  # type: ignore[union-attr]  # leakwatch is installed
SEND: Final = httpx.AsyncClient.send.__code__
CONFIG: Final = """
global: {{scrape_interval: 360ms, scrape_timeout: 360ms, scrape_cost_limit: 1}}
detection: {{block: 2s}}
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
SCRAPE: Final = "scrape"
REQUESTS: Final = 5
WARM_UP: Final = 26  # blocks; the longest window without hours has 24
SCRAPES_PER_BLOCK: Final = 5.6
PATIENCE: Final = 300.0  # seconds

Call = tuple[str, str]
"""The file and the function that is called."""

Walked = list[Call]
"""The calls of one walk, in order."""


@dataclass(eq=False)
class Walk:
    """The calls of one task; `kind`: SCRAPE, or the path of a request."""

    task: "asyncio.Task[Any]"
    kind: str = ""
    calls: "Walked" = field(default_factory=list)


class Tracer:
    """A profile function that records the walks of all tasks."""

    def __init__(self) -> None:
        self.walks: list[Walk] = []
        self._current: ContextVar[Walk | None] = ContextVar("walk", default=None)
        self._main = threading.current_thread()
        self._codes: dict[CodeType, tuple[str, int]] = {}
        """Code -> file, or "" outside of leakwatch, and the value of f_lasti at the start of the function."""

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Record one event."""
        if event != "call":
            return
        code = frame.f_code
        file, start = self._codes.get(code) or self._look_up(code)
        if code is SEND and frame.f_locals["request"].url.path.endswith("/goroutine"):
            walk = self._walk(frame)
            if walk:
                walk.kind = SCRAPE
        elif file and frame.f_lasti <= start:
            walk = self._walk(frame)
            if walk:
                walk.calls.append((file, code.co_qualname))

    def _look_up(self, code: CodeType) -> tuple[str, int]:
        file, start = "", 0
        path, named = code.co_filename, not code.co_name.startswith("<")
        if named and path.startswith(PACKAGE) and path.endswith(".py"):  # compiled templates have functions too
            file = path.removeprefix(PACKAGE)
            start = next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")
        self._codes[code] = file, start
        return file, start

    def _walk(self, frame: FrameType) -> Walk | None:
        """Return the walk to which the call belongs, None outside of tasks."""
        walk = self._current.get()
        if threading.current_thread() is not self._main:
            return walk
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return None
        if task is None or (walk and (walk.task is task or (walk.kind and not walk.task.done()))):
            return walk if task else None
        scope = frame.f_locals.get("scope")
        walk = Walk(task, scope["path"] if isinstance(scope, dict) and "path" in scope else "")
        self.walks.append(walk)
        self._current.set(walk)
        return walk


class Visitor:
    """A client of leakwatch in a thread: waits for the state that a case needs, and requests pages."""

    def __init__(self, base: str, blocks: int) -> None:
        self._base = base
        self._blocks = blocks
        self.page = ""
        """The path of the leak's page."""
        self.first = 0
        """The number of scrapes before the measured ones."""

    def visit(self, *, leaks: bool) -> None:
        """Wait for the leak, or until all windows are full; then wait for `blocks`. With a leak, request pages."""
        self._until(self._listens)
        if leaks:
            self.page = self._until(self._leak_page)
        else:
            self._wait_for_blocks(WARM_UP)
        self.first = int(self._scrapes())
        self._wait_for_blocks(self._blocks)
        if leaks:
            for _ in range(1 + REQUESTS):
                self._get("/metrics")
                self._get(self.page)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self._get("/-/healthy"))
        return False

    def _wait_for_blocks(self, blocks: int) -> None:
        wanted = self._scrapes() + blocks * SCRAPES_PER_BLOCK
        self._until(lambda: self._scrapes() >= wanted)

    def _scrapes(self) -> float:
        return sum(value for _, value in self._series("leakwatch_scrapes_total"))

    def _leak_page(self) -> str:
        for labels, value in self._series("leakwatch_leak_verdict"):
            if labels["verdict"] == "leaking" and value:
                return f"/leaks/{labels['service']}/{labels['stack']}"
        return ""

    def _series(self, name: str) -> list[tuple[dict[str, str], float]]:
        series = re.findall(rf"^{name}{{(.*)}} (\S+)$", self._get("/metrics"), re.MULTILINE)
        return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in series]

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self._base + path, timeout=60) as response:  # noqa: S310  loopback
            return str(response.read(), "utf-8")

    def _until(self, condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (result := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"not reached within {PATIENCE:g} s")
            time.sleep(0.2)
        return result


def run(*, leaks: bool, blocks: int) -> dict[str, list[Walked]]:
    """Return the walks of each case of a service that leaks or does not."""
    with subprocess.Popen(
        [sys.executable, SERVICE, *["--leaks"] * leaks], stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            return traced(next(service.stdout or iter(())).strip(), leaks=leaks, blocks=blocks)
        finally:
            service.terminate()


def traced(service: str, *, leaks: bool, blocks: int) -> dict[str, list[Walked]]:
    """Run leakwatch in this process, with the service on a port as target; return the walks of each case."""
    port, tracer = free_port(), Tracer()
    visitor = Visitor(f"http://127.0.0.1:{port}", blocks)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        config = Path(folder, "leakwatch.yml")
        config.write_text(CONFIG.format(port=service))
        visited = thread.submit(visitor.visit, leaks=leaks)
        visited.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGTERM))
        sys.argv = ["leakwatch", "run", "--config", str(config), "--listen", f"127.0.0.1:{port}"]
        sys.argv += ["--log-level", "error"]
        threading.setprofile(tracer)  # for threads that start later
        sys.setprofile(tracer)
        with contextlib.suppress(SystemExit):
            runpy.run_module("leakwatch", run_name="__main__", alter_sys=True)
        sys.setprofile(None)
        visited.result()
    scrapes = [walk.calls for walk in tracer.walks if walk.kind == SCRAPE]
    scrapes = scrapes[visitor.first : -1]  # the last one may have been cancelled
    closing = [any(file == JUDGES for file, _ in calls) for calls in scrapes]
    if not leaks:
        quiet = with_core("quiet scrape", compress(scrapes, map(not_, closing)))
        return quiet | with_core("scrape that closes a block", compress(scrapes, closing))
    cases = with_core("scrape that closes a block, 1 leak", compress(scrapes, closing))
    for case, path in (("GET /metrics, 1 leak", "/metrics"), ("GET the page of the leak", visitor.page)):
        cases[case] = [walk.calls for walk in tracer.walks if walk.kind == path][-REQUESTS:]
    return cases


def free_port() -> int:
    """Return a free TCP port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def with_core(case: str, walks: Iterable[Walked]) -> dict[str, list[Walked]]:
    """Return the walks of a case, and those without the fetcher, evidence and probes."""
    whole = list(walks)
    core = [[call for call in calls if not call[0].startswith(BESIDE)] for calls in whole]
    return {case: whole, f"{case}, core": core}


def median_walk(walks: list[Walked]) -> Walked:
    """Return the walk with the median number of calls."""
    return sorted(walks, key=len)[len(walks) // 2]


def row(case: str, walks: list[Walked]) -> str:
    """Return a row of the table."""
    calls = median_walk(walks)
    files = len({file for file, _ in calls})
    moves = sum(file != next_file for (file, _), (next_file, _) in pairwise(calls))
    sizes = [len(walk) for walk in walks]
    spread = f"{min(sizes)}-{max(sizes)}"
    return f"| {case} | {len(calls)} | {files} | {moves} | {moves - files + 1} | {len(walks)} | {spread} |"


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--blocks", type=int, default=15)
    arguments.add_argument("--walk", metavar="CASE")
    options = arguments.parse_args()
    missing = [name for name in (JUDGES, *BESIDE) if not Path(PACKAGE, name).exists()]
    if missing:
        sys.exit(f"not in {PACKAGE}: {', '.join(missing)}; correct the names in {Path(__file__).name}")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:  # one process for each leakwatch
        runs = [pool.submit(run, leaks=leaks, blocks=options.blocks) for leaks in (False, True)]
        cases = {case: walks for future in runs for case, walks in future.result().items()}
    if options.walk:
        print(*(f"{file}  {function}" for file, function in median_walk(cases[options.walk])), sep="\n")
        return
    print("| walk | calls | files | moves | returns | measured | calls, min-max |\n|---|---|---|---|---|---|---|")
    for case, walks in cases.items():
        print(row(case, walks))


if __name__ == "__main__":
    main()
