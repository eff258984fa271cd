"""Runs `leakwatch check`: watches services for a while, says how it goes on, prints what came of it."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from leakwatch.cli import logging as logs
from leakwatch.cli import stack_table as live
from leakwatch.cli import terminal
from leakwatch.cli.check.formats import to_github, to_json, to_junit
from leakwatch.cli.check.result import (
    CLEAN,
    UNKNOWN,
    CheckPlan,
    Looks,
    Outcome,
    TargetResult,
    choose_terms,
    conclusion,
    plan,
    split,
    why_unknown,
)
from leakwatch.cli.leak_text import COLOURS, about
from leakwatch.cli.scrape_session import ScrapeSession, SessionSettings, SessionTarget
from leakwatch.clock import Clock
from leakwatch.config import Config, read_config
from leakwatch.detect.detector import CONFIRM_BLOCKS
from leakwatch.errors import UsageError
from leakwatch.leaks.model import Event
from leakwatch.model import Verdict
from leakwatch.profile.escape import escaped, printable
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.units import exact_duration

ROWS = 12
SILENT = 3  # blocks without an answer after which too few are left to judge
DEPTH = 12  # folders of a path that may not be in the repository


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the command line asks for, in seconds."""

    span: float
    interval: float
    block: float | None
    timeout: float
    cost_limit: float
    config: Path | None
    output: str
    strict: bool


