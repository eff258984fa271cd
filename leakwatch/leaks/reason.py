"""The reason of a verdict as one sentence, and the findings as text. Pure."""

import math
from collections.abc import Sequence

from leakwatch.leaks.model import Findings
from leakwatch.model import Growth, Judgement, Verdict
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration

NO_DEPARTURES = 0.05  # departures per minute that count as none
SAME = 1.5  # factor up to which departures are the same


def sentence(verdict: Verdict, judgements: Sequence[Judgement], goroutines: int, since: float, time: float) -> str:
    """Return the reason of a verdict.

    `judgements`: of the targets behind the verdict; `goroutines`: current number; `since`: beginning of the state
    that the verdict describes; `time`: now.
    """
    before = sum(judgement.before for judgement in judgements)
    began = min(judgement.since for judgement in judgements)
    pairs = [judgement.left for judgement in judgements if judgement.left is not None]
    left = departures(sum(before for before, _ in pairs), sum(now for _, now in pairs)) if pairs else ""
    grew = rate([judgement.grew for judgement in judgements])
    stood = format_duration(max(time - since, 1.0))
    if verdict is Verdict.RECOVERED:
        return f"grew by {grew}, and has been back at {goroutines} for {stood}"
    if all(judgement.restarted for judgement in judgements):
        return f"grew by {grew} until the process ended; watching whether the next does the same"
    if math.isnan(before):
        growth = f"grew by {sum(judgement.gained for judgement in judgements):.0f} on all targets"
    else:
        growth = f"grew from {before:.0f} to {goroutines}"
    if verdict is Verdict.PLATEAU:
        return f"{growth} by {grew}, and has not grown for {stood}"
    return f"{growth} in {format_duration(max(time - began, 1.0))}{left}; {grew}"


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
        return f" while departures stayed at {figure(now)} per minute"
    return f" while departures went from {figure(before)} to {figure(now)} per minute"


def rate(growths: Sequence[Growth]) -> str:
    """Return the sum of all growths per hour with its band, or per day if it is slow."""
    total = combined(growths)
    unit, seconds = ("h", 3600) if abs(total.rate) * 3600 >= 1 else ("d", 86400)
    rate, low, high = (figure(seconds * value) for value in (total.rate, total.low, total.high))
    return f"{'' if rate.startswith('-') else '+'}{rate}/{unit} ({low} to {high})"


def figure(value: float) -> str:
    """Return `value` with three significant digits: "0.42", "152", "18,000"."""
    shown = float(f"{value:.3g}") + 0.0  # no -0
    return f"{shown:,.0f}" if abs(shown) >= 100 else f"{shown:g}"


def combined(growths: Sequence[Growth]) -> Growth:
    """Return the sum of all growths; the errors of different targets are independent."""
    total = sum(growth.rate for growth in growths)
    low = sum((growth.rate - growth.low) ** 2 for growth in growths) ** 0.5
    high = sum((growth.high - growth.rate) ** 2 for growth in growths) ** 0.5
    return Growth(total, total - low, total + high)


def how_long(findings: Findings) -> str:
    """Return the ages of the goroutines by a full dump, else by their counts; "" if unknown."""
    times = ages(findings.waiting) if findings.waiting else None
    if times and times.oldest is not None:
        half = "" if times.median is None else f", half of them {_minutes(times.median)} or longer"
        return f"The oldest has waited for {_minutes(times.oldest)}{half}."
    if not findings.older:
        return ""
    seconds, goroutines = max(findings.older.items())
    return f"At least {goroutines:,} of them are older than {format_duration(seconds)}."


def started_by(findings: Findings) -> str:
    """Return the creator of most of the goroutines by a full dump; "" if unknown."""
    if not findings.waiting or not findings.waiting.creators:
        return ""
    frame = next(iter(findings.waiting.creators))
    place = f" at {frame.file}:{frame.line}" if frame.file else ""
    return f"Created by {frame.function}{place}."


def unknown(findings: Findings) -> str:
    """Return the probes without a result, and why; "" if all have results."""
    return "; ".join(f"{probe}: {error}" for probe, error in sorted(findings.unavailable.items()))


def _minutes(minutes: int) -> str:
    return format_duration(60 * minutes)
