"""How often a target may be scraped: what a scrape costs it is a debt that time pays off, at the agreed share.

A target that is always slow is scraped every duration / limit in the long run. One that is slow once in a while
draws on what it has saved in the last quarter of an hour, so that a single hiccup is no outage. Pure.
"""

from typing import Final

SAVED: Final = 900.0  # seconds of saving that count


class CostBudget:
    """The debt of one target; `interval`: seconds between calls; `limit`: share of one core."""

    def __init__(self, interval: float, limit: float) -> None:
        self.interval = interval
        """Seconds until the next scrape, a multiple of the interval between calls."""
        self.call = interval
        """Seconds between calls."""
        self._limit = limit
        self._debt = 0.0  # seconds of a core
        self._time: float | None = None

    def due(self, time: float) -> bool:
        """Tell whether a scrape is due at `time`, in seconds of any clock that does not step."""
        if self._time is not None:
            paid = self._limit * (time - self._time)
            self._debt = max(self._debt - paid, -self._limit * SAVED)
        self._time = time
        return self._debt <= self._slack()

    def charge(self, cost: float) -> None:
        """Add what a scrape cost, in seconds of a core."""
        self._debt += cost
        share = self._limit * self.call
        self.interval = self.call * max(1, -(-(self._debt - self._slack()) // share))

    def _slack(self) -> float:
        """Return a debt that is none: half a call, so that one that comes a little early counts as due."""
        return self._limit * self.call / 2
