"""Tells when a target is another process than before: by what it says of itself, else by what it holds. Pure."""

from collections import deque
from typing import Final

import numpy as np

from leakwatch.detect.columns import DOWN, FLOOR, MEAN
from leakwatch.detect.history import History
from leakwatch.model import Process, Samples

REMEMBERED: Final = 8  # processes
MIXED: Final = 3600.0  # seconds since an earlier process answered again, during which nothing is judged
FELL: Final = 0.8  # of the total before, or less
LEAST: Final = 10  # goroutines; a smaller fall is nothing
LOST: Final = 0.8  # of the stacks that move have lost half or more
MOVING: Final = 3  # stacks at least, for this to mean something
SIZE: Final = 4.0  # goroutines of a stack that counts
RISES: Final = 6  # blocks in which a stack rose that has only ever gained
KEPT: Final = 0.05  # of the gain may have left again
GONE: Final = 0.2  # of the goroutines that are left when nearly all are gone


class ProcessTracker:
    """Which process a target runs in."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.mixed = False
        """Whether several processes answer in turn, as behind a load balancer."""
        self.build = ""
        """The latest that is known."""
        self.rebuilt = False
        """Whether the process before this one was another build."""
        self._starts: deque[str] = deque(maxlen=REMEMBERED)
        self._returned = float("-inf")

    def changed(self, time: float, process: Process | None, history: History, samples: Samples) -> bool:
        """Tell whether the profile at `time` comes from another process than the one before."""
        if process is None:
            fallen = has_fallen(history, samples)
            if fallen:
                self.process = None  # which one it is now is not known
            return fallen
        old, self.process = self.process, process
        if old is None or old.start != process.start:
            self._takes(process.build or self.build)
        if process.start not in self._starts:
            self._starts.append(process.start)
        elif old is not None and old.start != process.start:
            self._returned = time
        self.mixed = time - self._returned < MIXED
        return old is not None and old.start != process.start

    def inherit(self, old: "ProcessTracker") -> None:
        """Compare with the build of a process whose place this one takes, now or once it tells its own."""
        build, self.build = self.build, old.build
        if build:
            self._takes(build)

    def _takes(self, build: str) -> None:
        self.rebuilt = bool(self.build) and build != self.build
        self.build = build


def has_fallen(history: History, samples: Samples) -> bool:
    """Tell whether the counts fell at once as they do at a restart.

    Either nearly all stacks whose counts move have lost half of their goroutines; or, where busy ones are back
    before the next scrape, all that had only ever gained have lost nearly all they gained.
    """
    known = np.flatnonzero(history.blocks.scrapes)
    if history.time is None or not len(known):
        return False
    counts = np.zeros(len(history.last))
    for fingerprint, sample in samples.items():
        row = history.rows.get(fingerprint)
        if row is not None:
            counts[row] = sample.goroutines
    before, total = float(history.last.sum()), sum(sample.goroutines for sample in samples.values())
    columns = history.blocks.values[:, :, known]
    moving = (history.last >= SIZE) & (columns[MEAN].max(axis=1) - columns[MEAN].min(axis=1) >= 1)
    lost = moving & (counts <= history.last / 2)
    fell = total <= FELL * before and before - total >= LEAST and moving.sum() >= MOVING
    if fell and lost.sum() >= LOST * moving.sum():
        return True
    gained = columns[FLOOR, :, -1] - columns[FLOOR, :, 0]
    rises = (np.diff(columns[FLOOR], axis=1) > 0).sum(axis=1)
    only = (gained >= LEAST) & (rises >= RISES) & (columns[DOWN].sum(axis=1) <= KEPT * gained)
    return bool(only.any() and (counts[only] <= GONE * history.last[only]).all())
