"""What a check says: which targets leak, which do not, which it could not tell of and why. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.detect.columns import BLOCKS, SCRAPES_PER_BLOCK
from leakwatch.detect.detector import CONFIRM_BLOCKS
from leakwatch.detect.growth import quarter_columns
from leakwatch.detect.history import History
from leakwatch.detect.windows import BLOCK_WINDOWS
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Target, Verdict
from leakwatch.settings.units import exact_duration, format_duration

CLEAN, LEAKS, UNKNOWN = 0, 1, 2  # exit statuses
WORDS: Final = {CLEAN: "clean", LEAKS: "leaking", UNKNOWN: "unknown"}
LONGEST: Final = 300.0  # seconds of a block
WHOLE: Final = next(window for window in BLOCK_WINDOWS if window.columns == BLOCKS)
GROWN: Final = 1.01  # of a block that has doubled, whatever rounding did
RISE: Final = 0.75  # of a window lies between the middles of its first and its last quarter


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """For how long to look, how often, and what to count in; all in seconds."""

    span: float
    interval: float
    block: float

    @property
    def smallest(self) -> float:
        """The slowest leak that can be told, in goroutines per second."""
        return WHOLE.min_growth / (RISE * BLOCKS * self.block)


@dataclass(frozen=True, slots=True)
class TargetResult:
    """One target: how many scrapes were good and how many were not, how often it restarted.

    `why`: why it could not be judged, "" if it could; `notes`: what else is to be said of it.
    """

    target: Target
    scrapes: int
    failed: int
    restarts: int
    interval: float
    block: float
    span: float
    """Seconds between the first and the last good scrape."""
    goroutines: int
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What to call it."""
        service, name = self.target.service, self.target.name
        return name if service == name else f"{service} ({name})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check says in all; `stopped`: before its time; `strict`: a suspicion counts as a leak."""

    terms: CheckPlan
    checked: Sequence[TargetResult]
    leaks: Sequence[Leak]
    suspects: Sequence[Leak]
    stopped: bool = False
    strict: bool = False

    @property
    def unknown(self) -> list[TargetResult]:
        """The targets that could not be judged."""
        return [one for one in self.checked if one.why]

    @property
    def is_leaking(self) -> list[Leak]:
        """What makes the check fail."""
        return [*self.leaks, *(self.suspects if self.strict else ())]

    @property
    def status(self) -> int:
        """The exit status."""
        if self.stopped:
            return UNKNOWN
        if self.is_leaking:
            return LEAKS
        return UNKNOWN if self.unknown else CLEAN


def choose_terms(span: float, interval: float, block: float | None) -> CheckPlan:
    """Return how to look for `span` seconds; raises ValueError where that is too short to judge.

    24 blocks are what a verdict takes, and 5 scrapes in each what it takes to see goroutines leave.
    """
    shortest = SCRAPES_PER_BLOCK * interval
    if block is not None and block < shortest:
        raise ValueError(
            f"--block {exact_duration(block)}: too short: it must hold {SCRAPES_PER_BLOCK} scrapes, which at"
            f" --interval {exact_duration(interval)} takes {exact_duration(shortest)}"
        )
    needed = BLOCKS * (block or shortest)
    if span < needed:
        at = f"--block {exact_duration(block)}" if block else f"--interval {exact_duration(interval)}"
        raise ValueError(
            f"--for {exact_duration(span)}: too short to judge: at {at} it takes at least {exact_duration(needed)}"
            f" ({BLOCKS} blocks)"
        )
    return CheckPlan(span, interval, block or min(span / BLOCKS, max(LONGEST, shortest)))


class Looks:
    """Counts how often in a row all windows of a check could be looked at, which a verdict takes three of."""

    def __init__(self) -> None:
        self._closed = 0
        self._running = 0

    def follow(self, history: History) -> None:
        """Take in what a scrape may have closed."""
        if history.closed == self._closed:
            return
        self._closed = history.closed
        self._running = self._running + 1 if quarter_columns(history.blocks, WHOLE) is not None else 0

    @property
    def enough(self) -> bool:
        """Whether a leak would have been told."""
        return self._running >= CONFIRM_BLOCKS


def why_unknown(
    state: TargetState, terms: CheckPlan, *, scrapes: int, failed: int, stopped: bool, error: str
) -> str:
    """Return why a target that answered was not judged; `error`: of the latest scrape."""
    block, times = state.history.block, "" if state.restarts == 1 else f" {state.restarts} times"
    reasons = (
        (state.process_tracker.mixed, "several processes answer in turn: check them one by one"),
        (stopped, "stopped before its time"),
        (error, f"it answers no more: {error}"),
        (
            state.restarts,
            f"its process restarted{times}: one process has to be watched for {exact_duration(terms.span)}",
        ),
        (
            block > GROWN * terms.block,
            (
                f"scraping every {exact_duration(terms.interval)} would cost it too much: it takes --for"
                f" {format_duration(BLOCKS * block)} at least, or a higher --cost-limit"
            ),
        ),
    )
    few = (
        f"only {scrapes} of {terms.span / terms.interval:.0f} scrapes were made, and {failed} failed, with gaps"
        " too long to judge: it takes a longer --for, or a higher --cost-limit"
    )
    return next((why for holds, why in reasons if holds), few)


def split(leaks: Sequence[Leak]) -> tuple[list[Leak], list[Leak]]:
    """Return the leaks, then what is suspected only; what has stopped growing is neither."""
    ordered = sorted(leaks, key=lambda leak: -leak.grew.rate)
    found = [leak for leak in ordered if leak.verdict >= Verdict.LEAKING]
    return found, [leak for leak in ordered if leak.verdict is Verdict.SUSPECTED]


def conclusion(outcome: Outcome) -> str:
    """Return the result in one line."""
    terms, judged = outcome.terms, [one for one in outcome.checked if not one.why]
    watched = max((one.span for one in outcome.checked), default=0.0)
    parts = []
    if outcome.leaks:
        parts.append("1 leak" if len(outcome.leaks) == 1 else f"{len(outcome.leaks)} leaks")
    if outcome.suspects:
        parts.append(f"{len(outcome.suspects)} suspected only")
    if outcome.unknown:
        parts.append(f"could not tell of {len(outcome.unknown)} of {len(outcome.checked)} targets")
    if not outcome.leaks and judged:
        parts.insert(0, "no leak")
    scrapes = sum(one.scrapes for one in outcome.checked)
    slow = "" if not judged else f"; less than {60 * terms.smallest:.0f} goroutines a minute could not be seen"
    return (
        f"{', '.join(parts)}; watched for {exact_duration(round(watched))}, {scrapes} scrapes,"
        f" blocks of {exact_duration(terms.block)}{slow}"
    )


def plan(terms: CheckPlan, targets: Sequence[Target]) -> str:
    """Return what is going to be done, in one line."""
    names = ", ".join(target.service for target in targets[:3]) + (" ..." if len(targets) > 3 else "")
    return (
        f"watching {names} for {exact_duration(terms.span)}, every {exact_duration(terms.interval)},"
        f" in {int(terms.span / terms.block + 0.01)} blocks of {exact_duration(terms.block)}"
    )
