"""Progress of a check on standard error: a live table on a terminal, otherwise a line every 30 seconds."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from leakwatch.cli import terminal
from leakwatch.cli.check.result import CheckPlan, plan_text
from leakwatch.cli.scrape_session import ScrapeSession
from leakwatch.cli.stack_table import Refresh, stack_table
from leakwatch.model import Verdict
from leakwatch.profile.escape import printable
from leakwatch.settings.units import exact_duration

ROWS: Final = 12
EVERY: Final = 30.0  # seconds between two lines
NAMED: Final = 3  # targets that do not respond, in a line


class Progress:
    """Shows how far the check of a session is."""

    def __init__(self, session: ScrapeSession, plan: CheckPlan) -> None:
        self._session = session
        self._plan = plan
        self._due = 0.0

    @contextmanager
    def live(self) -> Iterator[Refresh]:
        """Return a function that updates the progress."""
        console = Console(stderr=True, highlight=False)
        if not console.is_terminal:
            terminal.print_message(plan_text(self._plan, self._session.targets))
            self._due = self._session.clock.stopwatch() + EVERY
            yield self._print_line
            return
        with Live(console=console, auto_refresh=False, transient=True) as display:
            yield lambda: display.update(self._picture(console.width), refresh=True)

    def _print_line(self) -> None:
        """Print a line if the latest one is old."""
        now = self._session.clock.stopwatch()
        if now >= self._due:
            self._due = now - (now - self._due) % EVERY + EVERY
            terminal.print_message(self._line())

    def _line(self) -> str:
        """Return the progress in one line: "30s of 2m: 31 scrapes, 412 goroutines, 1 stack suspected"."""
        targets = self._session.session_targets
        done, span = exact_duration(int(self._done())), exact_duration(self._plan.span)
        goroutines = sum(target.loop.state.total for target in targets)
        facts = [f"{sum(target.scrapes for target in targets)} scrapes, {goroutines:,} goroutines"]
        verdicts = Counter(leak.verdict for leak in self._session.pipeline.open_leaks())
        facts += [
            f"{number} {verdict.word}" for verdict, number in sorted(verdicts.items()) if verdict > Verdict.NORMAL
        ]
        failing = [target.loop.state for target in targets if target.loop.state.health.error]
        facts += [f"{state.target.name}: {state.health.error}" for state in failing[:NAMED]]
        return f"{done} of {span}: {', '.join(facts)}"

    def _done(self) -> float:
        """Return the seconds since the first response, at most those of the plan."""
        starts = [target.first_success for target in self._session.session_targets]
        first = min((start for start in starts if start is not None), default=None)
        return 0.0 if first is None else min(max(self._session.clock.stopwatch() - first, 0.0), self._plan.span)

    def _picture(self, width: int) -> Group:
        targets, span, done = self._session.session_targets, self._plan.span, self._done()
        bar = ProgressBar(total=span, completed=done, width=min(width, 40))
        progress = Text(f"{exact_duration(int(done))} of {exact_duration(span)}")
        errors = [
            terminal.styled(f"{target.loop.state.target.name}: {target.loop.state.health.error}", "yellow")
            for target in targets
            if target.loop.state.health.error
        ]
        plan = Text(printable(plan_text(self._plan, self._session.targets)), "dim")
        return Group(plan, bar, progress, *errors, stack_table(self._session.pipeline.targets.values(), ROWS))
