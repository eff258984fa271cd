"""`leakwatch demo`: a Go service that begins to leak, and a daemon that reports the leak within a minute.

The daemon is that of `leakwatch run`, with an interval of 0.2 s and a block of 1 s (default: 5 minutes).
"""

import asyncio
import contextlib
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leakwatch.cli import logging as log_output
from leakwatch.cli.stack_table import COLOURS, signed, stack_lines, tenths
from leakwatch.cli.terminal import short_cell
from leakwatch.config import Overrides, parse
from leakwatch.daemon import Daemon
from leakwatch.errors import ConfigError
from leakwatch.leaks.labels import leak_url
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import file_and_line, short_function
from leakwatch.model import Verdict
from leakwatch.web.server.server import bind

SETTINGS = """
global: {scrape_interval: 200ms, scrape_timeout: 200ms, scrape_cost_limit: 1}
detection: {block: 1s}
"""
HEALTHY = 20.0  # seconds before the leak begins
PATIENCE = 150.0  # seconds until `--once` fails without a reported leak
ROWS = 10
PIPED_WIDTH = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """Options of the demo."""

    rate: float
    """Goroutines that the service leaks per second."""
    listen: str
    once: bool
    """Exit as soon as the leak is reported."""
    picture: Path | None
    """Where to save the last table as SVG."""
    command: str
    """The command that starts leakwatch."""


async def play(source: Path, options: DemoOptions) -> None:
    """Run the demo until Ctrl-C, or until the leak is reported; `source`: folder of the Go service.

    Raises ConfigError if Go is missing, the build fails, or `once` is given and the leak is not reported in time.
    A signal before the daemon runs cancels the task.
    """
    picture, listen = options.picture, options.listen
    log_output.configure("error")
    console = Console(record=picture is not None, highlight=False)
    if not console.is_terminal:
        console = Console(record=picture is not None, highlight=False, width=PIPED_WIDTH)
    config = parse(SETTINGS, "demo", Path()).override(Overrides(values={("web", "listen"): listen}))
    bind(listen).close()  # fail on a used port now, before a build that may take a minute
    go = _go()
    _cancel_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leakwatch-demo-")))
        console.print("building the Go service ...", style="dim")
        program = await _build(go, source, folder)
        url = await stack.enter_async_context(_serving(program))
        config = config.override(Overrides([f"shop={url}"]))
        daemon = Daemon(lambda: config)
        running = asyncio.create_task(daemon.run(reload_on=None))
        display = DemoDisplay(daemon, url, console, options)
        displaying = asyncio.create_task(display.run())
        await asyncio.wait([running, displaying], return_when=asyncio.FIRST_COMPLETED)
        daemon.stop()
        displaying.cancel()
        await running
        with contextlib.suppress(asyncio.CancelledError):
            await displaying
    if picture:
        _save(console.export_svg(title="make demo"), picture)


