"""Scrapes targets for a limited time, with the loops and the pipeline of the daemon."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from leakwatch.cli.stack_table import Refresh
from leakwatch.clock import Clock, Lag, thread_cpu_seconds
from leakwatch.discovery.target_builder import endpoint
from leakwatch.errors import ConfigError, DiscoveryError, UsageError, without_credentials
from leakwatch.http.client import Tls
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.budget import Cost, TargetBudget
from leakwatch.scrape.config import GlobalConfig
from leakwatch.scrape.factory import build_loop
from leakwatch.scrape.loop import ScrapeLoop
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.scrape.target_set import ScrapeTarget
from leakwatch.scrape.target_url import target_job

CREDIT = 0.25
"""CPU seconds in the cost budget at the start. Connecting and the symbol request would otherwise delay scrapes."""

REFRESH = 0.25  # seconds between two updates of the display

OnEvents = Callable[[list[Event]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How to scrape; times in seconds, `cost_limit` as a share of one core per target."""

    interval: float
    timeout: float
    cost_limit: float
    probes: ProbeSettings


class SessionTarget:
    """One target of a session. Times are those of the stopwatch."""

    def __init__(self, loop: ScrapeLoop, start: float) -> None:
        self.loop = loop
        self.start = start
        """Time before the first scrape."""
        self.first_success: float | None = None
        self.last_success = start
        """Time of the latest successful scrape, `start` before the first."""
        self.scrapes = 0
        """Successful scrapes."""

    def update(self, now: float) -> None:
        """Record the result of a scrape that ended at `now`."""
        successes = self.loop.state.health.results["success"]
        if successes > self.scrapes:
            self.first_success = now if self.first_success is None else self.first_success
            self.last_success = now
        self.scrapes = successes


IsOver = Callable[[SessionTarget], bool]
"""Returns whether to stop scraping a target."""


class ScrapeSession:
    """Scrapes the targets at `urls`, each written [service=]URL. `on_events` receives the verdicts that change.

    Raises UsageError and ConfigError if a URL is invalid.
    """

    def __init__(
        self,
        urls: Sequence[str],
        detection: DetectionSettings,
        settings: SessionSettings,
        on_events: OnEvents = lambda _: None,
    ) -> None:
        self.pipeline = Pipeline(detection)
        self.clock = Clock()
        self.stopped = False
        """Whether SIGINT or SIGTERM ended the session."""
        self.session_targets: list[SessionTarget] = []
        self._settings = settings
        self._on_events = on_events
        scrape_targets = [_scrape_target(url, settings) for url in urls]
        self._scrape_targets = {scrape_target.target: scrape_target for scrape_target in scrape_targets}
        if len(self._scrape_targets) < len(urls):
            raise UsageError("a target is given twice")

    @property
    def scrape_targets(self) -> list[ScrapeTarget]:
        """How the targets are scraped."""
        return list(self._scrape_targets.values())

    @property
    def targets(self) -> list[Target]:
        """The targets."""
        return list(self._scrape_targets)

    async def run(
        self,
        is_over: IsOver,
        refresh: Refresh = lambda: None,
        finish: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Scrape each target until `is_over` returns true for it, then call `finish`; or until SIGINT or SIGTERM.

        `refresh` is called every `REFRESH` seconds and at the end.
        """
        lag = Lag()
        lag.start()
        starts, now = (
            StartQueue(self.clock.stopwatch, idle=lag.idle, cpu=thread_cpu_seconds),
            self.clock.stopwatch(),
        )
        self.session_targets = [
            SessionTarget(self._loop(scrape_target, lag, starts), now)
            for scrape_target in self._scrape_targets.values()
        ]
        scraping = asyncio.ensure_future(self._scrape_all(is_over, finish))
        try:
            with self._stopped_by_signals(scraping):
                while not scraping.done():
                    refresh()
                    await asyncio.wait([scraping], timeout=REFRESH)
                if not self.stopped:
                    scraping.result()
        finally:
            lag.stop()
            scraping.cancel()
            await asyncio.gather(scraping, return_exceptions=True)
            await asyncio.gather(*(target.loop.close() for target in self.session_targets))
        refresh()

    async def _scrape_all(self, is_over: IsOver, finish: Callable[[], Awaitable[None]] | None) -> None:
        await asyncio.gather(*(self._scrape(target, is_over) for target in self.session_targets))
        if finish:
            await finish()

    @contextlib.contextmanager
    def _stopped_by_signals(self, scraping: "asyncio.Future[None]") -> Iterator[None]:
        """Cancel `scraping` on SIGINT or SIGTERM."""

        def stop() -> None:
            self.stopped = True
            scraping.cancel()

        event_loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            event_loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in signals:
                event_loop.remove_signal_handler(number)

    def _loop(self, scrape_target: ScrapeTarget, lag: Lag, starts: StartQueue) -> ScrapeLoop:
        budget = TargetBudget(scrape_target.endpoint.interval, scrape_target.job.cost_limit, own_limits={})
        budget.charge(Cost.DURATION, -CREDIT)
        tls = Tls(scrape_target.job.http.tls_config, secure=scrape_target.endpoint.url.scheme == "https")
        return build_loop(
            scrape_target,
            tls=tls,
            pipeline=self.pipeline,
            clock=self.clock,
            lag=lag.total,
            starts=starts,
            budget=budget,
        )

    async def _scrape(self, target: SessionTarget, is_over: IsOver) -> None:
        """Scrape a target at its interval, shifted by half an interval after the first success.

        Blocks begin with the first success. With the shift, their edges lie between two scrapes, so a scrape that
        is slightly late still counts for its block.
        """
        clock, interval = self.clock, self._settings.interval
        due = clock.stopwatch()
        while True:
            await asyncio.sleep(due - clock.stopwatch())
            was_new = target.first_success is None
            await target.loop.run(self._on_events)
            now = clock.stopwatch()
            target.update(now)
            if is_over(target):
                return
            if was_new and target.first_success is not None:
                due -= interval / 2
            due += interval * max(1, (now - due) // interval)  # a late scrape starts at once; more are skipped


def _scrape_target(url: str, settings: SessionSettings) -> ScrapeTarget:
    """Return how to scrape the target at [service=]URL; raises UsageError and ConfigError."""
    config = target_job(url)
    (group,) = config.static_configs
    job = replace(config.job(GlobalConfig()), cost_limit=settings.cost_limit, probes=settings.probes)
    try:
        address = endpoint({**group.labels, "__address__": group.targets[0]}, job.defaults)
    except DiscoveryError as error:
        raise ConfigError(f"{without_credentials(url)}: {error}") from error
    # Unlike in a job, the timeout may exceed the interval: a check of an expensive target is slow, but not wrong.
    return ScrapeTarget(replace(address, interval=settings.interval, timeout=settings.timeout), job)
