"""Stacks that grow in step: one more of each whenever one thing leaks, so they are one leak.

The levels of two independent leaks both rise in straight lines; what tells them apart is the difference of the
two, which wanders off unless each goroutine of the one comes with its goroutines of the other.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import MEAN, Sums
from leakwatch.detect.series import Series
from leakwatch.model import Fingerprint

POINTS: Final = 12  # blocks that tell
RATIOS: Final = np.array([1, 2, 3, 1 / 2, 1 / 3])
NEAR: Final = 0.1  # of a ratio
LEAST: Final = 15.0  # goroutines of growth
WANDER: Final = 0.15  # of the square root of the growth; independent ones reach 0.58
MARGIN: Final = 1.1  # of the wandering, for what is counted less exactly at first
JITTER: Final = 0.05  # of the variance of their steps; independent ones reach 1


def in_step(series: Series, onsets: Mapping[Fingerprint, float]) -> dict[Fingerprint, frozenset[Fingerprint]]:
    """Return for each stack that grows since its onset those that grow in step with it."""
    known = np.flatnonzero(series.blocks.scrapes)
    times = series.block_start + (known - len(series.blocks.scrapes) + 1) * series.block
    keys, rows = list(onsets), [series.rows[key] for key in onsets]
    levels = series.blocks.values[MEAN][rows][:, known].astype(float)
    begins = np.searchsorted(times, list(onsets.values()))
    found: dict[Fingerprint, set[Fingerprint]] = {key: set() for key in onsets}
    for begin in np.unique(begins[begins <= len(times) - POINTS]):
        grow = np.flatnonzero(begins <= begin)
        since, late = levels[grow, begin:], begins[grow] == begin
        pairs = _perhaps(since) & (late | late[:, None])  # two count from the onset of the later one
        for i, j in np.argwhere(pairs):
            if _together(since[i], since[j]):
                one, other = keys[grow[i]], keys[grow[j]]
                found[one].add(other)
                found[other].add(one)
    return {key: frozenset(others) for key, others in found.items()}


def _perhaps(levels: Sums) -> npt.NDArray[np.bool_]:
    """Tell which pairs of rows, in their order, may be together: few of hundreds, to be looked at one by one."""
    centred, spread = levels - levels.mean(axis=1, keepdims=True), np.ptp(levels, axis=1)
    both = centred @ centred.T
    square = both.diagonal()
    wander = MARGIN * (WANDER * np.sqrt(spread) + 0.6)
    found = np.zeros_like(both, np.bool_)
    for ratio in RATIOS:
        rest = ratio**2 * square[:, None] - 2 * ratio * both + square
        found |= rest <= levels.shape[1] * (ratio * wander[:, None] if ratio >= 1 else wander) ** 2
    enough = spread >= LEAST
    return np.triu(found & enough & enough[:, None], 1)


def _together(x: Sums, y: Sums) -> bool:
    """Tell whether one of two rows of levels is a small multiple of the other, but for a constant."""
    x, y = x - x.mean(), y - y.mean()
    square = float(x @ x)
    if min(np.ptp(x), np.ptp(y)) < LEAST or not square:
        return False
    ratio = float(x @ y) / square
    nearest = float(RATIOS[np.argmin(np.abs(np.log(RATIOS) - np.log(max(ratio, 1e-9))))])
    if abs(ratio / nearest - 1) > NEAR:
        return False
    if nearest < 1:
        x, y, nearest = y, x, 1 / nearest
    rest = y - nearest * x
    steps = np.diff(rest)
    variance = nearest * (y[-1] - y[0] + nearest * (x[-1] - x[0])) / len(steps)  # if goroutines came independently
    near = np.sqrt((rest**2).mean()) <= nearest * (WANDER * np.sqrt(np.ptp(x)) + 0.6)
    return bool(near and (steps**2).mean() <= JITTER * variance + 0.1 * nearest**2)
