"""Compares a run of the quick form with quick.json, and lists clearly worse numbers."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any, Final

SHARE: Final = 0.1
LATER: Final = 1.15
HOURS: Final = 0.25  # three blocks

Numbers = Mapping[str, Any]


def worse(expected: Numbers, results: Numbers, traces: int) -> Iterator[str]:
    """Return a line for each cell that is clearly worse than in `expected`, or is not in `expected`."""
    old_cells = dict(cells(expected))
    for name, new in cells(results):
        if name in old_cells:
            yield from (f"{name}: {line}" for line in _compare(old_cells[name], new, traces))
        else:
            yield f"{name}: not in quick.json; run with --quick --write"


def cells(numbers: Numbers, name: str = "") -> Iterator[tuple[str, Numbers]]:
    """Return each cell of numbers with its name, at any depth, and the sum of all false alarms."""
    if not name:
        healthy = [study["leakwatch"] for key, study in numbers.items() if key.startswith("healthy/")]
        yield "all false alarms", {"incidents": sum(cell["incidents"] for cell in healthy)}
    elif any(isinstance(value, float) for value in numbers.values()):
        yield name, numbers
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from cells(value, f"{name}: {key}" if name else key)


def _compare(old: Numbers, new: Numbers, traces: int) -> Iterator[str]:
    """Return a line for each number of a cell that is worse; None in `old` is a number that is not finite."""
    if "found" in new and old["found"] - new["found"] > max(SHARE, _margin(old["found"], traces)):
        yield f"{new['found']:.0%} found, was {old['found']:.0%}"
    if "found" in new and old["median"] is not None and new["median"] > old["median"] * LATER + HOURS:
        yield f"after {new['median']:.1f} h (median), was {old['median']:.1f} h"
    for key, per in (("incidents", 1), ("per_stack", traces)):
        if key in new and "found" not in new and _is_more(old[key] * per, new[key] * per):
            yield f"{new[key] * per:.0f} alarms, was {old[key] * per:.0f}"


def _is_more(before: float, now: float) -> bool:
    """Return whether a count of rare events has grown by more than two deviations."""
    return now > before + 1 + 2 * sqrt(before)


def _margin(share: float, traces: int) -> float:
    """Return the standard deviation of a share of so many traces."""
    return sqrt(max(share * (1 - share), 1 / traces) / traces)
