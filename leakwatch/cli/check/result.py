"""Result of a check: its plan, the outcome of each target, the leaks, the exit status. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.cli.check.regressions import BaselineComparison, Regression
from leakwatch.detect.case import CONFIRM_BLOCKS
from leakwatch.detect.columns import BLOCKS, SCRAPES_PER_BLOCK
from leakwatch.detect.comparison import MIN_GAIN
from leakwatch.detect.history import History
from leakwatch.detect.quarters import quarter_columns
from leakwatch.detect.windows import BLOCK_WINDOWS
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.wording import RateUnit
from leakwatch.model import Target, Verdict
from leakwatch.settings.units import exact_duration, format_duration

CLEAN, LEAKS, UNKNOWN = 0, 1, 2  # exit statuses
WORDS: Final = {CLEAN: "clean", LEAKS: "leaking", UNKNOWN: "unknown"}
LONGEST: Final = 300.0  # seconds of a block
WHOLE: Final = next(window for window in BLOCK_WINDOWS if window.columns == BLOCKS)
GROWN: Final = 1.01  # ratio of block lengths; a doubled block is above it whatever rounding did
RISE: Final = 0.75  # share of a window between the middles of its first and its last quarter
NAMED: Final = 3  # services in the line about the plan
UNIT: Final[RateUnit] = "min"
"""Unit of all rates in sentences: a check takes minutes."""
FASTEST: Final = 0.1  # seconds; at a shorter interval, even small services exceed the default cost limit
STEP: Final = 0.01  # seconds; suggested intervals are multiples
ENDED_EARLY: Final = "another target leaks, and --fail-fast ended the check"
"""Why a target was not judged, which is not an error."""
DUMP: Final = "age"  # the probe that shows how long goroutines wait, and their creators


class TooShort(ValueError):  # noqa: N818  it is not an error of the check
    """The duration of a check is too short to judge."""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """Duration, interval and block of a check, in seconds."""

    span: float
    interval: float
    block: float

    @property
    def slowest_rate(self) -> float:
        """The slowest leak that the check can detect, in goroutines per second."""
        return WHOLE.min_growth / (RISE * BLOCKS * self.block)

    @property
    def slowest_regression(self) -> float:
        """The slowest growth that a comparison with a baseline can detect, in goroutines per second."""
        return MIN_GAIN / (RISE * BLOCKS * self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """Result of one target; `scrapes` counts the successful ones, `failed` the others."""

    target: Target
    scrapes: int
    failed: int
    restarts: int
    interval: float
    block: float
    span: float
    """Seconds between the first and the last successful scrape."""
    goroutines: int
    why_unjudged: str = ""
    """Why the target was not judged, "" if it was."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader, such as failed scrapes."""

    @property
    def name(self) -> str:
        """The service, with the target if their names differ."""
        service, name = self.target.service, self.target.name
        return name if service == name else f"{service} ({name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The whole result of a check."""

    plan: CheckPlan
    targets: Sequence[TargetResult]
    leaks: Sequence[Leak]
    suspects: Sequence[Leak]
    stopped: bool = False
    """Whether a signal ended the check early."""
    strict: bool = False
    """Whether a suspicion fails the check."""
    comparison: BaselineComparison | None = None
    """The comparison with the baseline, None without one."""
    ended_early: bool = False
    """Whether --fail-fast ended the check at the first leak."""

    @property
    def unjudged(self) -> list[TargetResult]:
        """The targets that were not judged."""
        return [target for target in self.targets if target.why_unjudged]

    @property
    def failures(self) -> list[Leak]:
        """The leaks that fail the check."""
        if self.comparison is None:
            return [*self.leaks, *(self.suspects if self.strict else ())]
        return [leak for leak in (*self.leaks, *self.suspects) if self.comparison.fails(leak, strict=self.strict)]

    @property
    def regressions(self) -> list[Regression]:
        """The stacks that fail the check without a verdict, the fastest first."""
        return self.comparison.regressions((*self.leaks, *self.suspects)) if self.comparison else []

    def failures_on(self, result: TargetResult) -> list[Leak]:
        """Return the leaks on a target that fail the check."""
        service, name = result.target.service, result.target.name
        return [leak for leak in self.failures if leak.service == service and name in leak.targets]

    def regressions_on(self, result: TargetResult) -> list[Regression]:
        """Return the stacks of a target that fail the check without a verdict."""
        return [regression for regression in self.regressions if regression.target == result.target]

    @property
    def word(self) -> str:
        """The result in one word."""
        return WORDS[self.status]

    @property
    def lacks_baseline(self) -> bool:
        """Whether the baseline was not judged, so that no comparison is possible."""
        comparison = self.comparison
        return comparison is not None and any(target.target == comparison.baseline for target in self.unjudged)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.stopped or self.lacks_baseline:
            return UNKNOWN
        if self.failures or self.regressions:
            return LEAKS
        return UNKNOWN if self.unjudged else CLEAN


def choose_plan(span: float, interval: float, block: float | None) -> CheckPlan:
    """Return the plan of a check; raises ValueError if a block is too short, and TooShort if `span` is.

    A verdict needs 24 blocks, and departures are visible only with 5 scrapes per block.
    """
    shortest = SCRAPES_PER_BLOCK * interval
    if block is not None and block < shortest:
        raise ValueError(
            f"--block {exact_duration(block)}: too short: a block needs {SCRAPES_PER_BLOCK} scrapes, which at"
            f" --interval {exact_duration(interval)} take {exact_duration(shortest)}"
        )
    needed = BLOCKS * (block or shortest)
    if span < round(needed, 3):
        given = f"--block {exact_duration(block)}" if block else f"--interval {exact_duration(interval)}"
        raise TooShort(
            f"--for {exact_duration(span)}: too short to judge: {given} needs at least {exact_duration(needed)}"
            f" ({BLOCKS} blocks)"
        )
    return CheckPlan(span, interval, block or min(span / BLOCKS, max(LONGEST, shortest)))


