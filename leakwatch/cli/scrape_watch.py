"""Runs `leakwatch scrape --watch`: the stacks of a service, again and again."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from leakwatch.cli import logging as logs
from leakwatch.cli import stack_table as live
from leakwatch.cli import terminal
from leakwatch.cli.scrape_session import ScrapeSession, SessionSettings, SessionTarget
from leakwatch.detect.columns import SCRAPES_PER_BLOCK
from leakwatch.errors import ScrapeError
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Fingerprint
from leakwatch.profile.escape import printable
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.units import exact_duration

HEAD = 6  # lines of a table that are no rows


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the command line asks for, in seconds; `span`: None for ever; `rows`: 0 for as many as fit."""

    span: float | None
    interval: float
    timeout: float
    cost_limit: float
    rows: int
    by_count: bool


def run(url: str, wanted: TableOptions) -> None:
    """Show the stacks at `url` until it is told to stop; raises ConfigError, and ScrapeError if none ever came."""
    logs.configure("error")
    settings = DetectionSettings(block=SCRAPES_PER_BLOCK * wanted.interval)
    closer = ProbeSettings(leak_proof="off", full_dump="off")
    watching = ScrapeSession(
        [url], settings, SessionSettings(wanted.interval, wanted.timeout, wanted.cost_limit, closer)
    )
    top = Top(watching, wanted, terminal.console())
    with top.shown() as show:
        asyncio.run(watching.run(top.is_over, show))
    (one,) = watching.vigils
    health = one.job.state.health
    if one.up is None and health.reason:
        raise ScrapeError("connection", f"{watching.targets[0].name}: {health.error}")


class Top:
    """What is shown: a live table, or where it is piped one table after another."""

    def __init__(self, watching: ScrapeSession, wanted: TableOptions, console: Console) -> None:
        self._watching = watching
        self._wanted = wanted
        self._console = console
        self._scrapes = 0
        self._first: dict[Fingerprint, int] | None = None

    def is_over(self, one: SessionTarget) -> bool:
        """Tell whether it has been shown for long enough, or never answered."""
        now = self._watching.clock.stopwatch()
        if one.up is None:
            return now - one.began >= self._wanted.timeout
        return self._wanted.span is not None and now - one.up >= self._wanted.span

    @contextmanager
    def shown(self) -> Iterator[live.Show]:
        """Give what shows the table of now."""
        if not self._console.is_terminal:
            yield self._print
            return
        with Live(console=self._console, auto_refresh=False) as display:
            yield lambda: display.update(self._picture(), refresh=True)

    def _print(self) -> None:
        """Print the table of now where there has been a scrape since the last one."""
        scrapes = sum(one.scrapes for one in self._watching.vigils)
        if scrapes > self._scrapes:
            self._scrapes = scrapes
            recorder = terminal.recorder()
            recorder.print(self._picture())
            sys.stdout.write(terminal.recorded(recorder) + "\n")
            sys.stdout.flush()

    def _picture(self) -> Group:
        shown = []
        for one in self._watching.vigils:
            state, health = self._watching.pipeline.add_target(one.job.state.target), one.job.state.health
            when = datetime.fromtimestamp(health.time, UTC).strftime("%H:%M:%S UTC") if health.time else "waiting"
            head = f"{when}  {state.target.name}: {state.total} goroutines in {len(state.history.rows)} stacks"
            if health.interval > self._wanted.interval:
                head += f", every {exact_duration(health.interval)} to spare it"
            if state.restarts:
                head += f", restarted {state.restarts} times"
            shown.append(Text(printable(head), no_wrap=True, overflow="ellipsis"))
            if health.error:
                shown.append(Text(printable(health.error), "yellow"))
        states = list(self._watching.pipeline.targets.values())
        if self._first is None and states and self._watching.vigils[0].scrapes:
            self._first = {line.stack.fingerprint: line.goroutines for line in live.lines(states[0])}
        rows = self._wanted.rows or max(self._console.height - HEAD, 3)
        if self._console.is_terminal:
            rows = min(rows, max(self._console.height - HEAD, 3))
        table = live.table(states, rows, by_count=self._wanted.by_count, first=self._first)
        return Group(*shown, table)
