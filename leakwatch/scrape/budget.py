"""Cost budget of one target: the cost of scrapes is a debt that time pays off at the agreed share of a core. Pure.

A target that is always slow is scraped every duration / limit in the long run. A target that is slow occasionally
spends what it saved in the last 15 minutes, so that a single slow scrape does not cause a gap.
"""

from typing import Final

SAVED: Final = 900.0  # seconds of saving that count


class CostBudget:
    """The debt of one target, in seconds of a core.

    `call`: configured interval in seconds; `limit`: share of a core that pays the debt off.
    """

    def __init__(self, call: float, limit: float) -> None:
        self.interval = call
        """Seconds until the next scrape, a multiple of the seconds between calls."""
        self.call = call
        """Seconds between calls."""
        self._limit = limit
        self._debt = 0.0
        # Half a call of debt does not count, so that a call that comes a little early is allowed.
        self._slack = limit * call / 2
        self._time: float | None = None

    def allows(self, time: float) -> bool:
        """Return whether the target may be scraped at `time`, in seconds of a clock that does not step."""
        if self._time is not None:
            paid = self._limit * (time - self._time)
            self._debt = max(self._debt - paid, -self._limit * SAVED)
        self._time = time
        return self._debt <= self._slack

    def charge(self, cost: float) -> None:
        """Add the cost of a scrape, in seconds of a core."""
        self._debt += cost
        share = self._limit * self.call
        self.interval = self.call * max(1, -(-(self._debt - self._slack) // share))
