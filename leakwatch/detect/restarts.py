"""Detects restarts: by the identity that a process reports, or without one by its counts. Pure."""

from collections import deque
from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.columns import FALLS, FLOOR, MEAN, Rows, Sums
from leakwatch.detect.history import History
from leakwatch.model import Process, Samples

STARTS: Final = 8  # latest processes, by which an earlier one that answers again is recognised
MIXED: Final = 3600.0  # seconds that a target stays mixed after an earlier process answered again
MAX_TOTAL: Final = 0.8  # of the total before
MIN_FALL: Final = 10  # goroutines; smaller falls and gains prove nothing
MIN_LOST: Final = 0.8  # share of the moving stacks that have lost half of their goroutines
MIN_MOVING: Final = 3  # stacks
MIN_SIZE: Final = 4.0  # goroutines of a moving stack
MIN_RISES: Final = 6  # blocks in which the floor rose, for a stack that has only ever gained
MAX_DEPARTURES: Final = 0.05  # share of the gain of such a stack
MAX_LEFT: Final = 0.2  # share of the goroutines that remain after a restart


class ProcessTracker:
    """The process that a target runs in, and whether it changes."""

    STATE: ClassVar = {
        "process": Process | None,
        "mixed": bool,
        "build": str,
        "rebuilt": bool,
        "_starts": deque[str],
        "_returned": float,
    }

    def __init__(self) -> None:
        self.process: Process | None = None
        self.mixed = False
        """Whether several processes answer in turn, as behind a load balancer."""
        self.build = ""
        """The latest known build."""
        self.rebuilt = False
        """Whether the build before was another one."""
        self._starts: deque[str] = deque(maxlen=STARTS)
        self._returned = float("-inf")
        """Time when an earlier process last answered again."""

    def changed(self, time: float, process: Process | None, history: History, samples: Samples) -> bool:
        """Return whether the profile at `time` comes from another process than the one before.

        `process`: None if unknown; then the counts decide.
        """
        if process is None:
            fallen = has_fallen(history, samples)
            if fallen:
                self.process, self.rebuilt = None, False
            return fallen
        old, self.process = self.process, process
        if old is None or old.start != process.start:
            self._set_build(process.build or self.build)
        if process.start not in self._starts:
            self._starts.append(process.start)
        elif old is not None and old.start != process.start:
            self._returned = time
        self.mixed = time - self._returned < MIXED
        return old is not None and old.start != process.start

    def take_over(self, old: "ProcessTracker") -> None:
        """Compare builds with the process that this one replaces, now or as soon as the build is known."""
        build, self.build = self.build, old.build
        if build:
            self._set_build(build)

    def _set_build(self, build: str) -> None:
        self.rebuilt = bool(self.build) and build != self.build
        self.build = build


def has_fallen(history: History, samples: Samples) -> bool:
    """Return whether the counts fell since the last scrape as they do at a restart.

    Either most stacks with moving counts have lost half of their goroutines, or all stacks that had only ever
    gained have lost nearly everything. The second rule covers busy stacks that recover before the next scrape.
    """
    scraped = history.blocks.scrapes.nonzero()[0]
    if history.time is None or not len(scraped):
        return False
    counts = np.zeros(len(history.last))
    for fingerprint, sample in samples.items():
        row = history.rows.get(fingerprint)
        if row is not None:
            counts[row] = sample.goroutines
    total = sum(sample.goroutines for sample in samples.values())
    return _moving_have_fallen(history, scraped, counts, total) or _gained_have_fallen(history, scraped, counts)


def _moving_have_fallen(history: History, scraped: Rows, counts: Sums, total: int) -> bool:
    """Return whether most stacks with moving counts have lost half of their goroutines."""
    last = history.last
    before = float(last.sum())
    if total > MAX_TOTAL * before or before - total < MIN_FALL:
        return False
    means = history.blocks.values[MEAN][:, scraped]
    moving = (last >= MIN_SIZE) & (means.max(axis=1) - means.min(axis=1) >= 1)
    lost = moving & (counts <= last / 2)
    return bool(moving.sum() >= MIN_MOVING and lost.sum() >= MIN_LOST * moving.sum())


def _gained_have_fallen(history: History, scraped: Rows, counts: Sums) -> bool:
    """Return whether all stacks that had only ever gained have lost nearly everything."""
    floors, falls = history.blocks.values[FLOOR], history.blocks.values[FALLS]
    gained = floors[:, scraped[-1]] - floors[:, scraped[0]]
    rows = (gained >= MIN_FALL).nonzero()[0]
    lost = counts[rows] <= MAX_LEFT * history.last[rows]
    if not lost.any():  # nearly every scrape
        return False
    rises = (np.diff(floors[rows][:, scraped], axis=1) > 0).sum(axis=1)
    departures = falls[rows][:, scraped].sum(axis=1)
    only_gained = (rises >= MIN_RISES) & (departures <= MAX_DEPARTURES * gained[rows])
    return bool(only_gained.any() and lost[only_gained].all())
