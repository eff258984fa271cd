"""Sentences and texts of the page of a leak. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

from leakwatch.leaks.wording import LEAST_STACK, format_figure
from leakwatch.settings.units import format_size
from leakwatch.web.api.models.findings import MemoryCost
from leakwatch.web.api.models.leaks import Frame, Leak
from leakwatch.web.pages.filters import cut, duration, moment, number, place, rate, short

NEWEST: Final = 20
"""Targets of an issue."""
SILENCE_LABELS: Final = ("alertname", "service", "stack")
"""Labels that identify the alert of a leak; the others may change while it fires."""
BUILD: Final = 12  # characters of a build


def fact(leak: Leak) -> str:
    """Return what a leak does, since when, and when a memory limit is reached."""
    function, count = short(leak.function), f"{leak.goroutines:,}"
    held = "goroutine is" if leak.goroutines == 1 else "goroutines are"
    match leak.verdict:
        case "recovered":
            return f"{leak.service} no longer leaks in {function}; {count} {held} there now."
        case "plateau":
            return f"The leak of {leak.service} in {function} has stopped growing; {count} {held} still there."
        case "suspected":
            verb = "may leak"
        case _:
            verb = "leaks"
    per_hour, since = leak.growth_per_hour.value, _since(leak)
    if not per_hour:
        leaked = "a goroutine" if leak.goroutines == 1 else "goroutines"
        return f"{leak.service} {verb} {leaked} in {function}{since}. {count} {held} there now."
    pace = f"about {format_figure(per_hour)} goroutines per hour"
    return f"{leak.service} {verb} {pace} in {function}{since}. {count} {held} there now.{limit(leak)}"


def _since(leak: Leak) -> str:
    if leak.first_seen is None:
        return ""
    return f" since {moment(leak.first_seen)} ({duration(leak.now - leak.first_seen)} ago{_build(leak)})"


def _build(leak: Leak) -> str:
    """Return the build of the targets on which the leak grows, if they have the same one."""
    builds = {target.build for target in leak.on if target.judged and target.build}
    return f", with build {cut(builds.pop(), BUILD)}" if len(builds) == 1 else ""


def limit(leak: Leak) -> str:
    """Return when the first target reaches its memory limit, "" if no limit is known."""
    reached = leak.memory.limit if leak.memory else None
    if reached is None:
        return ""
    times = [duration(time) for time in (reached.soonest_seconds, reached.latest_seconds) if time is not None]
    when = " to ".join(dict.fromkeys(times))
    bound = " at the latest" if reached.soonest_seconds is None else " at the soonest"
    return f" At this rate, {reached.target} reaches its memory limit in {when}{bound if len(times) == 1 else ''}."


def memory(cost: MemoryCost) -> str:
    """Return the memory that a leak holds, how it was measured, and its growth."""
    each, growth = cost.bytes_each, cost.bytes_per_hour
    measured = "" if cost.source.startswith(LEAST_STACK) else f", measured by {cost.source.removeprefix('by ')}"
    held = f"{'About' if measured else 'At least'} {format_size(cost.bytes)} held"
    more = f"growing by {format_size(growth.value)}/h ({format_size(growth.low)} to {format_size(growth.high)})"
    return f"{held} ({format_size(each.value)} per goroutine{measured})" + (
        f", {more}." if growth.value >= 1 else "."
    )


def stack_text(frames: Sequence[Frame], creator: Frame | None) -> str:
    """Return a stack as Go prints it, leaf first, with the creator if it is known."""
    created = [f"created by {_frame(creator)}"] if creator else []
    return "\n".join([*map(_frame, frames), *created])


def _frame(frame: Frame) -> str:
    return f"{frame.function}\n\t{frame.file}:{frame.line}" if frame.file else frame.function


def issue(leak: Leak, stack: str, url: str) -> str:
    """Return a leak as Markdown for an issue."""
    text = "\n".join(_issue(leak, stack, url))
    return text.replace("\r", " ")


def _issue(leak: Leak, stack: str, url: str) -> Iterator[str]:
    yield f"**{_line(fact(leak))}**"
    yield ""
    yield f"- Growth: {rate(leak.growth_per_hour.value)}/h{_band(leak)}"
    if leak.wait or leak.file:
        wait = f"{_line(leak.wait)} at " if leak.wait else ""
        yield f"- Blocked in: {wait}{_code(place(leak.file, leak.line) or leak.function)}"
    if leak.memory:
        yield f"- Memory: {_line(memory(leak.memory))}"
    names = ", ".join(_code(name) for name in leak.targets[:NEWEST])
    yield f"- Targets: {number(leak.targets_total)} ({names})"
    if leak.cause:
        yield f"- Likely cause: {leak.cause.title}. {leak.cause.fix}"
    if leak.caller:
        yield f"- {_line(leak.caller)}"
    if leak.owner:
        yield f"- Owner: {_line(leak.owner)}"
    yield f"- Page: {url}"
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", stack)), default=0))
    yield from ("", fence, stack, fence)


def _band(leak: Leak) -> str:
    low, high = leak.growth_per_hour.low, leak.growth_per_hour.high
    return "" if low is None or high is None else f" ({rate(low)} to {rate(high)})"


def _line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{_line(text).replace('`', ' ')}`"


def silence_url(alertmanager: str, labels: dict[str, str]) -> str:
    """Return the page of Alertmanager on which a silence for an alert can be created, "" without Alertmanager."""
    if not alertmanager:
        return ""
    matchers = ", ".join(f"{name}={_quoted(labels[name])}" for name in SILENCE_LABELS if name in labels)
    return f"{alertmanager}/#/silences/new?filter={quote('{' + matchers + '}', safe='')}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
