"""Tells where a run of the quick form is clearly worse than the numbers that are kept."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any, Final

SHARE: Final = 0.1
LATER: Final = 1.15
HOURS: Final = 0.25  # three blocks: sooner than that nobody looks

Numbers = Mapping[str, Any]


def worse(expected: Numbers, found: Numbers, traces: int) -> Iterator[str]:
    """Return a line for each cell that is clearly worse than in `expected`, or not there."""
    kept = dict(cells(expected))
    for name, new in cells(found):
        if name in kept:
            yield from (f"{name}: {line}" for line in _compare(kept[name], new, traces))
        else:
            yield f"{name}: not among the numbers kept; run with --quick --write"


def cells(numbers: Numbers, name: str = "") -> Iterator[tuple[str, Numbers]]:
    """Return all that holds numbers, at any depth, with its name; and all false alarms together."""
    if not name:
        ours = [study["leakwatch"] for key, study in numbers.items() if key.startswith("healthy/")]
        yield "all false alarms", {"incidents": sum(one["incidents"] for one in ours)}
    elif any(isinstance(value, float) for value in numbers.values()):
        yield name, numbers
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from cells(value, f"{name}: {key}" if name else key)


def _compare(old: Numbers, new: Numbers, traces: int) -> Iterator[str]:
    """Return what is worse in a cell; None stands for what is not finite, which nothing is worse than."""
    if "found" in new and old["found"] - new["found"] > max(SHARE, _margin(old["found"], traces)):
        yield f"{new['found']:.0%} found, was {old['found']:.0%}"
    if "found" in new and old["median"] is not None and new["median"] > old["median"] * LATER + HOURS:
        yield f"after {new['median']:.1f} h (median), was {old['median']:.1f} h"
    for key, per in (("incidents", 1), ("per_stack", traces)):
        if key in new and "found" not in new and _is_more(old[key] * per, new[key] * per):
            yield f"{new[key] * per:.0f} alarms, was {old[key] * per:.0f}"


def _is_more(before: float, now: float) -> bool:
    """Tell whether a count of rare events has grown by more than two deviations."""
    return now > before + 1 + 2 * sqrt(before)


def _margin(share: float, traces: int) -> float:
    """Return the deviation of a share of so many traces."""
    return sqrt(max(share * (1 - share), 1 / traces) / traces)
