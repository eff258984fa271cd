"""Tells when a target is another process than before: by what it says of itself, else by what it holds. Pure."""

from collections import deque
from typing import Final

import numpy as np

from leakwatch.columns import MEAN
from leakwatch.history import History
from leakwatch.model import Process, Samples

REMEMBERED: Final = 8  # processes
MIXED: Final = 3600.0  # seconds since an earlier process answered again, during which nothing is judged
FELL: Final = 0.8  # of the total before, or less
LEAST: Final = 10  # goroutines; a smaller fall is nothing
LOST: Final = 0.8  # of the stacks that move have lost half or more
MOVING: Final = 3  # stacks at least, for this to mean something
SIZE: Final = 4.0  # goroutines of a stack that counts


class Identity:
    """Which process a target runs in."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.mixed = False
        """Whether several processes answer in turn, as behind a load balancer."""
        self._starts: deque[str] = deque(maxlen=REMEMBERED)
        self._returned = float("-inf")

    def changed(self, time: float, process: Process | None, history: History, samples: Samples) -> bool:
        """Tell whether the profile at `time` comes from another process than the one before."""
        if process is None:
            return self.process is None and has_fallen(history, samples)
        old, self.process = self.process, process
        if process.start not in self._starts:
            self._starts.append(process.start)
        elif old is not None and old.start != process.start:
            self._returned = time
        self.mixed = time - self._returned < MIXED
        return old is not None and old.start != process.start


def has_fallen(history: History, samples: Samples) -> bool:
    """Tell whether nearly all stacks whose counts move have lost half of their goroutines at once, or more."""
    before, total = float(history.last.sum()), sum(sample.goroutines for sample in samples.values())
    if history.time is None or total > FELL * before or before - total < LEAST:
        return False
    known = np.flatnonzero(history.blocks.scrapes)
    if not len(known):
        return False
    means = history.blocks.values[MEAN][:, known]
    moving = (history.last >= SIZE) & (means.max(axis=1) - means.min(axis=1) >= 1)
    counts = np.zeros(len(history.last))
    for fingerprint, sample in samples.items():
        row = history.rows.get(fingerprint)
        if row is not None:
            counts[row] = sample.goroutines
    lost = moving & (counts <= history.last / 2)
    return bool(moving.sum() >= MOVING and lost.sum() >= LOST * moving.sum())