def sooner(span: float) -> tuple[float, float]:
    """Return the duration and the interval of the check that is closest to `span` seconds."""
    interval = max(STEP * int(span / (BLOCKS * SCRAPES_PER_BLOCK * STEP) + GROWN - 1), FASTEST)
    return max(span, round(BLOCKS * SCRAPES_PER_BLOCK * interval, 3)), interval


def missing_dump(leak: Leak) -> str:
    """Return why the creators of a leak are unknown, "" if they are known or no dump was requested."""
    reason = leak.findings.unavailable.get(DUMP, "")
    return f"Creators are unknown: {reason}" if reason and not leak.findings.waiting else ""


class WindowCoverage:
    """Counts for how many blocks in a row the whole window could be scored; a verdict needs three."""

    def __init__(self) -> None:
        self._closed = 0
        self._running = 0

    def update(self, history: History) -> None:
        """Evaluate the window if a block has closed."""
        if history.closed == self._closed:
            return
        self._closed = history.closed
        self._running = self._running + 1 if quarter_columns(history.blocks, WHOLE) is not None else 0

    @property
    def is_sufficient(self) -> bool:
        """Whether a leak would have been confirmed."""
        return self._running >= CONFIRM_BLOCKS


def why_unjudged(
    state: TargetState, plan: CheckPlan, *, scrapes: int, failed: int, stopped: bool, error: str
) -> str:
    """Return why a target that responded was not judged; `error`: of the latest scrape."""
    block, times = state.history.block, "" if state.restarts == 1 else f" {state.restarts} times"
    reasons = (
        (state.process_tracker.mixed, "several processes answer in turn: check each one separately"),
        (stopped, "the check was stopped early"),
        (error, f"it no longer responds: {error}"),
        (
            state.restarts,
            f"its process restarted{times}: a check needs {exact_duration(plan.span)} of one process",
        ),
        (
            block > GROWN * plan.block,
            (
                f"scraping every {exact_duration(plan.interval)} would exceed the cost limit: use --for"
                f" {format_duration(BLOCKS * block)} or more, or a higher --cost-limit"
            ),
        ),
    )
    too_few = (
        f"only {scrapes} of {plan.span / plan.interval:.0f} scrapes succeeded, and {failed} failed, with gaps too"
        " long to judge: use a longer --for, or a higher --cost-limit"
    )
    return next((reason for holds, reason in reasons if holds), too_few)


def split_by_verdict(leaks: Sequence[Leak]) -> tuple[list[Leak], list[Leak]]:
    """Return the leaks that grow: those that are confirmed, and those that are only suspected."""
    ordered = sorted(leaks, key=lambda leak: -leak.grew.rate)
    confirmed = [leak for leak in ordered if leak.verdict >= Verdict.LEAKING]
    return confirmed, [leak for leak in ordered if leak.verdict is Verdict.SUSPECTED]


def conclusion(outcome: Outcome) -> str:
    """Return the result in one line."""
    plan, judged = outcome.plan, len(outcome.targets) - len(outcome.unjudged)
    span = max((target.span for target in outcome.targets), default=0.0)
    parts = []
    if outcome.leaks:
        parts.append("1 leak" if len(outcome.leaks) == 1 else f"{len(outcome.leaks)} leaks")
    if outcome.suspects:
        parts.append(f"{len(outcome.suspects)} only suspected")
    if outcome.unjudged:
        parts.append(f"{len(outcome.unjudged)} of {len(outcome.targets)} targets not judged")
    if not outcome.leaks and judged:
        parts.insert(0, "no leak")
    if outcome.comparison:
        parts.insert(0, _regressions(outcome))
    scrapes = sum(target.scrapes for target in outcome.targets)
    slowest_rate = plan.slowest_regression if outcome.comparison else plan.slowest_rate
    slowest = f"; leaks below {60 * slowest_rate:.0f} goroutines a minute are not detected" if judged else ""
    if outcome.ended_early:
        slowest = "; ended at the first leak by --fail-fast"
    return (
        f"{', '.join(parts)}; checked for {exact_duration(round(span))}, {scrapes} scrapes,"
        f" blocks of {seconds_text(plan.block)}{slowest}"
    )


def _regressions(outcome: Outcome) -> str:
    if outcome.lacks_baseline:
        return "not compared: the baseline was not judged"
    number = len(outcome.failures) + len(outcome.regressions)
    return "1 regression" if number == 1 else f"{number or 'no'} regression{'s' if number else ''}"


def seconds_text(seconds: float) -> str:
    """Return a duration without milliseconds beside seconds: "1.25s", not "1s250ms"; then of four digits."""
    exact = exact_duration(seconds)
    return f"{seconds:.4g}s" if exact.endswith("ms") and seconds >= 1 else exact


def plan_text(plan: CheckPlan, targets: Sequence[Target]) -> str:
    """Return the plan in one line."""
    names = ", ".join(target.service for target in targets[:NAMED]) + (" ..." if len(targets) > NAMED else "")
    return (
        f"checking {names} for {exact_duration(plan.span)}, every {seconds_text(plan.interval)},"
        f" in {int(plan.span / plan.block + 0.01)} blocks of {seconds_text(plan.block)}"
    )
