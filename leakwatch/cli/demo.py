"""`leakwatch demo`: a real Go service that begins to leak, and leakwatch beside it, in a minute.

The daemon is the one that `leakwatch run` runs, only faster: it scrapes five times a second and judges blocks of
one second, where a production block has five minutes.
"""

import asyncio
import contextlib
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leakwatch.cli import logging as logs
from leakwatch.cli.scrape_once import cut
from leakwatch.cli.stack_table import COLOURS, lines, signed, tenths
from leakwatch.config import parse
from leakwatch.daemon import Daemon
from leakwatch.errors import ConfigError
from leakwatch.leaks.labels import leak_url
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import short_function
from leakwatch.model import Verdict
from leakwatch.web.server.server import bind

SETTINGS = """
global: {scrape_interval: 200ms, scrape_timeout: 200ms, scrape_cost_limit: 1}
detection: {block: 1s}
"""
HEALTHY = 20.0  # seconds before the leak begins
PATIENCE = 150.0  # seconds until a demo that was to end by itself gives up
ROWS = 10
PIPED_WIDTH = 120


async def play(source: Path, *, rate: float, listen: str, once: bool, picture: Path | None, command: str) -> None:
    """Run the demo until Ctrl-C, or with `once` until the leak is named; raises ConfigError if it cannot.

    `source`: the Go service; `rate`: goroutines to leak per second; `picture`: where to save the last table, SVG;
    `command`: how to start leakwatch by hand. Cancelled when it has to end before the daemon runs.
    """
    logs.configure("error")
    console = Console(record=picture is not None, highlight=False)
    if not console.is_terminal:
        console = Console(record=picture is not None, highlight=False, width=PIPED_WIDTH)
    config = parse(SETTINGS, "demo", Path()).serving(listen=listen)
    bind(listen).close()  # a port that is taken is said before a build that may take a minute
    go = _go()
    _cancel_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leakwatch-demo-")))
        console.print("building the Go service ...", style="dim")
        program = await _build(go, source, folder)
        url = await stack.enter_async_context(_serving(program))
        config = config.with_targets([f"shop={url}"])
        daemon = Daemon(lambda: config)
        running = asyncio.create_task(daemon.run(reload_on=None))
        show = Show(daemon, url, console, rate, command)
        watching = asyncio.create_task(show.run(once=once))
        await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
        daemon.stop()
        watching.cancel()
        await running
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    if picture:
        _save(console.export_svg(title="make demo"), picture)


