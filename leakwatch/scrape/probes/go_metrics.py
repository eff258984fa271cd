r"""Parses the memory usage of a Go process from its own `/metrics`, in the text format of Prometheus.

    # TYPE go_goroutines gauge                        a comment, ignored
    go_goroutines 812                                 from the Go collector ...
    go_memstats_stack_inuse_bytes{app="shop"} 1.9e+06 ... labels and a timestamp are possible
    process_resident_memory_bytes 5.2e+07             from the process collector

A page may have millions of other lines, or a line without end: only these three values are stored.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

from leakwatch.errors import MalformedProfile, NotAProfile, quote

GOROUTINES: Final = "go_goroutines"
STACKS: Final = "go_memstats_stack_inuse_bytes"
RESIDENT: Final = "process_resident_memory_bytes"
NAMES: Final = (GOROUTINES, STACKS, RESIDENT)
LONGEST: Final = 8_192  # bytes of a line; the lines above are shorter
WANTED: Final = re.compile(rb"^(%s)(?=[ \t{])(.*)\n" % "|".join(NAMES).encode(), re.MULTILINE)
TIMESTAMP: Final = re.compile(rb"-?\d{1,18}")


@dataclass(frozen=True, slots=True)
class GoMetrics:
    """Metrics of one process, in bytes; None if missing."""

    goroutines: float | None
    stacks: float | None
    resident: float | None


class GoMetricsParser:
    """Parses a body that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._rest = b""
        self._begin = b""
        self._skipping = False
        """Whether the next piece continues a line that is too long."""

    def feed(self, data: bytes) -> None:
        """Parse the next piece; raises NotAProfile and MalformedProfile."""
        if len(self._begin) < LONGEST and not self._begin.strip():
            self._begin = data[:200]
        if self._skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return
            self._skipping = False
        lines, end, rest = (self._rest + data).rpartition(b"\n")
        self._parse(lines + end)
        self._skipping = len(rest) > LONGEST
        self._rest = b"" if self._skipping else rest

    def close(self) -> GoMetrics:
        """Return the metrics of the whole body; raises NotAProfile and MalformedProfile."""
        self._parse(self._rest + b"\n")
        self._rest = b""
        if not self._values:
            raise NotAProfile(f"no metrics of a Go process: none of {', '.join(NAMES)} in {quote(self._begin)}")
        return GoMetrics(self._values.get(GOROUTINES), self._values.get(STACKS), self._values.get(RESIDENT))

    def _parse(self, lines: bytes) -> None:
        for line in WANTED.finditer(lines):
            if len(line[0]) > LONGEST:
                continue
            name, value = line[1].decode(), _value(line[0], line[2])
            if name in self._values:
                raise NotAProfile(f"{name} occurs more than once: these are the metrics of several processes")
            self._values[name] = value


def _value(line: bytes, rest: bytes) -> float:
    """Return the value in `rest`, which is `line` without its name: labels, value and timestamp."""
    _, end, cells = rest.rpartition(b"}")  # a label may contain braces, a value does not
    value, *timestamp = cells.split() or [b""]
    well_formed = bool(end) == rest.lstrip().startswith(b"{") and len(timestamp) <= 1
    try:
        number = float(value) if well_formed and all(map(TIMESTAMP.fullmatch, timestamp)) else math.nan
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise MalformedProfile(f"expected `name value`, found {quote(line.rstrip())}")
    return number
