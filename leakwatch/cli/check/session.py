"""Runs `leakwatch check`: scrapes services for a limited time, shows progress, writes the outcome."""

import asyncio
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leakwatch.cli import terminal
from leakwatch.cli.check.dumps import request_dumps
from leakwatch.cli.check.outputs import Output, check_writable, write
from leakwatch.cli.check.progress import Progress
from leakwatch.cli.check.regressions import BaselineComparison, compare_with
from leakwatch.cli.check.result import (
    ENDED_EARLY,
    LEAKS,
    UNIT,
    UNKNOWN,
    CheckPlan,
    Outcome,
    TargetResult,
    TooShort,
    WindowCoverage,
    choose_plan,
    sooner,
    split_by_verdict,
    why_unjudged,
)
from leakwatch.cli.logging import configure
from leakwatch.cli.scrape_session import ScrapeSession, SessionSettings, SessionTarget
from leakwatch.config import Config, read_config
from leakwatch.detect.case import CONFIRM_BLOCKS
from leakwatch.errors import UsageError, quote, without_credentials
from leakwatch.leaks.model import Event, Leak
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.wording import headline
from leakwatch.model import Verdict
from leakwatch.profile.escape import escaped
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.settings.units import exact_duration

SILENT = 3  # blocks without a successful scrape, after which too few blocks are left to judge


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Options of the command; times in seconds."""

    span: float
    interval: float
    block: float | None
    timeout: float
    cost_limit: float
    config: Path | None
    outputs: Sequence[Output]
    strict: bool
    fail_fast: bool = False
    """Whether the first leak ends the check."""
    dump_limit: int | None = 1000
    """Largest number of goroutines of a leaking process for a full dump, None for no dump."""
    own_code: tuple[str, ...] = ()
    against: str | None = None
    """The URL of the baseline, written as those of the checked services."""


def run(urls: Sequence[str], options: CheckOptions) -> int:
    """Check the services at `urls`, write the outcome, and return the exit status; raises ConfigError."""
    configure("error")
    plan = _plan(urls, options)
    check_writable(options.outputs)
    config = read_config(options.config) if options.config else Config()
    detection = config.judging()
    own_code = (*detection.own_code, *options.own_code)
    detection = replace(detection, block=plan.block, own_code=own_code, rate_unit=UNIT)
    settings = SessionSettings(
        interval=options.interval,
        timeout=options.timeout,
        cost_limit=options.cost_limit,
        probes=ProbeSettings(full_dump="off"),
    )
    check = Check(_session(urls, options.against, detection, settings), plan, options)
    outcome = asyncio.run(check.run())
    return outcome.status if write(outcome, options.outputs) else outcome.status or UNKNOWN


def _plan(urls: Sequence[str], options: CheckOptions) -> CheckPlan:
    """Return the plan; raises UsageError, with the command of a check that has about the wanted duration."""
    try:
        return choose_plan(options.span, options.interval, options.block)
    except TooShort as error:
        span, interval = map(exact_duration, sooner(options.span))
        words = ["leakwatch", "check", *map(without_credentials, urls), "--for", span, "--interval", interval]
        raise UsageError(f"{error}; for a result after {span}: {shlex.join(words)}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def _session(
    urls: Sequence[str], against: str | None, detection: DetectionSettings, settings: SessionSettings
) -> ScrapeSession:
    """Return the session of all targets, the baseline last; raises UsageError if it has the service of another."""
    session = ScrapeSession([*urls, *([against] if against else [])], detection, settings, _print_events)
    if against and session.targets[-1].service in {target.service for target in session.targets[:-1]}:
        service = session.targets[-1].service  # verdicts of a service would be those of both builds
        raise UsageError(f"--against: {quote(service)} is also the service of a checked URL: use another name")
    return session


class Check:
    """Scrapes every target until it can be judged, or has not responded for too long."""

    def __init__(self, session: ScrapeSession, plan: CheckPlan, options: CheckOptions) -> None:
        self._session = session
        self._plan = plan
        self._options = options
        self._patience = max(options.timeout, SILENT * plan.block)
        self._baseline = session.targets[-1] if options.against else None
        self._coverage = {target: WindowCoverage() for target in session.targets}
        self._ended_early = False

    async def run(self) -> Outcome:
        """Return the outcome."""
        with Progress(self._session, self._plan).live() as refresh:
            await self._session.run(self._is_over, refresh, self._request_dumps)
        return self._outcome()

    def _outcome(self) -> Outcome:
        leaks, suspects = self._leaks()
        return Outcome(
            plan=self._plan,
            targets=[self._result(target) for target in self._session.session_targets],
            leaks=leaks,
            suspects=suspects,
            stopped=self._session.stopped,
            strict=self._options.strict,
            comparison=self._comparison(),
            ended_early=self._ended_early,
        )

    def _leaks(self) -> tuple[list[Leak], list[Leak]]:
        """Return the confirmed and the suspected leaks, without those of the baseline."""
        baseline = self._baseline.service if self._baseline else None
        return split_by_verdict([leak for leak in self._session.pipeline.open_leaks() if leak.service != baseline])

    async def _request_dumps(self) -> None:
        """Request full dumps of the targets that fail the check."""
        outcome, limit = self._outcome(), self._options.dump_limit
        if outcome.status == LEAKS and limit is not None:
            await request_dumps(self._session, outcome.failures, limit)

    def _is_certain(self) -> bool:
        """Return whether --fail-fast ends the check now: a leak fails it, whatever follows."""
        if self._options.fail_fast and not self._ended_early:
            leaks, suspects = self._leaks()
            self._ended_early = bool(leaks or (self._options.strict and suspects))
        return self._ended_early

    def _comparison(self) -> BaselineComparison | None:
        if self._baseline is None:
            return None
        *states, baseline = (self._session.pipeline.add_target(target) for target in self._session.targets)
        return compare_with(baseline, states)

    def _is_over(self, target: SessionTarget) -> bool:
        now, coverage = self._session.clock.stopwatch(), self._coverage[target.loop.state.target]
        coverage.update(self._session.pipeline.add_target(target.loop.state.target).history)
        if self._is_certain():
            return True
        if target.first_success is None:
            return now - target.start >= self._options.timeout
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
        elif self._ended_early and not state.process_tracker.mixed:
            leaking = self._session.pipeline.leaks_on(state.target)
            why = "" if leaking else ENDED_EARLY
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
