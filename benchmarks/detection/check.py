"""Tells where a run of the quick form is clearly worse than the numbers that are kept."""

from collections.abc import Iterator, Mapping
from math import isnan, sqrt
from typing import Any, Final

SHARE: Final = 0.1
LATER: Final = 1.15
HOURS: Final = 0.25  # less than three blocks is no delay

Results = Mapping[str, Mapping[str, Any]]


def worse(expected: Results, found: Results, traces: int) -> Iterator[str]:
    """Return a line for each number of leakwatch's that is clearly worse; rules of others do not change."""
    for study, numbers in found.items():
        kept = expected.get(study)
        if kept is None:
            yield f"{study}: not in quick.json; run with --quick --write"
            continue
        for name, ours in [(study, numbers), *((f"{study}: {key}", numbers[key]) for key in numbers)]:
            old = kept if name == study else kept[name.removeprefix(f"{study}: ")]
            if isinstance(ours, Mapping) and name.split(": ")[-1] != "ratio":
                yield from (f"{name}: {line}" for line in _compare(old, ours, traces))


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], traces: int) -> Iterator[str]:
    if "found" in new and old["found"] - new["found"] > max(SHARE, _margin(old["found"], traces)):
        yield f"{new['found']:.0%} found, was {old['found']:.0%}"
    if "median" in new and not isnan(old["median"]) and new["median"] > old["median"] * LATER + HOURS:
        yield f"after {new['median']:.1f} h (median), was {old['median']:.1f} h"
    if "incidents" in new and new["incidents"] > old["incidents"] + 1 + 2 * sqrt(old["incidents"]):
        yield f"{new['incidents']:.0f} false alarms, was {old['incidents']:.0f}"
    if "per_stack" in new and "median" in new:
        before, now = old["per_stack"] * traces, new["per_stack"] * traces
        if now > before + 1 + 2 * sqrt(before):
            yield f"{now:.0f} alarms after restarts, was {before:.0f}"


def _margin(share: float, traces: int) -> float:
    """Return the deviation of a share of so many traces."""
    return sqrt(max(share * (1 - share), 1 / traces) / traces)
