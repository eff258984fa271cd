"""What a process says of its memory in its own /metrics: read from bodies that are large, odd or hostile."""

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
FOUND = GoMetrics(812, 1_900_544, 52_051_968)


def read(body: bytes, piece: int = 1 << 16) -> GoMetrics:
    """Return what a body says that comes in pieces."""
    parser = GoMetricsParser()
    for i in range(0, len(body), piece):
        parser.feed(body[i : i + piece])
    return parser.close()


@given(st.integers(1, 200))
def test_pieces_of_any_size(piece: int) -> None:
    """Where the body is cut on its way makes no difference; a name within a label or a longer name is none."""
    assert read(BODY, piece) == FOUND


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
    """Labels that the whole program adds, times, tabs, the end of lines on Windows; with or without a last one."""
    assert read(line).goroutines == read(line + b"\n").goroutines == value


def test_what_is_not_said_is_not_known() -> None:
    """A service may have but one of the three collectors."""
    assert read(b"process_resident_memory_bytes 5\n") == GoMetrics(None, None, 5)


@pytest.mark.parametrize("piece", [1, 100, 1 << 16])
def test_a_line_that_does_not_end_is_not_kept(piece: int) -> None:
    """Nothing is held of it but a little, and what follows it is read; begun with our name, it is none of ours."""
    parser = GoMetricsParser()
    for line in (b"x" * 3 * LONGEST, b"go_goroutines{x=" + b"y" * 3 * LONGEST):
        for i in range(0, len(line), piece):
            parser.feed(line[i : i + piece])
            assert len(parser._rest) <= LONGEST
        parser.feed(b"\n")
    parser.feed(BODY)
    assert parser.close() == FOUND


@pytest.mark.parametrize("value", [b"many", b"NaN", b"+Inf", b"-1", b"", b"{", b"1 2 3"])
def test_a_bad_value_is_named(value: bytes) -> None:
    """The line is quoted."""
    with pytest.raises(MalformedProfile, match="expected `name value`, found 'go_goroutines"):
        read(b"go_goroutines " + value + b"\n")


@pytest.mark.parametrize("body", [b"<!doctype html>\n<p>no", b"", b"\x00\xff" * 50, b'{"go_goroutines": 7}'])
def test_no_metrics_of_a_go_process(body: bytes) -> None:
    """A page, nothing, bytes, JSON: said so, with how it begins."""
    with pytest.raises(NotAProfile, match="no metrics of a Go process: none of go_goroutines, "):
        read(body)


def test_metrics_of_several_processes() -> None:
    """A gateway that passes on those of others does not tell which are its own."""
    with pytest.raises(NotAProfile, match="go_goroutines occurs more than once"):
        read(b'go_goroutines{pod="a"} 7\ngo_goroutines{pod="b"} 8\n')
