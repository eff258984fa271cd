"""Runs `leakwatch scrape --watch`: a live table of the stacks of a service."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from leakwatch.cli import terminal
from leakwatch.cli.logging import configure
from leakwatch.cli.scrape_session import ScrapeSession, SessionSettings, SessionTarget
from leakwatch.cli.stack_table import Refresh, stack_lines, stack_table
from leakwatch.detect.columns import SCRAPES_PER_BLOCK
from leakwatch.errors import ScrapeError
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint
from leakwatch.profile.escape import printable
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.units import exact_duration

HEAD = 6  # lines above the rows of a table


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """Options of the live table; times in seconds."""

    span: float | None
    """None: until Ctrl-C."""
    interval: float
    timeout: float
    cost_limit: float
    rows: int
    """0: as many as the terminal has room for."""
    by_count: bool


def run(url: str, options: TableOptions) -> None:
    """Show the stacks of a service; raises ConfigError, and ScrapeError if no scrape succeeds."""
    configure("error")
    detection = DetectionSettings(block=SCRAPES_PER_BLOCK * options.interval)
    settings = SessionSettings(
        interval=options.interval,
        timeout=options.timeout,
        cost_limit=options.cost_limit,
        probes=ProbeSettings(leak_proof="off", full_dump="off", heap_profile="off"),
    )
    session = ScrapeSession([url], detection, settings)
    display = StackDisplay(session, options, terminal.console())
    with display.live() as refresh:
        asyncio.run(session.run(display.is_over, refresh))
    (target,) = session.session_targets
    health = target.loop.state.health
    if target.first_success is None and health.reason:
        raise ScrapeError("connection", f"{session.targets[0].name}: {health.error}")


class StackDisplay:
    """A live table on a terminal; in a pipe, one table per scrape."""

    def __init__(self, session: ScrapeSession, options: TableOptions, console: Console) -> None:
        self._session = session
        self._options = options
        self._console = console
        self._printed_scrapes = 0
        self._first: dict[Fingerprint, int] | None = None

    def is_over(self, target: SessionTarget) -> bool:
        """Return whether the time is over, or the target did not respond within the timeout."""
        now, span = self._session.clock.stopwatch(), self._options.span
        if target.first_success is None:
            return now - target.start >= self._options.timeout
        return span is not None and now - target.first_success >= span

    @contextmanager
    def live(self) -> Iterator[Refresh]:
        """Return a function that updates the display."""
        if not self._console.is_terminal:
            yield self._print
            return
        with Live(console=self._console, auto_refresh=False) as display:
            yield lambda: display.update(self._picture(), refresh=True)

    def _print(self) -> None:
        """Print a table if there has been a scrape since the last one."""
        scrapes = sum(target.scrapes for target in self._session.session_targets)
        if scrapes > self._printed_scrapes:
            self._printed_scrapes = scrapes
            recorder = terminal.recorder()
            recorder.print(self._picture())
            sys.stdout.write(terminal.recorded(recorder) + "\n")
            sys.stdout.flush()

    def _picture(self) -> Group:
        heads = [line for target in self._session.session_targets for line in self._head(target)]
        states = list(self._session.pipeline.targets.values())
        if self._first is None and states and self._session.session_targets[0].scrapes:
            self._first = {line.stack.fingerprint: line.goroutines for line in stack_lines(states[0])}
        room = max(self._console.height - HEAD, 3)
        rows = self._options.rows or room
        if self._console.is_terminal:
            rows = min(rows, room)
        table = stack_table(states, rows, by_count=self._options.by_count, first=self._first)
        return Group(*heads, table)

    def _head(self, target: SessionTarget) -> Iterator[Text]:
        """Yield the lines about a target above the table."""
        state, health = self._session.pipeline.add_target(target.loop.state.target), target.loop.state.health
        time = datetime.fromtimestamp(health.time, UTC).strftime("%H:%M:%S UTC") if health.time else "waiting"
        head = f"{time}  {state.target.name}: {state.total} goroutines in {len(state.history.rows)} stacks"
        if health.interval > self._options.interval:
            head += f", interval stretched to {exact_duration(health.interval)} by the cost limit"
        if state.restarts:
            head += f", restarted {state.restarts} times"
        yield Text(printable(head), no_wrap=True, overflow="ellipsis")
        if health.error:
            yield Text(printable(health.error), "yellow")