def run(urls: Sequence[str], wanted: CheckOptions) -> int:
    """Check the services at `urls`, print what was found, return the exit status; raises ConfigError."""
    logs.configure("error")
    try:
        terms = choose_terms(wanted.span, wanted.interval, wanted.block)
    except ValueError as error:
        raise UsageError(str(error)) from error
    given = read_config(wanted.config) if wanted.config else Config()
    settings = replace(given.judging(), block=terms.block)
    how = SessionSettings(wanted.interval, wanted.timeout, wanted.cost_limit, ProbeSettings(full_dump="off"))
    check = Check(ScrapeSession(urls, settings, how, _tell), terms, wanted)
    outcome = asyncio.run(check.run())
    sys.stdout.buffer.write(_printed(outcome, wanted).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return outcome.status


def _printed(outcome: Outcome, wanted: CheckOptions) -> str:
    if wanted.output == "json":
        return to_json(outcome)
    if wanted.output == "junit":
        return to_junit(outcome)
    if wanted.output == "github":
        return to_github(outcome, _in_repository)
    return text(outcome)


class Check:
    """Watches until every target has been watched for as long as it takes, or has been silent for too long."""

    def __init__(self, watching: ScrapeSession, terms: CheckPlan, wanted: CheckOptions) -> None:
        self._watching = watching
        self._terms = terms
        self._strict = wanted.strict
        self._timeout = wanted.timeout
        self._patience = max(wanted.timeout, SILENT * terms.block)
        self._looks = {target: Looks() for target in watching.targets}
        self._clock: Clock = watching.clock

    async def run(self) -> Outcome:
        """Return what came of it."""
        with self._shown() as show:
            await self._watching.run(self._is_over, show)
        checked = [self._checked(one) for one in self._watching.vigils]
        leaks, suspects = split(self._watching.pipeline.open_leaks())
        return Outcome(self._terms, checked, leaks, suspects, self._watching.stopped, self._strict)

    def _is_over(self, one: SessionTarget) -> bool:
        now, target = self._clock.stopwatch(), one.job.state.target
        self._looks[target].follow(self._watching.pipeline.add_target(target).history)
        if one.up is None:
            return now - one.began >= self._timeout
        if now - one.answered >= self._patience:
            return True
        watched = now - one.up
        if watched >= self._terms.span + CONFIRM_BLOCKS * self._terms.block:
            return True  # what failed at the very end was given a second chance
        return watched >= self._terms.span and self._looks[target].enough

    def _checked(self, one: SessionTarget) -> TargetResult:
        state, health = self._watching.pipeline.add_target(one.job.state.target), one.job.state.health
        failed = sum(health.results.values()) - health.results["success"]
        error = "" if health.up else health.error
        if one.up is None:
            why = f"no profile could be had: {error or 'stopped before the first answer'}"
        elif self._looks[state.target].enough and not state.process_tracker.mixed:
            why = ""
        else:
            why = why_unknown(
                state,
                self._terms,
                scrapes=one.scrapes,
                failed=failed,
                stopped=self._watching.stopped,
                error=error,
            )
        return TargetResult(
            state.target,
            one.scrapes,
            failed,
            state.restarts,
            health.interval,
            state.history.block,
            one.answered - one.up if one.up is not None else 0.0,
            state.total,
            escaped(why),
            tuple(_notes(state.restarts, failed, state.history.folded_stacks)),
        )

    @contextmanager
    def _shown(self) -> Iterator[live.Show]:
        console = Console(stderr=True, highlight=False)
        if not console.is_terminal:
            _say(plan(self._terms, self._watching.targets))
            yield lambda: None
            return
        with Live(console=console, auto_refresh=False, transient=True) as display:
            yield lambda: display.update(self._picture(console.width), refresh=True)

    def _picture(self, width: int) -> Group:
        ups = [one.up for one in self._watching.vigils if one.up is not None]
        done = min(max(self._clock.stopwatch() - min(ups), 0.0), self._terms.span) if ups else 0.0
        bar = ProgressBar(total=self._terms.span, completed=done, width=min(width, 40))
        head = Text(f"{exact_duration(int(done))} of {exact_duration(self._terms.span)}")
        down = [
            terminal.styled(f"{one.job.state.target.name}: {one.job.state.health.error}", "yellow")
            for one in self._watching.vigils
            if one.job.state.health.error
        ]
        about = Text(printable(plan(self._terms, self._watching.targets)), "dim")
        return Group(about, bar, head, *down, live.table(self._watching.pipeline.targets.values(), ROWS))


def _notes(restarts: int, failed: int, folded: int) -> Iterator[str]:
    if restarts:
        yield f"its process restarted {'once' if restarts == 1 else f'{restarts} times'} meanwhile"
    if failed:
        yield f"{failed} scrapes failed"
    if folded:
        yield f"the smallest {folded} of its stacks were not judged (detection.series_limit)"


def _tell(events: list[Event]) -> None:
    """Say what verdicts have changed, where no live table shows them."""
    if sys.stderr.isatty():
        return
    for event in events:
        leak = event.leak
        if event.leak.verdict is not Verdict.NORMAL:
            _say(f"{leak.verdict.word}: {printable(leak.stack.blamed.function)} {leak.reason}")


def _say(line: str) -> None:
    sys.stderr.write(f"leakwatch: {escaped(line)}\n")
    sys.stderr.flush()


def text(outcome: Outcome) -> str:
    """Return the outcome to be read: each target, each leak with its reason and its stack, all in one line."""
    console = terminal.recorder(160)
    for one in outcome.checked:
        line = terminal.styled(one.name, "bold")
        line.append(f": {one.goroutines} goroutines, {one.scrapes} scrapes in {exact_duration(round(one.span))}")
        line.append(f"; not judged: {one.why}" if one.why else "", "yellow")
        console.print(line, soft_wrap=True)
        for note in one.notes:
            console.print(Text(f"  {note}"), soft_wrap=True)
    for leak in (*outcome.leaks, *outcome.suspects):
        console.print()
        for row in about(leak, leak.verdict):
            console.print(row, soft_wrap=True)
    if outcome.suspects:
        console.print()
        console.print("What is suspected only needs a longer --for to be told.", soft_wrap=True)
    console.print()
    style = {CLEAN: "bold green", UNKNOWN: "bold yellow"}.get(outcome.status, COLOURS[Verdict.LEAKING])
    console.print(Text(conclusion(outcome), style), soft_wrap=True)
    return terminal.recorded(console)


def _in_repository(file: str) -> str:
    """Return the path of a source file below the current folder, "" where it is not: builds are made elsewhere."""
    parts = PurePosixPath(file.replace("\\", "/")).parts
    for start in range(min(len(parts), DEPTH)):
        path = PurePosixPath(*parts[start:])
        if not path.is_absolute() and ".." not in path.parts and Path(path).is_file():
            return str(path)
    return ""
