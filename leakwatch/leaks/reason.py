"""The reason of a verdict as one sentence. Pure."""

import math
from collections.abc import Sequence

from leakwatch.detect.finalizers import WINDOW as FINALIZER
from leakwatch.leaks.wording import RateUnit, format_figure, format_growth
from leakwatch.model import Growth, Judgement, Verdict
from leakwatch.settings.units import format_duration

NO_DEPARTURES = 0.05  # departures per minute that count as none
STILL = 0.1  # share of the growth's duration without growth after which it has ended
SAME = 1.5  # factor up to which departures are the same


def sentence(
    verdict: Verdict,
    judgements: Sequence[Judgement],
    goroutines: int,
    since: float,
    time: float,
    unit: RateUnit = "h",
) -> str:
    """Return the reason of a verdict.

    `judgements`: of the targets behind the verdict; `goroutines`: current number; `since`: beginning of the state
    that the verdict describes; `time`: now; `unit`: of the rate.
    """
    began = min(judgement.since for judgement in judgements)
    grew = format_growth(combined([judgement.grew for judgement in judgements]), unit)
    stood = format_duration(max(time - since, 1.0))
    if all(judgement.window == FINALIZER for judgement in judgements):
        return f"has been in every scrape for {format_duration(max(time - began, 1.0))}: no finalizer can run"
    if verdict is Verdict.RECOVERED:
        return f"grew by {grew}, and has been back at {goroutines:,} for {stood}"
    if all(judgement.restarted for judgement in judgements):
        return f"grew by {grew} until the process ended; it is not clear yet whether the next process leaks too"
    end = _end(judgements, began, time)
    took = format_duration(max(end - began, 1.0))
    stuck = [judgement.stuck for judgement in judgements if judgement.stuck is not None]
    if len(stuck) == len(judgements):
        growth = f"has {sum(stuck):,} stuck goroutines of {goroutines:,}, and none has moved on: {grew}"
        return f"{growth}, but not for {stood}" if verdict is Verdict.PLATEAU else f"{growth} for {took}"
    growth, left = _growth(judgements, goroutines)
    if verdict is Verdict.PLATEAU:
        return f"{growth} by {grew}, and has not grown for {stood}"
    # The window of a pooled judgement may begin after the growth, so it must not read as all of the growth.
    recent = end == time and any(math.isnan(judgement.before) for judgement in judgements)
    return f"{growth} in {'the last ' if recent else ''}{took}{left}; {grew}"


def _growth(judgements: Sequence[Judgement], goroutines: int) -> tuple[str, str]:
    """Return the clause about counts, and the clause about departures, "" if they are unknown."""
    before = sum(judgement.before for judgement in judgements)
    pairs = [judgement.left for judgement in judgements if judgement.left is not None]
    left = departures(sum(before for before, _ in pairs), sum(now for _, now in pairs)) if pairs else ""
    if math.isnan(before):
        return f"grew by {sum(judgement.gained for judgement in judgements):,.0f} on all targets", left
    return f"grew from {before:,.0f} to {goroutines:,}", left


def _end(judgements: Sequence[Judgement], began: float, time: float) -> float:
    """Return when the growth ended: a leak stays leaking for some blocks after its last growth.

    Otherwise "grew from X to Y in T" would contradict the rate: by 43 % in a leak that had just ended.
    """
    rose = max(judgement.rose for judgement in judgements)
    return rose if time - rose > STILL * (rose - began) > 0 else time


def with_proof(reason: str, verdict: Verdict, proven: int | None) -> str:
    """Return the reason with the result of a proof; `proven`: goroutines, None without a proof."""
    if proven is None or verdict < Verdict.SUSPECTED:
        return reason
    if proven:
        return f"{reason}; proven: the runtime reports that nothing can wake {proven:,} of them"
    return f"{reason}; reachable: the runtime reports that they can still end"


def departures(before: float, now: float) -> str:
    """Return the clause about departures per second, before the growth and now."""
    before, now = 60 * before, 60 * now
    if max(before, now) < NO_DEPARTURES:
        return " without departures"
    if max(before, now) <= SAME * min(before, now):
        return f" while departures stayed at {format_figure(now)} per minute"
    return f" while departures went from {format_figure(before)} to {format_figure(now)} per minute"


def combined(growths: Sequence[Growth]) -> Growth:
    """Return the sum of all growths; the errors of different targets are independent."""
    total = sum(growth.rate for growth in growths)
    low = sum((growth.rate - growth.low) ** 2 for growth in growths) ** 0.5
    high = sum((growth.high - growth.rate) ** 2 for growth in growths) ** 0.5
    return Growth(total, total - low, total + high)
