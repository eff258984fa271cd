"""The severity of a leak: a page if its process is in danger soon, otherwise a ticket. Pure.

A leak is a page if, at its rate, a process will have ten times the goroutines that it had at the onset, or reach
its memory limit, within `page_within`. The onset stays the same while the leak grows, so a slow leak becomes a
page as it grows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from leakwatch.detect.columns import BLOCKS_PER_HOUR, MEAN
from leakwatch.detect.history import History
from leakwatch.leaks.candidate import POOLED, Candidate
from leakwatch.leaks.model import Leak, Limit
from leakwatch.leaks.target_state import TargetState

TENFOLD: Final = 10.0
CLEARLY: Final = 2.0  # a page ends when even twice its rate, or twice the time, would not make it one


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGrowth:
    """The goroutines of one process at the onset of a leak and now, and the rate of the leak per second."""

    at_onset: float
    now: float
    rate: float


def is_page(processes: Iterable[ProcessGrowth], limit: Limit | None, within: float, *, was_page: bool) -> bool:
    """Return whether a growing leak is a page.

    `limit`: the memory limit that is reached first; its latest time counts, because the soonest time includes all
    uncertainty. `within`: seconds; `was_page`: whether the leak is a page now; then CLEARLY times `within` counts.
    """
    horizon = CLEARLY * within if was_page else within
    if limit is not None and limit.latest is not None and limit.latest <= horizon:
        return True
    return any(
        process.rate > 0 and process.now + process.rate * horizon >= TENFOLD * max(process.at_onset, 1.0)
        for process in processes
    )


def goroutines_at(history: History, time: float) -> float:
    """Return the goroutines of a process at `time`, or at the beginning of its history if that is later.

    Stacks without a series are left out.
    """
    starts = (history.block_start, history.block_start - history.closed % BLOCKS_PER_HOUR * history.block)
    widths = (history.block, BLOCKS_PER_HOUR * history.block)
    for columns, end, width in zip((history.blocks, history.hours), starts, widths, strict=True):
        known = np.flatnonzero(columns.has_level)
        middles = end + (known - len(columns.scrapes) + 0.5) * width
        earlier = known[middles <= time + width / 2]
        if len(earlier):
            return float(columns.values[MEAN][:, earlier[-1]].sum())
    first = history.hours if history.hours.scrapes.any() else history.blocks
    known = np.flatnonzero(first.has_level)
    return float(first.values[MEAN][:, known[0]].sum()) if len(known) else float(history.last.sum())


def process_growths(states: Sequence[TargetState], head: Candidate, leak: Leak) -> list[ProcessGrowth]:
    """Return the growth of each process by a leak: an equal share if only the pooled growth is known.

    The goroutines at each onset are kept in `head`, because the history of an old onset is dropped. After a
    restart, a leak counts with its last rate until it grows again.
    """
    growths, onsets, head.onsets = list[ProcessGrowth](), head.onsets, {}
    for state in states:
        name = state.target.name
        judgement = head.judgements.get(name) or head.judgements.get(POOLED)
        if judgement is None:
            continue
        share = 1 if name in head.judgements else max(len(leak.targets), 1)
        onset = onsets.get(name)
        if onset is None or onset[0] != judgement.since:
            onset = judgement.since, goroutines_at(state.history, judgement.since)
        head.onsets[name] = onset
        rate = (judgement.grew if judgement.restarted else judgement.growth).rate / share
        growths.append(ProcessGrowth(at_onset=onset[1], now=float(state.total), rate=rate))
    return growths
