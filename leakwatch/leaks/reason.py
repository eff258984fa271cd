"""Says in one plain sentence why a stack is called a leak. Pure."""

import math
from collections.abc import Sequence

from leakwatch.leaks.model import Findings
from leakwatch.model import Growth, Judgement, Verdict
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration

NOBODY = 0.05  # departures per minute that round to none
SAME = 1.5  # a change of departures by less is none


def sentence(verdict: Verdict, judgements: Sequence[Judgement], goroutines: int, since: float, time: float) -> str:
    """Return why, from the judgements of those targets that were judged.

    `goroutines` are those of now, `since` is when what the verdict says began, `time` is now.
    """
    before = sum(judgement.before for judgement in judgements)
    began = min(judgement.since for judgement in judgements)
    known = [judgement.left for judgement in judgements if judgement.left is not None]
    left = departures(sum(first for first, _ in known), sum(last for _, last in known)) if known else ""
    grew = rate([judgement.grew for judgement in judgements])
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


def with_proof(why: str, verdict: Verdict, proven: int | None) -> str:
    """Return `why` with what the runtime says: how many are `proven` to be leaked, None if it was not asked."""
    if proven is None or verdict < Verdict.SUSPECTED:
        return why
    if proven:
        return f"{why}; proven: the runtime says that nothing can wake {proven:,} of them"
    return f"{why}; reachable: the runtime sees a way they could still end"


def departures(before: float, now: float) -> str:
    """Return what is to be said of goroutines that leave, per second before and now."""
    before, now = 60 * before, 60 * now
    if max(before, now) < NOBODY:
        return " while nobody left"
    if max(before, now) <= SAME * min(before, now):
        return f" while departures stayed at {figure(now)} per minute"
    return f" while departures went from {figure(before)} to {figure(now)} per minute"


def rate(growths: Sequence[Growth]) -> str:
    """Return the rate of all together per hour, with its band; the slow ones per day."""
    total = combined(growths)
    unit, seconds = ("h", 3600) if abs(total.rate) * 3600 >= 1 else ("d", 86400)
    rate, low, high = (figure(seconds * value) for value in (total.rate, total.low, total.high))
    return f"{'' if rate.startswith('-') else '+'}{rate}/{unit} ({low} to {high})"


def figure(value: float) -> str:
    """Return `value` with three digits that count: "0.42", "152", "18,000"."""
    shown = float(f"{value:.3g}") + 0.0  # no -0
    return f"{shown:,.0f}" if abs(shown) >= 100 else f"{shown:g}"


def combined(growths: Sequence[Growth]) -> Growth:
    """Return the growth of all together; the errors of different targets are independent."""
    total = sum(growth.rate for growth in growths)
    low = sum((growth.rate - growth.low) ** 2 for growth in growths) ** 0.5
    high = sum((growth.high - growth.rate) ** 2 for growth in growths) ** 0.5
    return Growth(total, total - low, total + high)


def how_long(findings: Findings) -> str:
    """Return how long the goroutines have waited, as a dump says or else as the counts prove; "" if unknown."""
    known = ages(findings.waiting) if findings.waiting else None
    if known and known.oldest is not None:
        half = "" if known.median is None else f", half of them {_minutes(known.median)} or longer"
        return f"The oldest has waited for {_minutes(known.oldest)}{half}."
    if not findings.older:
        return ""
    seconds, goroutines = max(findings.older.items())
    return f"At least {goroutines:,} of them are older than {format_duration(seconds)}."


def started_by(findings: Findings) -> str:
    """Return who created most of the goroutines, as a full dump says; "" if unknown."""
    if not findings.waiting or not findings.waiting.creators:
        return ""
    frame = next(iter(findings.waiting.creators))
    place = f" at {frame.file}:{frame.line}" if frame.file else ""
    return f"Created by {frame.function}{place}."


def unknown(findings: Findings) -> str:
    """Return what could not be learned and why; "" where nothing is missing."""
    return "; ".join(f"{what}: {why}" for what, why in sorted(findings.missing.items()))


def _minutes(minutes: int) -> str:
    return format_duration(60 * minutes)
