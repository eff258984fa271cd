"""Comparison of two processes: the stacks that grow more on the new process than on the baseline.

Both are scraped over the same time under the same load, so that a swing of the load shows on both. Per block, with
the counts n of a stack on the new process and o on the baseline,

    d = n - k o                  the count that the load does not explain
    k = w k1 + (1 - w) k0        how n follows o; w is 1 if o swings far more than at random, and 0 if it does not
    k1                           the least-squares factor of o, beside a straight line
    k0 = (n0 + 5 f) / (o0 + 5)   the ratio of the counts in the first quarter
    f                            the load of the new process over that of the baseline

A stack grows more on the new process if

- d rose in a straight line, also at the lower end of a strict band of its Theil-Sen slope,
- d rose by more than the independent arrivals and departures of two healthy processes differ,
- n rose, or w is nearly 1,
- its rate is more than twice that of the baseline,
- its count is above that of the baseline: a new process fills its pools up to the level that the old one has.

docs/ci.md has the measurements.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from leakwatch.detect.columns import FALLS, MEAN, RISES, SQUARED_RISES, TURNOVER
from leakwatch.detect.history import History
from leakwatch.detect.trend import growth_since, theil_sen
from leakwatch.model import NO_GROWTH, Fingerprint, Growth, Stack

Levels = npt.NDArray[np.float64]

MIN_BLOCKS: Final = 16  # that both processes have, of 24
MIN_GAIN: Final = 10.0  # goroutines
Z_STRICT: Final = 3.3  # of the band of the slope: one of 2,000 stacks without a trend is above it
SIGMAS: Final = 3.5  # of the difference of two healthy processes
PRIOR: Final = 5.0  # goroutines at the load ratio, so that k of small stacks is not noise
SIMILAR: Final = 2.0  # ratio of rates up to which a stack grows on both
MAX_STEP: Final = 0.7  # of the gain, between two quarters
MIN_LAST_STEP: Final = 0.1
MIN_RISES: Final = 8  # effective number, in a stack without departures
DEPARTURES: Final = 0.05  # of the growth; fewer are none, as in detect/growth.py
MIN_WEIGHT: Final = 0.9  # of the swing of the baseline, from which it explains a fall of the count
POOL_MARGIN: Final = 1.2  # of the size of the baseline's pool: the sizes of two processes differ
BRIEF_STAY: Final = 0.25  # of the check; goroutines that stay so long have reached the level of the load
MIN_BUSY: Final = 5.0  # goroutines of a stack that shows the load ratio


class ComparedGrowth(StrEnum):
    """How the growth of a stack on the new process compares with the baseline."""

    MORE = "grows more"
    BOTH = "grows on both"
    BELOW = "below the baseline"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The growth of one stack on two processes; counts of the first and last quarter of the blocks."""

    stack: Stack
    result: ComparedGrowth
    counts: tuple[float, float]
    baseline_counts: tuple[float, float]
    growth: Growth
    baseline_growth: Growth
    span: float
    """Seconds from the middle of the first block to that of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """The blocks of some stacks of one process, an array element per stack.

    `levels`: shape (stacks, blocks); `departures`, `falls` and `rises`: over all blocks.
    """

    levels: Levels
    departures: Levels
    falls: Levels
    rises: Levels
    effective_rises: Levels

    @property
    def mean(self) -> Levels:
        """The mean count."""
        return np.asarray(self.levels.mean(axis=1))

    @property
    def variance(self) -> Levels:
        """The variance of the difference of a healthy count between the ends of the check.

        The count of goroutines that arrive at random and stay for s has the variance of its mean, and s follows
        from the departures over the span t by Little's law: s / t = mean / departures. The difference has twice
        that variance if s is about t, and twice the departures if s is longer. If s is shorter, a line through
        t / s independent counts has 24 s / t times the variance of one.
        """
        mean, departures = self.mean, np.maximum(self.departures, 1e-9)
        return np.asarray(2 * np.minimum(np.minimum(mean, departures), 12 * mean**2 / departures))


def compare(
    new: History, baseline: History, keys: Collection[Fingerprint] | None = None
) -> Mapping[Fingerprint, Comparison]:
    """Return the stacks that grew on the new process by MIN_GAIN or more, each compared with the baseline.

    `keys`: the stacks to return, None for all. Both histories hold blocks of the same time. Return nothing if they
    have fewer than MIN_BLOCKS in common.
    """
    times, baseline_times = _times(new), _times(baseline)
    if not len(times) or not len(baseline_times):
        return {}
    margin = max(new.block, baseline.block) / 2
    common = (times >= baseline_times[0] - margin) & (times <= baseline_times[-1] + margin)
    if common.sum() < MIN_BLOCKS:
        return {}
    rows = list(new.rows)
    columns = np.flatnonzero(new.blocks.scrapes)[common]
    process = _process(new, rows, columns)
    other = _interpolated(
        _process(baseline, rows, np.flatnonzero(baseline.blocks.scrapes)), baseline_times, times[common]
    )
    comparisons = _Comparisons(times[common], process, other)
    stacks = (new.stacks[new.rows[key]] for key in rows)
    return {
        key: comparisons.compare(i, stack)
        for i, (key, stack) in enumerate(zip(rows, stacks, strict=True))
        if stack is not None and comparisons.gains[i] >= MIN_GAIN and (keys is None or key in keys)
    }


class _Comparisons:
    """The quarters of all stacks of two processes; arrays have the shape (stacks, 4)."""

    def __init__(self, times: Levels, new: _Process, baseline: _Process) -> None:
        self._times, self._new, self._baseline = times, new, baseline
        self.load_ratio = _load_ratio(new, baseline)
        self.counts = _quarters(new.levels)
        self.baseline_counts = _quarters(baseline.levels)
        ratio = (self.counts[:, 0] + PRIOR * self.load_ratio) / (self.baseline_counts[:, 0] + PRIOR)
        self._factor, self._weight = _factors(times, new, baseline, ratio)
        self._unexplained = new.levels - self._factor[:, None] * baseline.levels
        self._steps = np.diff(_quarters(self._unexplained), axis=1)

    @property
    def gains(self) -> Levels:
        """By how much each stack grew on the new process, or beyond its load."""
        return np.asarray(np.maximum(self.counts[:, 3] - self.counts[:, 0], self._steps.sum(axis=1)))

    def compare(self, i: int, stack: Stack) -> Comparison:
        """Return the comparison of stack `i`."""
        times = self._times
        growth = growth_since(times, self._new.levels[i], times[0])
        baseline_growth = growth_since(times, self._baseline.levels[i], times[0])
        counts, baseline_counts = self.counts[i], self.baseline_counts[i]
        return Comparison(
            stack=stack,
            result=self._result(i, growth, baseline_growth),
            counts=(float(counts[0]), float(counts[3])),
            baseline_counts=(float(baseline_counts[0]), float(baseline_counts[3])),
            growth=growth,
            baseline_growth=baseline_growth if baseline_counts.any() else NO_GROWTH,
            span=float(times[-1] - times[0]),
        )

    def _result(self, i: int, growth: Growth, baseline_growth: Growth) -> ComparedGrowth:
        if 0 < growth.rate <= SIMILAR * max(self.load_ratio, 1.0) * baseline_growth.rate:
            return ComparedGrowth.BOTH
        if self.counts[i, 3] <= self._ceiling(i):
            return ComparedGrowth.BELOW
        return ComparedGrowth.MORE if self._grows_more(i) else ComparedGrowth.UNCLEAR

    def _ceiling(self, i: int) -> float:
        """Return the count that a healthy stack reaches: that of the baseline, scaled if it follows the load."""
        follows_load = self._baseline.departures[i] > DEPARTURES * self._baseline.mean[i]
        ratio = self.load_ratio if follows_load else POOL_MARGIN * max(self.load_ratio, 1.0)
        return ratio * float(self.baseline_counts[i, 3])

    def _grows_more(self, i: int) -> bool:
        steps = self._steps[i]
        gain = float(steps.sum())
        factor = float(self._factor[i])
        variance = self._new.variance[i] + factor**2 * self._baseline.variance[i] + max(gain, 0.0)
        if gain < max(MIN_GAIN, SIGMAS * float(variance) ** 0.5):
            return False
        if self._weight[i] < MIN_WEIGHT and self.counts[i, 3] - self.counts[i, 0] < MIN_GAIN:
            return False
        if steps.max() > MAX_STEP * gain or steps[2] < MIN_LAST_STEP * gain:
            return False
        if self._new.falls[i] <= DEPARTURES * gain:
            if self._new.effective_rises[i] < MIN_RISES:
                return False
        elif not self._baseline.levels[i].any():
            return False  # a busy stack that only the new build has: its load is unknown
        return theil_sen(self._times, self._unexplained[i], Z_STRICT).low > 0


def _times(history: History) -> Levels:
    """Return the middles of the blocks with scrapes."""
    scraped = np.flatnonzero(history.blocks.scrapes)
    return np.asarray(history.block_start + (scraped - len(history.blocks.scrapes) + 0.5) * history.block)


def _process(history: History, keys: list[Fingerprint], columns: npt.NDArray[np.intp]) -> _Process:
    """Return the blocks of the stacks `keys`; a stack without a row has no goroutines."""
    values = np.zeros((history.blocks.values.shape[0], len(keys), len(columns)))
    places = [(i, history.rows[key]) for i, key in enumerate(keys) if key in history.rows]
    if places:
        indices, rows = (list(numbers) for numbers in zip(*places, strict=True))
        values[:, indices] = history.blocks.values[:, rows][:, :, columns]
    rises, squared = values[RISES].sum(axis=1), values[SQUARED_RISES].sum(axis=1)
    return _Process(
        levels=values[MEAN],
        departures=(values[TURNOVER] * history.blocks.scrapes[columns]).sum(axis=1),
        falls=values[FALLS].sum(axis=1),
        rises=rises,
        effective_rises=np.divide(rises**2, squared, out=np.zeros_like(rises), where=squared > 0),
    )


def _interpolated(process: _Process, times: Levels, new_times: Levels) -> _Process:
    """Return a process with levels at `new_times`: blocks of two targets do not begin at the same time."""
    levels = np.array([np.interp(new_times, times, row) for row in process.levels])
    return replace(process, levels=levels.reshape(len(process.levels), len(new_times)))


def _load_ratio(new: _Process, baseline: _Process) -> float:
    """Return the load of the new process over that of the baseline: the median over stacks that load sets.

    In these, goroutines stay for a small part of the check, so that the age of a process does not matter.
    """
    busy = (baseline.mean >= MIN_BUSY) & (new.mean > 0)
    for process in (new, baseline):
        busy &= process.mean <= BRIEF_STAY * process.departures
    return float(np.median(new.mean[busy] / baseline.mean[busy])) if busy.any() else 1.0


def _factors(times: Levels, new: _Process, baseline: _Process, ratio: Levels) -> tuple[Levels, Levels]:
    """Return k and w of each stack; `ratio`: k0.

    A factor of least squares is too small if the counts of the baseline vary at random, as they do by `noise`.
    """
    line = (times - times.mean()) / np.linalg.norm(times - times.mean())
    both = []
    for levels in (baseline.levels, new.levels):
        centred = levels - levels.mean(axis=1, keepdims=True)
        both.append(centred - (centred @ line)[:, None] * line)
    baseline_swing, swing = both
    noise = np.maximum(baseline.variance * len(times) / 24, PRIOR)
    signal = np.maximum((baseline_swing**2).sum(axis=1) - len(times) * noise, 0.0)
    weight = signal / (signal + len(times) * noise)
    slope = np.divide((baseline_swing * swing).sum(axis=1), signal, out=ratio.copy(), where=signal > 0)
    return np.maximum(weight * slope + (1 - weight) * ratio, 0.0), weight


def _quarters(levels: Levels) -> Levels:
    """Return the median of each quarter of the columns."""
    return np.stack([np.median(part, axis=1) for part in np.array_split(levels, 4, axis=1)], axis=1)
