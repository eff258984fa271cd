r"""Reads what a Go process says of its memory in its own `/metrics`, in Prometheus's text format.

    # TYPE go_goroutines gauge                        comment: left out
    go_goroutines 812                                 the Go collector has these two ...
    go_memstats_stack_inuse_bytes{app="shop"} 1.9e+06 ... maybe with labels, or with a time behind the value
    process_resident_memory_bytes 5.2e+07             and the process collector has this one

A page may have millions of other lines, or one that never ends: only these three are ever kept.
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
LONGEST: Final = 8_192  # bytes of a line; one of ours never is longer
WANTED: Final = re.compile(rb"^(%s)(?=[ \t{])(.*)\n" % "|".join(NAMES).encode(), re.MULTILINE)
REST: Final = re.compile(rb"[ \t]*(?:\{.*\})?[ \t]*([^ \t]+)(?:[ \t]+-?\d+)?[ \t]*\r?")


@dataclass(frozen=True, slots=True)
class GoMetrics:
    """What one process says of itself, in bytes; None for what it does not say."""

    goroutines: float | None
    stacks: float | None
    resident: float | None


class GoMetricsParser:
    """Fed a body in pieces of any size."""

    def __init__(self) -> None:
        self._found: dict[str, float] = {}
        self._rest = b""
        self._begin = b""
        self._skipping = False
        """Whether what comes belongs to a line that is too long."""

    def feed(self, data: bytes) -> None:
        """Take in the next piece; raises NotAProfile and MalformedProfile."""
        if len(self._begin) < LONGEST and not self._begin.strip():
            self._begin = data[:200]
        if self._skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return
            self._skipping = False
        lines, end, rest = (self._rest + data).rpartition(b"\n")
        self._take(lines + end)
        self._skipping = len(rest) > LONGEST
        self._rest = b"" if self._skipping else rest

    def close(self) -> GoMetrics:
        """Return what the whole body says; raises NotAProfile and MalformedProfile."""
        self._take(self._rest + b"\n")
        self._rest = b""
        if not self._found:
            raise NotAProfile(f"no metrics of a Go process: none of {', '.join(NAMES)} in {quote(self._begin)}")
        return GoMetrics(self._found.get(GOROUTINES), self._found.get(STACKS), self._found.get(RESIDENT))

    def _take(self, lines: bytes) -> None:
        for line in WANTED.finditer(lines):
            name, value = line[1].decode(), _value(line[0], line[2])
            if name in self._found:
                raise NotAProfile(f"{name} is there more than once: these are the metrics of several processes")
            self._found[name] = value


def _value(line: bytes, rest: bytes) -> float:
    match = REST.fullmatch(rest)
    try:
        value = float(match[1]) if match else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise MalformedProfile(f"expected `name value`, found {quote(line.rstrip())}")
    return value
