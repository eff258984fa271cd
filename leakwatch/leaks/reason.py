"""The reason of a leak: one sentence that explains its verdict. Pure."""

import math
from collections.abc import Sequence

from leakwatch.leaks.wording import format_figure, format_growth
from leakwatch.model import Growth, Judgement, Verdict
from leakwatch.settings.units import format_duration

NONE = 0.05  # departures per minute; fewer are reported as none
SAME = 1.5  # ratio of departures; a smaller change is not reported


def sentence(verdict: Verdict, judgements: Sequence[Judgement], goroutines: int, since: float, time: float) -> str:
    """Return the reason of a verdict, from the judgements of the targets.

    `goroutines` is the count at `time`; `since` is when the state that the verdict describes began.
    """
    before = sum(judgement.before for judgement in judgements)
    began = min(judgement.since for judgement in judgements)
    rates = [judgement.left for judgement in judgements if judgement.left is not None]
    left = departures(sum(first for first, _ in rates), sum(last for _, last in rates)) if rates else ""
    grew = format_growth(combined([judgement.grew for judgement in judgements]))
    stood = format_duration(max(time - since, 1.0))
    if verdict is Verdict.RECOVERED:
        return f"grew by {grew}, and has been back at {goroutines} for {stood}"
    if all(judgement.restarted for judgement in judgements):
        return f"grew by {grew} until the process ended; watching whether the next does the same"
    if math.isnan(before):
        how_much = f"grew by {sum(judgement.gained for judgement in judgements):.0f} on all targets"
    else:
        how_much = f"grew from {before:.0f} to {goroutines}"
    if verdict is Verdict.PLATEAU:
        return f"{how_much} by {grew}, and has not grown for {stood}"
    return f"{how_much} in {format_duration(max(time - began, 1.0))}{left}; {grew}"


def with_proof(reason: str, verdict: Verdict, proven: int | None) -> str:
    """Return `reason` with the number of goroutines `proven` by Go's runtime, None if there is no proof yet."""
    if proven is None or verdict < Verdict.SUSPECTED:
        return reason
    if proven:
        return f"{reason}; proven: the runtime reports that nothing can wake {proven:,} of them"
    return f"{reason}; reachable: the runtime sees a way they could still end"


def departures(before: float, now: float) -> str:
    """Return the part of the reason about departures, from their rates per second then and now."""
    before, now = 60 * before, 60 * now
    if max(before, now) < NONE:
        return " with no departures"
    if max(before, now) <= SAME * min(before, now):
        return f" while departures stayed at {format_figure(now)} per minute"
    return f" while departures went from {format_figure(before)} to {format_figure(now)} per minute"


def combined(growths: Sequence[Growth]) -> Growth:
    """Return the sum of growths; the errors of different targets are independent."""
    total = sum(growth.rate for growth in growths)
    low = sum((growth.rate - growth.low) ** 2 for growth in growths) ** 0.5
    high = sum((growth.high - growth.rate) ** 2 for growth in growths) ** 0.5
    return Growth(total, total - low, total + high)
