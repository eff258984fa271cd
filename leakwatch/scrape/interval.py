"""The interval of one target: as configured, or stretched by the cost budget or by overload."""

from typing import Final

import structlog

from leakwatch.model import TargetHealth
from leakwatch.scrape.budget import CostBudget

CALM: Final = 20  # scrapes at the configured interval after which the interval is back to normal


class TargetInterval:
    """Sets the interval in `health`, and logs when it is stretched and when it is back to normal."""

    def __init__(
        self, budget: CostBudget, health: TargetHealth, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.missed = 0
        """Scrapes that were due while the latest one waited to start."""
        self._budget = budget
        self._health = health
        self._log = log
        self._calm = CALM

    def update(self) -> None:
        """Set the interval: that of the budget, or a longer one if scrapes wait to start."""
        budget, overloaded = self._budget, self._budget.call * (1 + self.missed)
        self._health.interval = max(budget.interval, overloaded)
        if overloaded > budget.interval:
            self._health.stretched_by = "overload"
        else:
            self._health.stretched_by = "duration" if budget.interval > budget.call else ""

    def scraped(self, seconds: float) -> None:
        """Update after a scrape of `seconds`; log begin and end of the stretching, not each change in between."""
        self.update()
        interval, stretched = self._budget.interval, self._budget.interval > self._budget.call
        if stretched and self._calm >= CALM:
            self._log.info("interval stretched to spare the target", interval=interval, duration=round(seconds, 4))
        self._calm = 0 if stretched else self._calm + 1
        if self._calm == CALM:
            self._log.info("interval is back to normal", interval=interval)
