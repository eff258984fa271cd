"""Computes from alarms how often they are false, and how soon they find a leak."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scene import DAY, HOUR, Floats

QUIET: Final = 6 * HOUR
"""An alarm that begins sooner after the end of the last one belongs to the same incident."""

Alarms = list[tuple[float, float]]
"""Begin and end of each alarm of one stack, in seconds, in order."""


def alarms_of(times: Floats, firing: npt.NDArray[np.bool_]) -> list[Alarms]:
    """Return the alarms of each row; `firing` has shape (times, rows)."""
    padded = np.zeros((len(times) + 2, firing.shape[1]), np.int8)
    padded[1:-1] = firing
    steps = np.diff(padded, axis=0)
    ends = np.append(times, times[-1])
    return [
        [
            (float(times[begin]), float(ends[end]))
            for begin, end in zip(np.flatnonzero(step > 0), np.flatnonzero(step < 0), strict=True)
        ]
        for step in steps.T
    ]


def incidents(alarms: Alarms) -> list[float]:
    """Return the beginnings of alarms without another alarm in the six hours before."""
    ends = [-np.inf, *(end for _, end in alarms)]
    return [begin for (begin, _), last in zip(alarms, ends, strict=False) if begin - last >= QUIET]


def false_alarms(rows: Sequence[Alarms], seconds: float) -> dict[str, float]:
    """Return incidents per stack and day, on the first day and later, and the share of time in alarm."""
    begins = np.array([begin for alarms in rows for begin in incidents(alarms)])
    days = len(rows) * seconds / DAY
    return {
        "incidents": float(len(begins)),
        "per_day": len(begins) / days,
        "first_day": float((begins < DAY).sum()) / len(rows),
        "later": float((begins >= DAY).sum()) / (days - len(rows)) if days > len(rows) else 0.0,
        "in_alarm": sum(end - begin for alarms in rows for begin, end in alarms) / (len(rows) * seconds),
    }


def detections(rows: Sequence[Alarms], onsets: Floats) -> dict[str, float]:
    """Return the share of leaks found, hours until then (median, 90th percentile), and the share in alarm before.

    A leak is found by the first alarm that begins after its onset. If it is never found, it is infinitely late.
    """
    delays = np.array(
        [
            min((begin - onset for begin, _ in alarms if begin >= onset), default=np.inf) / HOUR
            for alarms, onset in zip(rows, onsets, strict=True)
        ]
    )
    before = [any(begin < onset for begin, _ in alarms) for alarms, onset in zip(rows, onsets, strict=True)]
    return {
        "found": float(np.isfinite(delays).mean()),
        "median": percentile(delays, 50),
        "p90": percentile(delays, 90),
        "before": float(np.mean(before)),
    }


def percentile(values: npt.NDArray[np.float64], share: float) -> float:
    """Return the smallest value that `share` per cent do not exceed, inf included; nan without values."""
    if not len(values):
        return float("nan")
    ordered = np.sort(values)
    return float(ordered[max(int(np.ceil(share / 100 * len(ordered))) - 1, 0)])