def _cancel_on_signals() -> None:
    """Let a signal cancel this task, so that nothing we started is left behind; the daemon's own come later."""
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("no task runs")
    for number in (signal.SIGHUP, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _save(svg: str, picture: Path) -> None:
    """Write the picture without the fonts that it would ask a server for."""
    picture.write_text(re.sub(r"\s*@font-face \{[^}]*\}", "", svg))


class Show:
    """What the terminal shows: a live table, or plain lines when it is none."""

    def __init__(self, daemon: Daemon, url: str, console: Console, rate: float, command: str) -> None:
        self._daemon = daemon
        self._url = url
        self._command = command
        self._console = console
        self._rate = rate
        self._start = daemon.time()
        self._leaking = False

    async def run(self, *, once: bool) -> None:
        """Show until cancelled, or with `once` until the leak is named; raises ConfigError if it never is."""
        if self._daemon.url:  # the daemon's task has begun before this one; without an address it has failed
            self._console.print(f"page: {self._daemon.url}/ (Ctrl-C ends it)", soft_wrap=True)
        with self._live() as live:
            try:
                await self._follow(live, once=once)
            finally:
                if live:
                    live.update(self._picture(), refresh=True)
        if not live:
            self._console.print(self._picture())

    async def _follow(self, live: Live | None, *, once: bool) -> None:
        named: set[str] = set()
        while not (once and named):
            await asyncio.sleep(0.25)
            elapsed = self._elapsed()
            if elapsed >= HEALTHY and not self._leaking:
                await self._begin_to_leak()
            if live:
                live.update(Group(self._picture(), *self._addresses()), refresh=True)
            for leak in self._leaks():
                if leak.stack.fingerprint not in named:
                    named.add(leak.stack.fingerprint)
                    if not live:
                        self._console.print(f"{elapsed:3.0f} s  LEAKING  {_sentence(leak)}", soft_wrap=True)
                        self._console.print(f"                {leak_url(self._daemon.url, leak)}", soft_wrap=True)
            if once and elapsed > PATIENCE:
                raise ConfigError(f"the demo's leak was not found within {PATIENCE:.0f} s")

    def _leaks(self) -> list[Leak]:
        return [leak for leak in self._daemon.leaks() if leak.verdict >= Verdict.LEAKING]

    def _elapsed(self) -> float:
        return self._daemon.time() - self._start

    def _live(self) -> contextlib.AbstractContextManager[Live | None]:
        if self._console.is_terminal:
            return Live(console=self._console, auto_refresh=False, transient=False)
        self._console.print(f"  0 s  healthy traffic; the leak begins after {HEALTHY:.0f} s", soft_wrap=True)
        return contextlib.nullcontext()

    async def _begin_to_leak(self) -> None:
        self._leaking = True
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{self._url}/leak", params={"rate": self._rate})
        if not self._console.is_terminal:
            self._console.print(
                f"{HEALTHY:3.0f} s  the service begins to leak {self._rate:g} goroutines per second"
            )

    def _picture(self) -> RenderableType:
        """Return what there is to see, without the addresses, which end with the demo."""
        leaks = self._leaks()
        if leaks:
            head = Text.assemble((" LEAKING ", "bold white on red"), " ", (_sentence(leaks[0]), "bold"))
        elif self._leaking:
            head = Text(
                f"The service now leaks {self._rate:g} goroutines per second. Gathering evidence ...", "yellow"
            )
        else:
            head = Text(f"Healthy traffic. The leak begins in {max(HEALTHY - self._elapsed(), 0):.0f} s.", "green")
        return Group(Text(), head, self._table())

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, expand=False)
        table.add_column("goroutines", justify="right")
        table.add_column("growth", justify="right")
        table.add_column("verdict", no_wrap=True)
        table.add_column("function")
        table.add_column("at", style="dim")
        for state in self._daemon.pipeline.targets.values():
            for row in _largest(state):
                table.add_row(*row)
        return table

    def _addresses(self) -> list[Text]:
        page = self._daemon.url
        lines = [
            *(("this leak", leak_url(page, leak)) for leak in self._leaks()[:1]),
            ("metrics", f"{page}/metrics"),
            ("by hand", f"{self._command} scrape {self._url}"),
        ]
        return [Text.assemble((f"{name:>12}  ", "dim"), address) for name, address in lines]


def _largest(state: TargetState) -> list[tuple[RenderableType, ...]]:
    rows: list[tuple[RenderableType, ...]] = []
    for line in sorted(lines(state), key=lambda line: -line.goroutines)[:ROWS]:
        stack, style = line.stack, COLOURS.get(line.verdict, "")
        at = f"{Path(stack.blamed.file).name}:{stack.blamed.line}"
        count = Text(f"{line.goroutines}", style)
        growth = "" if line.growth is None else f"{signed(line.growth)}/s"
        names = cut(short_function(stack.blamed.function), style), cut(at)
        rows.append((count, growth, Text(line.verdict.word, style), *names))
    return rows


def _sentence(leak: Leak) -> str:
    at = leak.stack.blamed
    rate, low, high = leak.growth.rate, leak.growth.low, leak.growth.high
    return (
        f"{short_function(at.function)} at {Path(at.file).name}:{at.line}: {leak.goroutines} goroutines, "
        f"{tenths(rate):+.1f} per second ({tenths(low):.1f} to {tenths(high):.1f})"
    )


def _go() -> str:
    go = shutil.which("go")
    if go is None:
        raise ConfigError("the demo needs Go >= 1.23 on PATH (make demo installs it)")
    return go


async def _build(go: str, source: Path, folder: Path) -> Path:
    program = folder / "shop"
    build = await asyncio.create_subprocess_exec(
        go,
        "build",
        "-o",
        str(program),
        ".",
        cwd=source,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await build.communicate()
    if build.returncode:
        raise ConfigError(f"go build failed:\n{said.decode()}")
    return program


@contextlib.asynccontextmanager
async def _serving(program: Path) -> AsyncIterator[str]:
    """Run the service; its own session, so that Ctrl-C reaches it through us and nobody is surprised."""
    process = await asyncio.create_subprocess_exec(program, stdout=asyncio.subprocess.PIPE, start_new_session=True)
    try:
        line = await process.stdout.readline() if process.stdout else b""
        yield line.decode().removeprefix("listening ").strip()
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 3)
        except TimeoutError:
            process.kill()
            await process.wait()
