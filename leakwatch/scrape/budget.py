"""Budgets of one target: what its scrapes may cost the service and leakwatch. Pure.

Each scrape adds cost / limit seconds to a debt, which time pays off. A target that is always expensive is scraped
every cost / limit seconds in the long run. A target that is expensive occasionally spends what it saved, so that a
single expensive scrape does not cause a gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final


class Cost(StrEnum):
    """A kind of cost of a scrape."""

    DURATION = "duration"
    """Seconds of a core of the service: the duration of its responses, at most."""
    CPU = "cpu"
    """CPU seconds of leakwatch."""
    BYTES = "bytes"
    """Bytes that leakwatch parses, decompressed."""
    STACKS = "new_stacks"
    """Stacks without a series, for each of which leakwatch builds one."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of one cost, per second. `saved`: seconds of unused limit that a target may save, at most."""

    per_second: float
    saved: float


SAVED: Final = 900.0  # seconds of unused limit that a target may save, for the cost of the service
SLACK: Final = 0.5  # calls of debt that do not count, so that a slightly early call is allowed
MEAN_HALF_LIFE: Final = 300.0  # seconds; the mean hides a single slow response
OWN_LIMITS: Final = {
    Cost.CPU: Limit(0.1, 60.0),
    Cost.BYTES: Limit(128 * 1024**2 / 60, 60.0),
    Cost.STACKS: Limit(20_000 / 60, 60.0),
}
"""Limits that protect leakwatch and its other targets.

At 15 s, a service with 10,000 stacks sends 50 MiB per minute, takes 3 % of a core, and has 10,000 new stacks at
its first scrape and none later.
"""


class TargetBudget:
    """The debts of one target, one for each cost.

    `call`: configured interval in seconds; `limit`: seconds of a core per second that scrapes may cost the
    service; `own_limits`: what they may cost leakwatch.
    """

    def __init__(self, call: float, limit: float, own_limits: Mapping[Cost, Limit] = OWN_LIMITS) -> None:
        self.call = call
        """Seconds between calls."""
        self._limits = {Cost.DURATION: Limit(limit, SAVED), **own_limits}
        # Leakwatch's own budgets begin with savings: the first scrape parses each stack for the first time.
        self._debts = {cost: -own_limits[cost].saved if cost in own_limits else 0.0 for cost in self._limits}
        """Cost -> seconds that pay the debt off."""
        self._time: float | None = None
        self._spent = self._elapsed = 0.0  # duration and seconds; older ones count less

    @property
    def interval(self) -> float:
        """Seconds until the next scrape, a multiple of the seconds between calls."""
        return self.call * max(1, ceil(max(self._debts.values()) / self.call - SLACK))

    @property
    def mean(self) -> float:
        """The mean share of one core that scrapes cost the service, at most: over minutes, until the next call."""
        return self._spent / (self._elapsed + self.call)

    @property
    def stretched_by(self) -> Cost | None:
        """The cost that stretches the interval most, None if it is not stretched."""
        return max(self._debts, key=self._debts.__getitem__) if self.interval > self.call else None

    def allows(self, time: float) -> bool:
        """Return whether the target may be scraped at `time`, in seconds of a clock that does not step."""
        if self._time is not None:
            elapsed = time - self._time
            for cost, limit in self._limits.items():
                self._debts[cost] = max(self._debts[cost] - elapsed, -limit.saved)
            decay = 0.5 ** (elapsed / MEAN_HALF_LIFE)
            self._spent, self._elapsed = decay * self._spent, decay * (self._elapsed + elapsed)
        self._time = time
        return max(self._debts.values()) <= SLACK * self.call

    def charge(self, cost: Cost, amount: float) -> None:
        """Add a cost of a scrape."""
        if cost in self._debts:
            self._debts[cost] += amount / self._limits[cost].per_second
        if cost is Cost.DURATION:
            self._spent += amount
