"""Budgets of one target: what its scrapes may cost the service and leakwatch. Pure.

Each scrape adds its cost to a debt, which shrinks by `limit` per second. A target that is always expensive is
scraped every cost / limit seconds in the long run. A target that is expensive occasionally spends what it saved,
so that a single expensive scrape does not cause a gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
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
    """`per_second`: cost; `saved`: seconds of saving that count."""

    per_second: float
    saved: float


SAVED: Final = 900.0  # seconds of saving that count for the service
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


class CostBudget:
    """The debt of one target for one kind of cost.

    `call`: configured interval in seconds; `limit`: cost per second that pays the debt off; `saved`: seconds of
    saving that count.
    """

    def __init__(self, call: float, limit: float, saved: float = SAVED) -> None:
        self.interval = call
        """Seconds until the next scrape, a multiple of the seconds between calls."""
        self._call = call
        self._limit = limit
        self._saved = saved
        self._debt = 0.0
        # Half a call of debt does not count, so that a call that comes a little early is allowed.
        self._slack = limit * call / 2
        self._time: float | None = None
        self._spent = self._elapsed = 0.0  # cost and seconds; older ones count less

    @property
    def mean(self) -> float:
        """The mean cost per second, over the last minutes and until the next call."""
        return self._spent / (self._elapsed + self._call)

    def allows(self, time: float) -> bool:
        """Return whether the target may be scraped at `time`, in seconds of a clock that does not step."""
        if self._time is not None:
            elapsed = time - self._time
            self._debt = max(self._debt - self._limit * elapsed, -self._limit * self._saved)
            decay = 0.5 ** (elapsed / MEAN_HALF_LIFE)
            self._spent, self._elapsed = decay * self._spent, decay * (self._elapsed + elapsed)
        self._time = time
        return self._debt <= self._slack

    def charge(self, cost: float) -> None:
        """Add the cost of a scrape."""
        self._debt += cost
        self._spent += cost
        share = self._limit * self._call
        self.interval = self._call * max(1, -(-(self._debt - self._slack) // share))


class TargetBudget:
    """The budgets of one target for all costs.

    `call`: configured interval in seconds; `limit`: seconds of a core per second that scrapes may cost the
    service; `own_limits`: what they may cost leakwatch.
    """

    def __init__(self, call: float, limit: float, own_limits: Mapping[Cost, Limit] = OWN_LIMITS) -> None:
        self.call = call
        """Seconds between calls."""
        self._budgets = {Cost.DURATION: CostBudget(call, limit)}
        for cost, own in own_limits.items():
            self._budgets[cost] = CostBudget(call, own.per_second, own.saved)
            self.charge(cost, -own.per_second * own.saved)  # the first scrape parses each stack for the first time

    @property
    def interval(self) -> float:
        """Seconds until the next scrape, a multiple of the seconds between calls."""
        return max(budget.interval for budget in self._budgets.values())

    @property
    def mean(self) -> float:
        """The mean share of one core that scrapes cost the service, at most."""
        return self._budgets[Cost.DURATION].mean

    @property
    def stretched_by(self) -> Cost | None:
        """The cost that stretches the interval most, None if it is not stretched."""
        longest = max(self._budgets, key=lambda cost: self._budgets[cost].interval)
        return longest if self._budgets[longest].interval > self.call else None

    def allows(self, time: float) -> bool:
        """Return whether the target may be scraped at `time`, in seconds of a clock that does not step."""
        return all([budget.allows(time) for budget in self._budgets.values()])  # noqa: C419  each must know the time

    def charge(self, cost: Cost, amount: float) -> None:
        """Add a cost of a scrape."""
        budget = self._budgets.get(cost)
        if budget:
            budget.charge(amount)
