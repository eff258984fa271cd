"""Notation of judge tests: counts over time (`10+1x40, +60/h x 8h`), ranges (`11..13`), shares (`80%`). Pure."""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.errors import quote
from leakwatch.settings.units import parse_duration

PART: Final = re.compile(
    r"(\d+(?:\.\d+)?)?"  # goroutines at the beginning
    r" ?(?:([+-]) ?(\d+(?:\.\d+)?)(?: ?/ ?([smhd]))?)?"  # change, per scrape or per unit of time
    r" ?(?:x ?(\w+))?"  # length, in scrapes or as a duration
)
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MAX_LENGTH: Final = 1e9  # scrapes or seconds
MAX_NUMBER: Final = 1_000_000  # goroutines at the beginning, or per unit of time
ROUNDING: Final = 1e-6  # 0.1 + 0.2 is not 0.3: a count of 2.9999999 is 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the notation; times in seconds, or in scrapes where `unit` or `length_unit` is None.

    `start`: goroutines at the beginning, None to continue from the part before. `change`: goroutines per `unit`.
    `length`: infinite for the last part without a length.
    """

    start: float | None
    change: float
    unit: float | None
    length: float
    length_unit: float | None


def parse_counts(text: str) -> tuple[Part, ...]:
    """Return the parts of counts over time; raises ValueError."""
    texts = [" ".join(part.split()) for part in text.split(",")]
    parts = tuple(map(_parse_part, texts))
    if parts[0].start is None:
        raise ValueError(f"{quote(texts[0])} needs a number of goroutines at the beginning, such as 10+60/h")
    for part, part_text in zip(parts[:-1], texts, strict=False):
        if math.isinf(part.length):
            raise ValueError(f"{quote(part_text)} needs a length, such as x 3h, because another part follows")
    return parts


def _parse_part(text: str) -> Part:
    match = PART.fullmatch(text)
    if match is None or not text:
        raise ValueError(
            f"{quote(text)} is not a count over time; write for example 10+1x40, 10+60/h x 3h, +60/h or 100 x 3h"
        )
    start, sign, change, unit, length = match.groups()
    for number in filter(None, (start, change)):
        if float(number) > MAX_NUMBER:
            raise ValueError(f"{quote(text)}: {quote(number)} is more than {MAX_NUMBER:,}")
    return Part(
        start=float(start) if start else None,
        change=float(sign + change) if change else 0.0,
        unit=UNITS[unit] if unit else None,
        length=math.inf if length is None else _parse_length(length),
        length_unit=None if length and length.isdecimal() else 1.0,
    )


def _parse_length(text: str) -> float:
    """Return a number of scrapes, or the seconds of a duration; raises ValueError."""
    length = int(text) if text.isdecimal() else parse_duration(text)
    if length > MAX_LENGTH:
        raise ValueError(f"{quote(text)} is too long")
    return float(length)


class Counts:
    """Counts over time, in seconds since the start of a process that is scraped at `interval`."""

    def __init__(self, parts: Sequence[Part], interval: float) -> None:
        self._begins: list[float] = []
        self._lines: list[tuple[float, float]] = []
        """Value at the beginning and slope per second, of each part."""
        begin, value = 0.0, 0.0
        for part in parts:
            value = value if part.start is None else part.start
            slope, length = part.change / (part.unit or interval), part.length * (part.length_unit or interval)
            self._begins.append(begin)
            self._lines.append((value, slope))
            begin += length
            value += slope * length if slope else 0.0
        if math.isfinite(begin):
            self._begins.append(begin)
            self._lines.append((value, 0.0))

    def at(self, seconds: float) -> float:
        """Return the count at a time, which is never below 0. After the last part it stays the same."""
        number = bisect_right(self._begins, seconds) - 1
        value, slope = self._lines[number]
        return max(value + slope * (seconds - self._begins[number]), 0.0)


def whole(count: float) -> int:
    """Return the whole goroutines of a count."""
    return math.floor(count + ROUNDING)


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `low` to `high`, with both."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.low:g}"
        low, high = (f"{bound:g}" if math.isfinite(bound) else "" for bound in (self.low, self.high))
        return f"{low}..{high}"


def parse_range(value: object) -> Range:
    """Return the range of `11..13`, `11..`, `..13` or a single number; raises ValueError."""
    text = str(value).strip()
    low, dots, high = text.partition("..")
    try:
        parsed = Range(float(low or -math.inf), float((high or math.inf) if dots else low))
    except ValueError as error:
        raise ValueError(f"{quote(text)} is not a range; write for example 11..13, 11.. or 12") from error
    if text == ".." or not parsed.low <= parsed.high:
        raise ValueError(f"{quote(text)} is not a range from a lower to a higher number")
    return parsed


def parse_share(value: object) -> float:
    """Return the share of a percentage, between 0 and 1; raises ValueError."""
    number, percent, rest = str(value).strip().partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = math.nan
    if not percent or rest or not 0 <= share <= 1:
        raise ValueError(f"{quote(str(value))} is not a share; write for example 80%")
    return share
