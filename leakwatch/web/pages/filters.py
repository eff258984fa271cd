"""How pages say names, numbers and times: filters of the templates. Pure."""

from datetime import UTC, datetime

from leakwatch.leaks.wording import format_time, short_function
from leakwatch.settings.units import format_duration, format_size

LONGEST = 240
"""Letters of a name that are shown; its page has more."""
UNKNOWN = "\N{EN DASH}"
SMALL = 10  # from here on, a rate needs no decimals


def number(value: float | None) -> str:
    """Return a count with separators: "1,340"."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a rate per hour: "+18,000", "+0.4"; never "-0"."""
    if value is None:
        return UNKNOWN
    value = round(value, 0 if abs(value) >= SMALL else 1) + 0.0
    return (f"{value:+,.0f}" if value == int(value) else f"{value:+,.1f}").replace("-", "\N{MINUS SIGN}")


def percent(ratio: float | None) -> str:
    """Return a ratio: "97 %", "0.4 %"."""
    if ratio is None:
        return UNKNOWN
    return f"{ratio:.0%}"[:-1] + " %" if ratio >= 0.1 or not ratio else f"{100 * ratio:.2g} %"


def duration(seconds: float | None) -> str:
    """Return seconds as a person would say them: "2h 10m"."""
    if seconds is None:
        return UNKNOWN
    said = format_duration(max(seconds, 0.0))
    return said if said.endswith("ms") else "".join(_spaced(said))


def _spaced(said: str) -> list[str]:
    return [f" {c}" if c.isdigit() and i and said[i - 1].isalpha() else c for i, c in enumerate(said)]


def moment(time: float | None) -> str:
    """Return a time for people, in UTC: "2026-11-21 14:54:43 UTC"."""
    return UNKNOWN if time is None else format_time(time)


def clock(time: float | None, now: float) -> str:
    """Return a time for people who know today's date, in UTC: "14:54 UTC", "Nov 20 14:54 UTC"."""
    if time is None:
        return ""
    then, today = datetime.fromtimestamp(time, UTC), datetime.fromtimestamp(now, UTC)
    return f"{then:%H:%M} UTC" if then.date() == today.date() else f"{then:%b %d %H:%M} UTC"


def iso(time: float) -> str:
    """Return a time for programs."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def cut(text: str, longest: int = LONGEST) -> str:
    """Return `text`, cut with a mark if it is absurdly long."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def short(function: str) -> str:
    """Return a function without the path of its package: "pipeline.(*Filter).Run"."""
    return cut(short_function(function))


def place(file: str, line: int = 0) -> str:
    """Return the end of a path that names it, with the line: "shop/pipeline/filter.go:42"."""
    if not file:
        return ""
    parts = file.split("/")
    end = "/".join(parts[-3:]) if len(parts) > 4 else file
    return cut(end) + (f":{line}" if line else "")


FILTERS = {
    **{one.__name__: one for one in (number, rate, percent, duration, moment, clock, iso, cut, short, place)},
    "size": format_size,
}
