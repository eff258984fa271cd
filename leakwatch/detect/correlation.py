"""Stacks that grow in step, because each leaked resource holds a goroutine of both: they are one leak.

The levels of two independent leaks both rise in straight lines. Only the difference of the levels shows whether
they are one leak: it stays small if goroutines of both arrive together, and drifts otherwise.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from leakwatch.detect.columns import MEAN, Mask, Rows, Sums
from leakwatch.detect.series import Series
from leakwatch.model import Fingerprint

MIN_BLOCKS: Final = 12  # for a comparison
RATIOS: Final = np.array([1, 2, 3, 1 / 2, 1 / 3])
MAX_RATIO_ERROR: Final = 0.1
MIN_GROWTH: Final = 15.0  # goroutines
MAX_WANDER: Final = 0.15  # of the square root of the growth; independent leaks reach 0.58
MAX_ROUNDING: Final = 0.6  # goroutines
MOST_COMPARED: Final = 300  # stacks, the fastest: 300 that all grow in step take 2 s of one core, 1,000 take 20 s
MARGIN: Final = 1.1  # of the wander in the first selection of pairs, which estimates it
MAX_JITTER: Final = 0.05  # of the variance of the steps of independent leaks


def in_step(series: Series, onsets: Mapping[Fingerprint, float]) -> dict[Fingerprint, frozenset[Fingerprint]]:
    """Return for each growing stack the stacks that grow in step with it; `onsets`: when each began to grow.

    Two stacks are compared from the later onset on. Of very many stacks the slowest are in step with none.
    """
    scraped = np.flatnonzero(series.blocks.scrapes)
    times = series.block_start + (scraped - len(series.blocks.scrapes) + 1) * series.block
    keys, rows = list(onsets), [series.rows[key] for key in onsets]
    levels = series.blocks.values[MEAN][rows][:, scraped].astype(float)
    begins = np.searchsorted(times, list(onsets.values()))
    is_compared = _fastest(levels, begins)
    partners: dict[Fingerprint, set[Fingerprint]] = {key: set() for key in onsets}
    for begin in np.unique(begins[begins <= len(times) - MIN_BLOCKS]):
        growing = np.flatnonzero(is_compared & (begins <= begin))
        since, is_latest = levels[growing, begin:], begins[growing] == begin
        pairs = _possible_pairs(since) & (is_latest | is_latest[:, None])
        for i, j in np.argwhere(pairs):
            if _are_in_step(since[i], since[j]):
                first, second = keys[growing[i]], keys[growing[j]]
                partners[first].add(second)
                partners[second].add(first)
    return {key: frozenset(others) for key, others in partners.items()}


def _fastest(levels: Sums, begins: Rows) -> Mask:
    """Return which rows are compared: those that have grown most since they began."""
    grown = np.array(
        [np.ptp(row[begin:]) if begin < len(row) else 0.0 for row, begin in zip(levels, begins, strict=True)]
    )
    fastest = np.zeros(len(grown), np.bool_)
    fastest[np.argsort(-grown, kind="stable")[:MOST_COMPARED]] = True
    return fastest


def _possible_pairs(levels: Sums) -> Mask:
    """Return which pairs of rows, first and second, may be in step: few, so that each can be checked by itself."""
    centred, growth = levels - levels.mean(axis=1, keepdims=True), np.ptp(levels, axis=1)
    products = centred @ centred.T
    squares = products.diagonal()
    wander = MARGIN * (MAX_WANDER * np.sqrt(growth) + MAX_ROUNDING)
    pairs = np.zeros_like(products, np.bool_)
    for ratio in RATIOS:
        rest = ratio**2 * squares[:, None] - 2 * ratio * products + squares
        pairs |= rest <= levels.shape[1] * (ratio * wander[:, None] if ratio >= 1 else wander) ** 2
    grew = growth >= MIN_GROWTH
    return np.triu(pairs & grew & grew[:, None], 1)


def _are_in_step(x: Sums, y: Sums) -> bool:
    """Return whether the changes of one row of levels are a small multiple of those of the other."""
    x, y = x - x.mean(), y - y.mean()
    square = float(x @ x)
    if min(np.ptp(x), np.ptp(y)) < MIN_GROWTH or not square:
        return False
    ratio = float(x @ y) / square
    nearest = float(RATIOS[np.argmin(np.abs(np.log(RATIOS) - np.log(max(ratio, 1e-9))))])
    if abs(ratio / nearest - 1) > MAX_RATIO_ERROR:
        return False
    if nearest < 1:
        x, y, nearest = y, x, 1 / nearest
    rest = y - nearest * x
    steps = np.diff(rest)
    independent = nearest * (y[-1] - y[0] + nearest * (x[-1] - x[0])) / len(steps)  # variance of random arrivals
    is_near = np.sqrt((rest**2).mean()) <= nearest * (MAX_WANDER * np.sqrt(np.ptp(x)) + MAX_ROUNDING)
    return bool(is_near and (steps**2).mean() <= MAX_JITTER * independent + 0.1 * nearest**2)
