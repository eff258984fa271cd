"""Words and number formats of a leak, for the log, alerts, pages, the API and the commands. Pure."""

from datetime import UTC, datetime
from typing import Final, Literal

from leakwatch.leaks.labels import shown
from leakwatch.leaks.model import Caller, Findings, Leak, Limit, MemoryCost, RelatedStack
from leakwatch.model import Frame, Growth, Stack
from leakwatch.profile.escape import printable
from leakwatch.profile.wait_times import ages
from leakwatch.settings.units import format_duration, format_size

LEAST_STACK: Final = "at least 2 KiB each"
AVERAGE_STACK: Final = "the average stack of the process"
STACKS: Final = "by the growth of all stacks"
HEAP: Final = "by the growth of resident memory"
OPENED: Final = {"certain": "Opened", "likely": "Probably opened", "possible": "Perhaps opened"}
CALLED: Final = {"certain": "Called", "likely": "Probably called", "possible": "Perhaps called"}
LABEL_NOUNS: Final = {
    "trace endpoint": "endpoint",
    "span_name": "span",
    "http.route": "route",
    "http_route": "route",
    "rpc.method": "method",
    "grpc.method": "method",
}
"""Key of a label -> its noun, if that differs."""
MEDIUM: Final = 0.5  # the score that confirms a leak, and the largest confidence in the first two hours
HIGH: Final = 0.8  # twice this score
RateUnit = Literal["min", "h"]
"""Unit of the rates in sentences: goroutines per minute or per hour."""
UNIT_SECONDS: Final[dict[RateUnit, int]] = {"min": 60, "h": 3600}
YEAR: Final = 365 * 86_400.0  # seconds; a longer forecast is of no use


def short_function(function: str) -> str:
    """Return a function without the path of its package: "pipeline.(*Filter).Run"."""
    name, bracket, type_arguments = function.partition("[")
    return name.rpartition("/")[2] + bracket + type_arguments or function


def file_and_line(frame: Frame) -> str:
    """Return the position of a frame: "/src/shop/filter.go:42", or "" if its file is unknown."""
    return f"{frame.file}:{frame.line}" if frame.file else ""