def _cancel_on_signals() -> None:
    """Cancel this task on SIGHUP and SIGTERM, so that the build and the service end too.

    The daemon installs its own handlers later.
    """
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("no task runs")
    for number in (signal.SIGHUP, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _save(svg: str, picture: Path) -> None:
    """Write the picture without the fonts that a browser would fetch from a server."""
    picture.write_text(re.sub(r"@font-face \{[^@}]*\}\s*", "", svg))


class DemoDisplay:
    """Output of the demo: a live table on a terminal, lines in a pipe."""

    def __init__(self, daemon: Daemon, url: str, console: Console, options: DemoOptions) -> None:
        self._daemon = daemon
        self._url = url
        self._options = options
        self._console = console
        self._start = daemon.time()
        self._leaking = False

    async def run(self) -> None:
        """Update the display until cancelled, or with `once` until the leak is reported.

        Raises ConfigError if `once` is given and the leak is not reported within `PATIENCE`.
        """
        if self._daemon.url:  # the task of the daemon started first; without an address it has failed
            self._console.print(f"page: {self._daemon.url}/ (Ctrl-C ends it)", soft_wrap=True)
        with self._live() as live:
            try:
                await self._follow(live)
            finally:
                if live:
                    live.update(self._picture(), refresh=True)
        if not live:
            self._console.print(self._picture())

    async def _follow(self, live: Live | None) -> None:
        once, reported = self._options.once, set[str]()
        while not (once and reported):
            await asyncio.sleep(0.25)
            elapsed = self._elapsed()
            if elapsed >= HEALTHY and not self._leaking:
                await self._begin_to_leak()
            if live:
                live.update(Group(self._picture(), *self._addresses()), refresh=True)
            for leak in self._leaks():
                if leak.stack.fingerprint not in reported:
                    reported.add(leak.stack.fingerprint)
                    if not live:
                        self._console.print(f"{elapsed:3.0f} s  LEAKING  {_sentence(leak)}", soft_wrap=True)
                        self._console.print(f"                {leak_url(self._daemon.url, leak)}", soft_wrap=True)
            if once and elapsed > PATIENCE:
                raise ConfigError(f"the leak was not reported within {PATIENCE:.0f} s")

    def _leaks(self) -> list[Leak]:
        return [leak for leak in self._daemon.pipeline.open_leaks() if leak.verdict >= Verdict.LEAKING]

    def _elapsed(self) -> float:
        return self._daemon.time() - self._start

    def _live(self) -> contextlib.AbstractContextManager[Live | None]:
        if self._console.is_terminal:
            return Live(console=self._console, auto_refresh=False, transient=False)
        self._console.print(f"  0 s  healthy traffic; the leak begins after {HEALTHY:.0f} s", soft_wrap=True)
        return contextlib.nullcontext()

    async def _begin_to_leak(self) -> None:
        self._leaking = True
        # On a machine with other work, the service can take longer than the 5 s of httpx.
        async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
            await client.post(f"{self._url}/leak", params={"rate": self._options.rate})
        if not self._console.is_terminal:
            self._console.print(
                f"{HEALTHY:3.0f} s  the service begins to leak {self._options.rate:g} goroutines per second"
            )

    def _picture(self) -> RenderableType:
        """Return the headline and the table, without the addresses, which are invalid after the demo."""
        leaks = self._leaks()
        if leaks:
            head = Text.assemble((" LEAKING ", "bold white on red"), " ", (_sentence(leaks[0]), "bold"))
        elif self._leaking:
            head = Text(
                f"The service now leaks {self._options.rate:g} goroutines per second. Gathering evidence ...",
                "yellow",
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
            ("by hand", f"{self._options.command} scrape {self._url}"),
        ]
        return [Text.assemble((f"{name:>12}  ", "dim"), address) for name, address in lines]


def _largest(state: TargetState) -> list[tuple[RenderableType, ...]]:
    rows: list[tuple[RenderableType, ...]] = []
    for line in sorted(stack_lines(state), key=lambda line: -line.goroutines)[:ROWS]:
        blamed, style = line.stack.blamed, COLOURS.get(line.verdict, "")
        count = Text(f"{line.goroutines}", style)
        growth = "" if line.growth is None else f"{signed(line.growth)}/s"
        names = short_cell(blamed.function, style), short_cell(file_and_line(blamed))
        rows.append((count, growth, Text(line.verdict.word, style), *names))
    return rows


def _sentence(leak: Leak) -> str:
    blamed = leak.stack.blamed
    rate, low, high = leak.growth.rate, leak.growth.low, leak.growth.high
    return (
        f"{short_function(blamed.function)} at {Path(blamed.file).name}:{blamed.line}:"
        f" {leak.goroutines} goroutines, {tenths(rate):+.1f} per second ({tenths(low):.1f} to {tenths(high):.1f})"
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
    output, _ = await build.communicate()
    if build.returncode:
        raise ConfigError(f"go build failed:\n{output.decode()}")
    return program


@contextlib.asynccontextmanager
async def _serving(program: Path) -> AsyncIterator[str]:
    """Run the service and yield its URL.

    The service has its own session, so that Ctrl-C does not end it before the daemon.
    """
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
