"""The notation of counts, ranges and shares."""

import re

import pytest

from leakwatch.cli.judge_tests.notation import Counts, parse_counts, parse_range, parse_share, whole

HOUR = 3600.0


def counts(text: str, *hours: float, interval: float = 60.0) -> list[float]:
    """Return the counts at some hours."""
    parsed = Counts(parse_counts(text), interval)
    return [parsed.at(hour * HOUR) for hour in hours]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", [7, 7, 7, 7]),
        ("10+60/h", [10, 70, 130, 190]),
        ("10 + 1/m", [10, 70, 130, 190]),
        ("10+0.5/s x 1h", [10, 1810, 1810, 1810]),
        ("100-48/d", [100, 98, 96, 94]),
        ("100-60/h", [100, 40, 0, 0]),
        ("10 x 1h, 20 x 1h, 5", [10, 20, 5, 5]),
        ("10 x 1h, +60/h x 1h, x 30m, 3", [10, 10, 70, 3]),
        ("10+1x60", [10, 70, 70, 70]),
        ("10+1x60, 50x60, -1x30", [10, 50, 50, 20]),
        ("2x1h30m, 9", [2, 2, 9, 9]),
    ],
)
def test_counts(text: str, expected: list[float]) -> None:
    """Parts follow each other; a part without a start continues, and the last one lasts."""
    assert counts(text, 0, 1, 2, 3) == pytest.approx(expected)


def test_scrapes_are_the_unit_without_another() -> None:
    """As in promtool, 10+1x40 gains 1 at each of 40 scrapes."""
    parsed = Counts(parse_counts("10+1x40"), 15.0)
    assert [whole(parsed.at(15.0 * scrape)) for scrape in range(42)] == [*range(10, 51), 50]


def test_counts_are_whole_at_the_scrape_that_completes_them() -> None:
    """A rounding error does not delay a goroutine by one scrape."""
    parsed = Counts(parse_counts("10+12/h"), 15.0)
    assert [whole(parsed.at(15.0 * scrape)) for scrape in (19, 20, 39, 40, 5760)] == [10, 11, 11, 12, 298]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a count over time; write for example 10+1x40, 10+60/h x 3h, +60/h or 100 x 3h"),
        ("10, ", "'' is not a count over time"),
        ("10, 20", "'10' needs a length, such as x 3h, because another part follows"),
        ("10 20", "'10 20' is not a count over time"),
        ("10+60/w", "'10+60/w' is not a count over time"),
        ("10 x 3h, 20, 30", "'20' needs a length, such as x 3h, because another part follows"),
        ("+60/h", "'+60/h' needs a number of goroutines at the beginning, such as 10+60/h"),
        ("10 x 3q", "'3q' is not a duration"),
        ("ten", "'ten' is not a count over time"),
    ],
)
def test_invalid_counts(text: str, message: str) -> None:
    """An error quotes the invalid part."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse_counts(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("11..13", (11, 12.5, 13), (10.9, 13.1)),
        ("11..", (11, 1e9), (10.9,)),
        ("..13", (-5, 13), (13.1,)),
        ("-2..2", (-2, 0), (-3, 3)),
        ("0.5..1.5", (0.5, 1.5), (0.4, 1.6)),
        (12, (12,), (11, 13)),
    ],
)
def test_ranges(text: object, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    """A range has both of its ends, and each end may be open."""
    parsed = parse_range(text)
    assert str(parsed) == str(text)
    assert [number in parsed for number in (*inside, *outside)] == [True] * len(inside) + [False] * len(outside)


@pytest.mark.parametrize("text", ["", "..", "13..11", "a..b", "1..2..3", "nan", True])
def test_invalid_ranges(text: object) -> None:
    """An error quotes the range."""
    with pytest.raises(ValueError, match=f"{str(text)!r} is not a range"):
        parse_range(text)


def test_shares() -> None:
    """A share is a percentage."""
    assert [parse_share(text) for text in ("0%", "12.5%", "100%")] == [0, 0.125, 1]
    for text in ("80", 80, "101%", "-1%", "%", "8%0"):
        with pytest.raises(ValueError, match=f"{str(text)!r} is not a share; write for example 80%"):
            parse_share(text)
