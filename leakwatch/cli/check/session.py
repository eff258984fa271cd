"""Runs `leakwatch check`: scrapes services for a limited time, shows progress, prints the outcome."""

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

from leakwatch.cli import terminal
from leakwatch.cli.check.formats import to_github, to_json, to_junit
from leakwatch.cli.check.result import (
    CLEAN,
    UNKNOWN,
    CheckPlan,
    Outcome,
    TargetResult,
    WindowCoverage,
    choose_plan,
    conclusion,
    plan_text,
    split_by_verdict,
    why_unjudged,
)
from leakwatch.cli.leak_text import COLOURS, leak_lines
from leakwatch.cli.logging import configure
from leakwatch.cli.scrape_session import ScrapeSession, SessionSettings, SessionTarget
from leakwatch.cli.stack_table import Refresh, stack_table
from leakwatch.config import Config, read_config
from leakwatch.detect.detector import CONFIRM_BLOCKS
from leakwatch.errors import UsageError
from leakwatch.leaks.model import Event
from leakwatch.leaks.wording import headline
from leakwatch.model import Verdict
from leakwatch.profile.escape import escaped, printable
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.units import exact_duration

ROWS = 12
SILENT = 3  # blocks without a successful scrape, after which too few blocks are left to judge
DEPTH = 12  # folders at the start of a path that may not be in the repository


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Options of the command; times in seconds."""

    span: float
    interval: float
    block: float | None
    timeout: float
    cost_limit: float
    config: Path | None
    output: str
    strict: bool
    own_code: tuple[str, ...] = ()


def run(urls: Sequence[str], options: CheckOptions) -> int:
    """Check the services at `urls`, print the outcome, and return the exit status; raises ConfigError."""
    configure("error")
    try:
        plan = choose_plan(options.span, options.interval, options.block)
    except ValueError as error:
        raise UsageError(str(error)) from error
    config = read_config(options.config) if options.config else Config()
    detection = config.judging()
    detection = replace(detection, block=plan.block, own_code=(*detection.own_code, *options.own_code))
    settings = SessionSettings(
        interval=options.interval,
        timeout=options.timeout,
        cost_limit=options.cost_limit,
        probes=ProbeSettings(full_dump="off"),
    )
    check = Check(ScrapeSession(urls, detection, settings, _print_events), plan, options)
    outcome = asyncio.run(check.run())
    sys.stdout.buffer.write(_formatted(outcome, options.output).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return outcome.status


def _formatted(outcome: Outcome, output: str) -> str:
    if output == "json":
        return to_json(outcome)
    if output == "junit":
        return to_junit(outcome)
    if output == "github":
        return to_github(outcome, _repository_path)
    return text(outcome)


class Check:
    """Scrapes every target until it can be judged, or has not responded for too long."""

    def __init__(self, session: ScrapeSession, plan: CheckPlan, options: CheckOptions) -> None:
        self._session = session
        self._plan = plan
        self._strict = options.strict
        self._timeout = options.timeout
        self._patience = max(options.timeout, SILENT * plan.block)
        self._coverage = {target: WindowCoverage() for target in session.targets}

    async def run(self) -> Outcome:
        """Return the outcome."""
        with self._live() as refresh:
            await self._session.run(self._is_over, refresh)
        leaks, suspects = split_by_verdict(self._session.pipeline.open_leaks())
        return Outcome(
            plan=self._plan,
            targets=[self._result(target) for target in self._session.session_targets],
            leaks=leaks,
            suspects=suspects,
            stopped=self._session.stopped,
            strict=self._strict,
        )

    def _is_over(self, target: SessionTarget) -> bool:
        now, coverage = self._session.clock.stopwatch(), self._coverage[target.loop.state.target]
        coverage.update(self._session.pipeline.add_target(target.loop.state.target).history)
        if target.first_success is None:
            return now - target.start >= self._timeout
        if now - target.last_success >= self._patience:
            return True
        span = now - target.first_success
        if span >= self._plan.span + CONFIRM_BLOCKS * self._plan.block:
            return True  # scrapes that failed at the very end were repeated
        return span >= self._plan.span and coverage.is_sufficient

    def _result(self, target: SessionTarget) -> TargetResult:
        state, health = self._session.pipeline.add_target(target.loop.state.target), target.loop.state.health
        failed = sum(health.results.values()) - health.results["success"]
        error = "" if health.up else health.error
        if target.first_success is None:
            why = f"no scrape succeeded: {error or 'the check was stopped before the first response'}"
        elif self._coverage[state.target].is_sufficient and not state.process_tracker.mixed:
            why = ""
        else:
            why = why_unjudged(
                state,
                self._plan,
                scrapes=target.scrapes,
                failed=failed,
                stopped=self._session.stopped,
                error=error,
            )
        return TargetResult(
            target=state.target,
            scrapes=target.scrapes,
            failed=failed,
            restarts=state.restarts,
            interval=health.interval,
            block=state.history.block,
            span=target.last_success - target.first_success if target.first_success is not None else 0.0,
            goroutines=state.total,
            why_unjudged=escaped(why),
            notes=tuple(_notes(state.restarts, failed, state.history.folded_stacks)),
        )

    @contextmanager
    def _live(self) -> Iterator[Refresh]:
        """Return a function that updates the progress display."""
        console = Console(stderr=True, highlight=False)
        if not console.is_terminal:
            terminal.print_message(plan_text(self._plan, self._session.targets))
            yield lambda: None
            return
        with Live(console=console, auto_refresh=False, transient=True) as display:
            yield lambda: display.update(self._picture(console.width), refresh=True)

    def _picture(self, width: int) -> Group:
        targets, span = self._session.session_targets, self._plan.span
        starts = [target.first_success for target in targets if target.first_success is not None]
        done = min(max(self._session.clock.stopwatch() - min(starts), 0.0), span) if starts else 0.0
        bar = ProgressBar(total=span, completed=done, width=min(width, 40))
        progress = Text(f"{exact_duration(int(done))} of {exact_duration(span)}")
        errors = [
            terminal.styled(f"{target.loop.state.target.name}: {target.loop.state.health.error}", "yellow")
            for target in targets
            if target.loop.state.health.error
        ]
        plan = Text(printable(plan_text(self._plan, self._session.targets)), "dim")
        return Group(plan, bar, progress, *errors, stack_table(self._session.pipeline.targets.values(), ROWS))


def _notes(restarts: int, failed: int, folded: int) -> Iterator[str]:
    if restarts:
        yield f"its process restarted {'once' if restarts == 1 else f'{restarts} times'} during the check"
    if failed:
        yield f"{failed} scrapes failed"
    if folded:
        yield f"the smallest {folded} of its stacks were not judged (detection.series_limit)"


def _print_events(events: list[Event]) -> None:
    """Print the verdicts that changed, unless a live table shows them."""
    if sys.stderr.isatty():
        return
    for event in events:
        if event.leak.verdict is not Verdict.NORMAL:
            terminal.print_message(headline(event.leak))


def text(outcome: Outcome) -> str:
    """Return each target, each leak with its reason and its stack, and the conclusion."""
    console = terminal.recorder(160)
    for result in outcome.targets:
        line = terminal.styled(result.name, "bold")
        span = exact_duration(round(result.span))
        line.append(f": {result.goroutines} goroutines, {result.scrapes} scrapes in {span}")
        line.append(f"; not judged: {result.why_unjudged}" if result.why_unjudged else "", "yellow")
        console.print(line, soft_wrap=True)
        for note in result.notes:
            console.print(Text(f"  {note}"), soft_wrap=True)
    for leak in (*outcome.leaks, *outcome.suspects):
        console.print()
        for row in leak_lines(leak, leak.verdict):
            console.print(row, soft_wrap=True)
    if outcome.suspects:
        console.print()
        console.print("A longer --for confirms or clears a suspicion.", soft_wrap=True)
    console.print()
    style = {CLEAN: "bold green", UNKNOWN: "bold yellow"}.get(outcome.status, COLOURS[Verdict.LEAKING])
    console.print(Text(conclusion(outcome), style), soft_wrap=True)
    return terminal.recorded(console)


def _repository_path(file: str) -> str:
    """Return the part of a path that exists below the current folder, "" if none does.

    A build usually runs in another folder than the check.
    """
    parts = PurePosixPath(file.replace("\\", "/")).parts
    for start in range(min(len(parts), DEPTH)):
        path = PurePosixPath(*parts[start:])
        if not path.is_absolute() and ".." not in path.parts and Path(path).is_file():
            return str(path)
    return ""
