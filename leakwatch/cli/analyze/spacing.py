"""Spacing of the profiles of a recording: usual distance, gaps, and the block that fits. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS

USUAL: Final = 0.9  # quantile of the steps, since some profiles may be missing and others come in bursts
GAP: Final = 10  # usual steps
SHORT: Final = 2 * 3600.0  # seconds; a shorter recording gets shorter blocks
DEFAULT_BLOCK: Final = 300.0  # seconds
SPARSE: Final = 1.5  # blocks between profiles; with more, too many of the 24 blocks of a short recording are empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """Spacing of the profiles of one target, in seconds."""

    step: float = 0.0
    """Usual time between two profiles; 0 if there is only one."""
    span: float = 0.0
    """Time from the first to the last profile, without gaps."""
    longest: float = 0.0
    """Longest time without a gap."""
    gaps: Sequence[tuple[float, float]] = ()
    """Last time before each gap, and first time after it."""


def spacing(times: Sequence[float]) -> Spacing:
    """Return the spacing of `times`, ascending."""
    if len(times) < 2:
        return Spacing()
    array = np.asarray(times)
    steps = np.diff(array)
    usual = float(np.sort(steps)[int(USUAL * (len(steps) - 1))])
    gaps = np.flatnonzero(steps > GAP * usual)
    starts, ends = array[np.append(0, gaps + 1)], array[np.append(gaps, len(array) - 1)]
    return Spacing(
        step=usual,
        span=float(steps.sum() - steps[gaps].sum()),
        longest=float((ends - starts).max()),
        gaps=[(float(array[i]), float(array[i + 1])) for i in gaps],
    )


def choose_block(spacings: Sequence[Spacing]) -> float:
    """Return the block in seconds: 5 minutes, shorter for a short recording, longer for a sparse one."""
    steps = sorted(spacing.step for spacing in spacings if spacing.step)
    if not steps:
        return DEFAULT_BLOCK
    span, step = max(spacing.span for spacing in spacings), steps[len(steps) // 2]
    if span >= SHORT:
        return max(DEFAULT_BLOCK, step)
    fits = span / BLOCKS
    block = step if step > SPARSE * fits else fits
    return block * (1 - 1e-9)  # the last block must end before the last profile
