"""The interval of one target: as configured, or stretched by a budget or by overload."""

from typing import Final

import structlog

from leakwatch.model import TargetHealth
from leakwatch.scrape.budget import Cost, TargetBudget

CALM: Final = 20  # scrapes at the configured interval after which the interval is back to normal


class TargetInterval:
    """Sets the interval in `health`, and logs when a budget stretches it and when it is back to normal."""

    def __init__(
        self, budget: TargetBudget, health: TargetHealth, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._budget = budget
        self._health = health
        self._log = log
        self._calm = CALM
        health.interval, health.stretched_by = budget.interval, ""

    def scraped(self, missed: int) -> None:
        """Update the interval after a scrape; `missed`: scrapes that were due while this one waited to start.

        Only the beginning and the end of the stretching are logged, not each change in between.
        """
        budget, health, cost = self._budget, self._health, self._budget.stretched_by
        overloaded = budget.call * (1 + missed)
        health.interval, health.cost = max(budget.interval, overloaded), budget.mean
        health.stretched_by = "overload" if overloaded > budget.interval else cost or ""
        if cost and self._calm >= CALM:
            self._log.info(
                "interval stretched to spare the target"
                if cost is Cost.DURATION
                else "interval stretched to spare leakwatch",
                interval=budget.interval,
                reason=cost.value,
                duration=round(health.duration, 4),
                bytes=health.body_bytes,
            )
        self._calm = 0 if cost else self._calm + 1
        if self._calm == CALM:
            self._log.info("interval is back to normal", interval=budget.interval)
