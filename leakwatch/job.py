"""The scrape job of one target: fetch, hand over, keep score, and stay within what the target agreed to pay."""

from collections.abc import Callable

import structlog

from leakwatch.clock import Clock
from leakwatch.errors import ScrapeError
from leakwatch.model import Event, Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape import Health, Scraper

log = structlog.get_logger()

Tell = Callable[[list[Event]], None]


class Job:
    """Scrapes one target each time it is called, unless that would cost the target more than its share.

    `interval`: seconds between calls; `cost_limit`: share of one core; `lag`: for how long, in all, we were late.
    """

    def __init__(
        self,
        target: Target,
        scraper: Scraper,
        pipeline: Pipeline,
        clock: Clock,
        lag: Callable[[], float],
        *,
        interval: float,
        cost_limit: float,
    ) -> None:
        self.target = target
        self.health = Health(interval=interval)
        self._scraper = scraper
        self._pipeline = pipeline
        self._clock = clock
        self._lag = lag
        self._interval = interval
        self._cost_limit = cost_limit
        self._next = 0.0

    async def run(self, tell: Tell) -> None:
        """Scrape once, if it is time; give the events to `tell`."""
        start = self._clock.time()
        if start < self._next:
            return
        body, late = self._pipeline.body(), self._lag()
        try:
            try:
                await self._scraper.fetch(body)
            finally:
                # What our own loop was late is no work of the target's.
                self._pace(start, max(self._clock.time() - start - (self._lag() - late), 0.0))
            total, samples = body.close()
        except ScrapeError as error:
            self._failed(error)
        else:
            self._succeeded()
            tell(self._pipeline.observe(self.target, start, total, samples))

    async def close(self) -> None:
        """Close the connection to the target."""
        await self._scraper.close()

    def _succeeded(self) -> None:
        health = self.health
        if health.up is not True:
            log.info(
                "target is up",
                service=self.target.service,
                target=self.target.name,
                bytes=self._scraper.body_bytes,
            )
        health.up, health.error = True, ""
        health.results["success"] += 1

    def _failed(self, error: ScrapeError) -> None:
        health = self.health
        health.results[error.reason] += 1
        if health.up is not False or health.reason != error.reason:  # once, not at every interval
            log.warning(
                "scrape failed",
                service=self.target.service,
                target=self.target.name,
                reason=error.reason,
                error=str(error),
            )
        health.up, health.reason, health.error = False, error.reason, str(error)

    def _pace(self, start: float, duration: float) -> None:
        """Put the next scrape off for as long as this one has to be paid for."""
        health = self.health
        health.time, health.duration, health.body_bytes = start, duration, self._scraper.body_bytes
        pause = duration / self._cost_limit if self._scraper.paid else 0.0
        # Half an interval of slack: a call that comes a little early is the call that is due.
        self._next = start + pause - self._interval / 2 if pause > self._interval else 0.0
        interval = self._interval * max(1, -(-pause // self._interval))
        if (interval > self._interval) != (health.interval > self._interval):
            log.info(
                "interval stretched to spare the target"
                if interval > self._interval
                else "interval is normal again",
                service=self.target.service,
                target=self.target.name,
                interval=round(interval, 3),
                duration=round(duration, 4),
                scrape_cost_limit=self._cost_limit,
            )
        health.interval = interval
        if self._pipeline.stretch(self.target, interval):
            log.info(
                "block grows with the interval: judged later",
                service=self.target.service,
                target=self.target.name,
                block=self._pipeline.watch(self.target).history.block,
            )
