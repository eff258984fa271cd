"""Jinja filters that format names, numbers and times. Pure."""

import re
from datetime import UTC, datetime

from markupsafe import Markup

from leakwatch.causes.model import is_code
from leakwatch.leaks.wording import format_figure, format_time, short_function
from leakwatch.settings.units import format_duration, format_size

LONGEST = 240
"""Characters of a name that lists show."""
UNKNOWN = "\N{EN DASH}"
SECOND_UNIT = re.compile(r"(?<=[a-z])(?=\d)")
"""The position between "2h" and "10m"."""
DURATION = re.compile(r"(?<=\b\d[dhm])(?=\d+(?:h|m|s)\b)|(?<=\b\d\d[dhm])(?=\d+(?:h|m|s)\b)")
"""The position between the two parts of a duration inside a text."""
ISSUE = re.compile(r"https://github\.com/([^/]+/[^/]+)/(?:issues|pull)/(\d+)")
SMALL = 10  # smaller rates have one decimal


def number(value: float | None) -> str:
    """Return a count with separators: "1,340"."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a rate per hour with three significant digits: "+18,000", "+0.4", "0"."""
    if value is None:
        return UNKNOWN
    value = round(float(f"{value:.3g}"), 0 if abs(value) >= SMALL else 1)
    return f"{value:+,.1f}".replace("-", "\N{MINUS SIGN}").removesuffix(".0") if value else "0"


def change(value: float) -> str:
    """Return a change of a count: "+13,438", "0"."""
    return f"{value:+,.0f}".replace("-", "\N{MINUS SIGN}") if round(value) else "0"


def since(time: float, now: float) -> str:
    """Return how long ago a time was, in whole seconds: "2h 10m", "0s"."""
    seconds = max(round(now - time), 0)
    return duration(seconds) if seconds else "0s"


def figure(value: float) -> str:
    """Return a growth per hour of a short time, rounded to three significant digits: "+2,550"."""
    return f"+{format_figure(value)}"


def percent(ratio: float | None) -> str:
    """Return a ratio: "97 %", "0.4 %"."""
    if ratio is None:
        return UNKNOWN
    return f"{ratio:.0%}"[:-1] + " %" if ratio >= 0.1 or not ratio else f"{100 * ratio:.2g} %"


def duration(seconds: float | None) -> str:
    """Return seconds for people: "2h 10m"."""
    if seconds is None:
        return UNKNOWN
    text = format_duration(max(seconds, 0.0))
    return text if text.endswith("ms") else SECOND_UNIT.sub(" ", text)


def spaced(text: str) -> str:
    """Return a text with its durations as pages show them: "7m 29s" instead of "7m29s"."""
    return DURATION.sub(" ", text)


def moment(time: float | None) -> str:
    """Return a time for people, in UTC: "2026-11-21 14:54:43 UTC"."""
    return UNKNOWN if time is None else format_time(time)


def clock(time: float | None, now: float) -> str:
    """Return a time in UTC, with the date unless it is today: "14:54 UTC", "Nov 20 14:54 UTC"."""
    if time is None:
        return ""
    date, today = datetime.fromtimestamp(time, UTC), datetime.fromtimestamp(now, UTC)
    return f"{date:%H:%M} UTC" if date.date() == today.date() else f"{date:%b %d %H:%M} UTC"


def iso(time: float) -> str:
    """Return a time in ISO 8601: "2026-11-21T14:54:43Z"."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def cut(text: str, longest: int = LONGEST) -> str:
    """Return at most `longest` characters of `text`, and an ellipsis if it was cut."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def short(function: str) -> str:
    """Return a function without the path of its package: "pipeline.(*Filter).Run"."""
    return cut(short_function(function))


def place(file: str, line: int = 0) -> str:
    """Return the last three parts of a path, with the line: "shop/pipeline/filter.go:42"."""
    if not file:
        return ""
    parts = file.split("/")
    end = "/".join(parts[-3:]) if len(parts) > 4 else file
    return cut(end) + (f":{line}" if line else "")


def code(text: str) -> Markup:
    """Return a text of leakwatch with its parts between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


def reference(url: str) -> str:
    """Return a short name of a reference: "golang/go#16953" of an issue on GitHub, else its host."""
    issue = ISSUE.fullmatch(url)
    return f"{issue[1]}#{issue[2]}" if issue else url.partition("://")[2].partition("/")[0]


FILTERS = {
    "size": format_size,
    **{
        function.__name__: function
        for function in (
            number,
            rate,
            change,
            since,
            figure,
            percent,
            duration,
            spaced,
            moment,
            clock,
            iso,
            cut,
            short,
            place,
            code,
            reference,
            is_code,
        )
    },
}
