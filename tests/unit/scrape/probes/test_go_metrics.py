"""The parser of a process's own metrics, with large, unusual and hostile bodies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.errors import MalformedProfile, NotAProfile
from leakwatch.scrape.probes.go_metrics import LONGEST, GoMetrics, GoMetricsParser

BODY = b"""# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 812
go_goroutines_created_total 9000
go_memstats_stack_inuse_bytes 1.900544e+06
http_requests_total{path="go_goroutines 7"} 3
process_resident_memory_bytes 5.2051968e+07 1700000000000
"""
EXPECTED = GoMetrics(812, 1_900_544, 52_051_968)


def parse(body: bytes, piece: int = 1 << 16) -> GoMetrics:
    """Return the metrics of a body that arrives in pieces."""
    parser = GoMetricsParser()
    for i in range(0, len(body), piece):
        parser.feed(body[i : i + piece])
    return parser.close()


@given(st.integers(1, 200))
def test_pieces_of_any_size(piece: int) -> None:
    """The size of the pieces does not matter. The name in a label, or in a longer name, does not count."""
    assert parse(BODY, piece) == EXPECTED


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"go_goroutines 7", 7),
        (b"go_goroutines\t7\r", 7),
        (b'go_goroutines{app="shop",path="a} 9 {"} 7', 7),
        (b'go_goroutines {app="shop"}  7  123', 7),
        (b"go_goroutines 7e+00 -5", 7),
    ],
)
def test_the_ways_to_write_a_line(line: bytes, value: float) -> None:
    """Labels, timestamps, tabs and Windows line endings are valid, with and without a final line break."""
    assert parse(line).goroutines == parse(line + b"\n").goroutines == value


def test_missing_metrics() -> None:
    """A service may have only one of the metrics."""
    assert parse(b"process_resident_memory_bytes 5\n") == GoMetrics(None, None, 5)


@pytest.mark.parametrize("piece", [1, 100, 1 << 16])
def test_a_line_without_end(piece: int) -> None:
    """A line that is too long is dropped, even if it begins with a name, and the following lines are parsed."""
    parser = GoMetricsParser()
    for line in (b"x" * 3 * LONGEST, b"go_goroutines{x=" + b"y" * 3 * LONGEST):
        for i in range(0, len(line), piece):
            parser.feed(line[i : i + piece])
            assert len(parser._rest) <= LONGEST
        parser.feed(b"\n")
    parser.feed(BODY)
    assert parser.close() == EXPECTED


@pytest.mark.parametrize("piece", [100, 1 << 20])
def test_a_line_that_is_too_long_within_a_piece(piece: int) -> None:
    """A line is dropped if it is too long, wherever the pieces end."""
    line = b"go_goroutines {" + b"}" * 2 * LONGEST + b"\n"
    assert parse(line + BODY, piece) == EXPECTED


@pytest.mark.parametrize("value", [b"{" + b"}" * 8000, b"{" * 8000, b" " * 8000, b"{}" * 4000, b"1 -" + b"1" * 19])
def test_a_hostile_line(value: bytes) -> None:
    """A line within the limit is parsed at once, and the error quotes its beginning."""
    with pytest.raises(MalformedProfile, match="expected `name value`, found 'go_goroutines") as caught:
        parse(b"go_goroutines " + value + b"\n")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [b"many", b"NaN", b"+Inf", b"-1", b"", b"{", b"1 2 3"])
def test_an_invalid_value(value: bytes) -> None:
    """The error quotes the line."""
    with pytest.raises(MalformedProfile, match="expected `name value`, found 'go_goroutines"):
        parse(b"go_goroutines " + value + b"\n")


@pytest.mark.parametrize("body", [b"<!doctype html>\n<p>no", b"", b"\x00\xff" * 50, b'{"go_goroutines": 7}'])
def test_other_bodies(body: bytes) -> None:
    """For a page, an empty body, bytes or JSON, the error quotes the beginning of the body."""
    with pytest.raises(NotAProfile, match="no metrics of a Go process: none of go_goroutines, "):
        parse(body)


def test_metrics_of_several_processes() -> None:
    """The metrics of a gateway, which exports those of several processes, are rejected."""
    with pytest.raises(NotAProfile, match="go_goroutines occurs more than once"):
        parse(b'go_goroutines{pod="a"} 7\ngo_goroutines{pod="b"} 8\n')