def format_time(time: float) -> str:
    """Return unix seconds as a date and time in UTC: "2026-11-21 14:54:43 UTC"."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_figure(value: float) -> str:
    """Return a number with three significant digits: "0.42", "152", "18,000"."""
    rounded = float(f"{value:.3g}") + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def format_growth(growth: Growth, unit: RateUnit = "h") -> str:
    """Return a growth with its band: "+152/h (140 to 163)"; per day if it is below 1 per hour."""
    name, seconds = ("d", 86400) if unit == "h" and abs(growth.rate) * 3600 < 1 else (unit, UNIT_SECONDS[unit])
    rate, low, high = (format_figure(seconds * value) for value in (growth.rate, growth.low, growth.high))
    return f"{'' if rate.startswith('-') else '+'}{rate}/{name} ({low} to {high})"


def confidence_word(confidence: float) -> str:
    """Return "low", "medium" or "high": a confidence is not a probability, so texts do not show it as a number."""
    return "high" if confidence >= HIGH else "medium" if confidence >= MEDIUM else "low"


def per_hour(rate: float, digits: int = 3) -> float:
    """Return a rate per second as a rate per hour, with `digits` decimals, never -0.0."""
    return round(3600 * rate, digits) + 0.0


def headline(leak: Leak) -> str:
    """Return a leak in one line: verdict, blamed function (escaped), reason and wait reason."""
    wait = f", blocked in {leak.stack.wait}" if leak.stack.wait else ""
    return f"{leak.verdict.word}: {printable(leak.stack.blamed.function)}: {leak.reason}{wait}"


def stack_line(stack: Stack) -> str:
    """Return function, place and wait reason of a stack: "main.Charge (charge.go:41) [select]"."""
    file = stack.blamed.file.rpartition("/")[2]
    place = f" ({file}:{stack.blamed.line})" if file else ""
    return f"{stack.blamed.function}{place}" + (f" [{stack.wait}]" if stack.wait else "")


def related_line(related: RelatedStack, unit: RateUnit = "h") -> str:
    """Return a stack that belongs to a leak, with its goroutines and its rate."""
    each = UNIT_SECONDS[unit] * related.grew.rate
    rate = f", {'+' if each > 0 else ''}{format_figure(each)}/{unit}" if each else ""
    return f"{stack_line(related.stack)}: {related.goroutines:,} goroutines{rate}"


def holder_sentence(leak: Leak) -> str:
    """Return what the goroutines probably wait for, "" if nothing was found."""
    if not leak.holders:
        return ""
    stacks = ", ".join(stack_line(holder.stack) for holder in leak.holders)
    return f"They probably wait for {stacks}, which {'has' if len(leak.holders) == 1 else 'have'} not moved."


def cause_sentence(leak: Leak) -> str:
    """Return the likely cause as a sentence, "" if none is known."""
    return f"Looks like: {leak.cause.title}." if leak.cause else ""


def fix_text(leak: Leak) -> str:
    """Return the fix of the likely cause, with its code on further lines; "" if no cause is known."""
    if leak.cause is None:
        return ""
    fixed = [f"{module} {fixed.version}" for module, fixed in leak.cause.fixed_in.items()]
    upgrade = f" Fixed in {', '.join(fixed)}." if fixed else ""
    return f"{leak.cause.fix}{upgrade}" + (f"\n{leak.cause.code}" if leak.cause.code else "")


def waiting_sentence(findings: Findings) -> str:
    """Return how long the goroutines have waited: from a full dump, else from the counts; "" if unknown."""
    waiting = ages(findings.waiting) if findings.waiting else None
    if waiting and waiting.oldest is not None:
        median = "" if waiting.median is None else f", half of them {_minutes(waiting.median)} or longer"
        return f"The oldest has waited for {_minutes(waiting.oldest)}{median}."
    if not findings.older:
        return ""
    seconds, goroutines = max(findings.older.items())
    return f"At least {goroutines:,} of them are older than {format_duration(seconds)}."


def creator_sentence(findings: Findings) -> str:
    """Return which function created most of the goroutines, from a full dump; "" if unknown."""
    if not findings.waiting or not findings.waiting.creators:
        return ""
    frame = next(iter(findings.waiting.creators))
    position = f" at {file_and_line(frame)}" if frame.file else ""
    return f"Created by {frame.function}{position}."


def caller_sentence(leak: Leak) -> str:
    """Return where a leak without own code is opened, and for which label it is called; "" if unknown."""
    opened = next((_opened(caller, caller.function) for caller in leak.callers if caller.function), "")
    called = next((_called(caller) for caller in leak.callers if caller.label), "")
    return f"{opened} {called}".strip()


def _opened(caller: Caller, frame: Frame) -> str:
    place = f" ({printable(frame.file).rpartition('/')[2]}:{frame.line})" if frame.file else ""
    share = _percent(caller.share)
    match caller.way, caller.certainty:
        case "ancestors", _:
            reason = f"{share} of the goroutines in the full dump descend from this call"
        case "creator", "certain":
            reason = f"{share} of the goroutines in the full dump were started there"
        case "creator", _:
            reason = f"the goroutines that started {share} of them run there now"
        case "heap", _:
            reason = f"{share} of the heap that {caller.part} holds for own code was allocated there"
        case _:
            reason = f"other goroutines call {caller.part} there"
    hint = f" (only a hint: much code calls {caller.part})" if caller.is_weak else ""
    function = printable(short_function(frame.function))
    return f"{OPENED[caller.certainty]} in {function}{place}: {reason}{hint}."


def _called(caller: Caller) -> str:
    noun = LABEL_NOUNS.get(caller.label, caller.label)
    label = f"label {caller.label}, {_percent(caller.share)}"
    return f"{CALLED[caller.certainty]} for {noun} {printable(caller.value)} ({label})."


def _percent(share: float | None) -> str:
    return "some" if share is None else f"{100 * share:.0f} %"


def missing_findings(findings: Findings) -> str:
    """Return which findings are missing, each with the reason; "" if none is missing."""
    return "; ".join(f"{finding}: {reason}" for finding, reason in sorted(findings.unavailable.items()))


def memory_sentence(cost: MemoryCost) -> str:
    """Return the bytes that a leak holds, their source, their growth, and the time until a memory limit."""
    each, growth = cost.per_goroutine, cost.per_second
    held = format_size(each.value * cost.goroutines)
    is_bound = cost.source.startswith(LEAST_STACK)  # the reason behind it belongs to the missing findings
    source = LEAST_STACK if is_bound else f"{format_size(each.value)} each: {cost.source}"
    value, low, high = (format_size(max(3600 * rate, 0.0)) for rate in (growth.value, growth.low, growth.high))
    more = f", {value} more per hour ({low} to {high})" if 3600 * growth.value >= 1 else ""
    return f"They hold {held} ({source}){more}.{_until(cost.limit)}"


def _until(limit: Limit | None) -> str:
    if limit is None:
        return ""
    soonest, latest = limit.soonest, limit.latest
    if soonest is None and latest is not None:
        when = f"in {_forecast(latest)} at the latest"
    elif soonest is not None and latest is None:
        when = f"in {_forecast(soonest)} at the soonest"
    else:
        when = f"in {_forecast(soonest or 0.0)} to {_forecast(latest or 0.0)}"
    return f" At this rate, {shown(limit.target)} reaches its memory limit of {format_size(limit.size)} {when}."


def _forecast(seconds: float) -> str:
    return format_duration(max(seconds, 1.0)) if seconds < YEAR else "more than a year"


def _minutes(minutes: int) -> str:
    return format_duration(60 * minutes)
