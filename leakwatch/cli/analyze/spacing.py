"""How the profiles of a recording lie in time: how far apart, with what gaps, and what block fits them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS

USUAL: Final = 0.9  # of the steps are at most the usual one: some profiles are missing, some come in bursts
GAP: Final = 10  # usual steps
SHORT: Final = 2 * 3600.0  # seconds; a shorter recording has shorter blocks
DEFAULT_BLOCK: Final = 300.0
SPARSE: Final = 1.5  # blocks; with profiles further apart, too many of 24 blocks in a short recording are empty


@dataclass(frozen=True, slots=True)
class Spacing:
    """How the profiles of one target lie in time: seconds, and gaps as (last time before, first time after)."""

    step: float = 0.0
    """Between two profiles, usually; 0 where there is one only."""
    span: float = 0.0
    """From the first to the last, without gaps."""
    longest: float = 0.0
    """Of the stretches that gaps leave."""
    gaps: Sequence[tuple[float, float]] = ()


def spacing(times: Sequence[float]) -> Spacing:
    """Return how `times`, ascending, are spaced."""
    if len(times) < 2:
        return Spacing()
    at = np.asarray(times)
    steps = np.diff(at)
    usual = float(np.sort(steps)[int(USUAL * (len(steps) - 1))])
    gaps = np.flatnonzero(steps > GAP * usual)
    begins, ends = at[np.append(0, gaps + 1)], at[np.append(gaps, len(at) - 1)]
    return Spacing(
        usual,
        float(steps.sum() - steps[gaps].sum()),
        float((ends - begins).max()),
        [(float(at[i]), float(at[i + 1])) for i in gaps],
    )


def choose_block(found: Sequence[Spacing]) -> float:
    """Return the seconds of a block that fit: 5 minutes, less for a short recording, more for a sparse one."""
    steps = sorted(one.step for one in found if one.step)
    if not steps:
        return DEFAULT_BLOCK
    span, step = max(one.span for one in found), steps[len(steps) // 2]
    if span >= SHORT:
        return max(DEFAULT_BLOCK, step)
    fits = span / BLOCKS
    block = step if step > SPARSE * fits else fits
    return block * (1 - 1e-9)  # so that the last one ends before the last profile
