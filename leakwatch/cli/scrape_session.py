"""Watches some targets for a while, by the jobs and the pipeline of the daemon: for a check, for a live table."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from leakwatch.clock import Clock, Lag
from leakwatch.discovery.target_builder import TargetDefaults as Start
from leakwatch.discovery.target_builder import endpoint
from leakwatch.errors import ConfigError, DiscoveryError, UsageError, without_user
from leakwatch.http.client import Tls
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.config import DEFAULT_SIZE
from leakwatch.scrape.factory import build_loop
from leakwatch.scrape.loop import ScrapeLoop
from leakwatch.scrape.probes.config import ProbeSettings
from leakwatch.scrape.target_set import ScrapeTarget
from leakwatch.scrape.target_url import target_job

CREDIT = 0.25
"""Seconds of a core for the first scrapes, which make connections and ask for names: no gap shall come of them."""

REFRESH = 0.25  # seconds between two looks

OnEvents = Callable[[list[Event]], None]


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How to scrape: seconds; `cost_limit`: share of one core of each target; `closer`: the settings of probes."""

    interval: float
    timeout: float
    cost_limit: float
    closer: ProbeSettings


class SessionTarget:
    """One target that is watched: its job, and for how long it has been."""

    def __init__(self, job: ScrapeLoop, began: float) -> None:
        self.job = job
        self.began = began
        """When it was first asked, by the stopwatch."""
        self.up: float | None = None
        """When it first answered, None while it never has."""
        self.answered = began
        """When it last answered, or was first asked."""
        self.scrapes = 0
        """That were good."""

    def took_in(self, now: float) -> None:
        """Note what became of a call of the job, at `now`."""
        good = self.job.health.results["success"]
        if good > self.scrapes:
            self.up = now if self.up is None else self.up
            self.answered = now
        self.scrapes = good


class ScrapeSession:
    """Watches the targets at `urls`, each written [service=]URL; raises UsageError and ConfigError for bad ones.

    `tell` gets the verdicts that change.
    """

    def __init__(
        self,
        urls: Sequence[str],
        settings: DetectionSettings,
        how: SessionSettings,
        tell: OnEvents = lambda _: None,
    ) -> None:
        self.pipeline = Pipeline(settings)
        self.clock = Clock()
        self.stopped = False
        """Whether it was told to stop before its time."""
        self.vigils: list[SessionTarget] = []
        self._how = how
        self._tell = tell
        self._plans = dict(_plan(url, how) for url in urls)
        if len(self._plans) < len(urls):
            raise UsageError("a target is given twice")

    @property
    def targets(self) -> list[Target]:
        """What is watched."""
        return list(self._plans)

    async def run(self, over: Callable[[SessionTarget], bool], look: Callable[[], None] = lambda: None) -> None:
        """Watch each target until it is `over` for it, or until SIGINT or SIGTERM; call `look` now and then."""
        lag = Lag()
        lag.start()
        now = self.clock.stopwatch()
        self.vigils = [SessionTarget(self._job(target, plan, lag), now) for target, plan in self._plans.items()]
        watching = asyncio.gather(*(self._watch(one, over) for one in self.vigils))
        try:
            with self._stopping(watching):
                while not watching.done():
                    look()
                    await asyncio.wait([watching], timeout=REFRESH)
                if not self.stopped:
                    watching.result()
        finally:
            lag.stop()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.gather(*(one.job.close() for one in self.vigils))
        look()

    @contextlib.contextmanager
    def _stopping(self, watching: "asyncio.Future[list[None]]") -> Iterator[None]:
        """Let SIGINT and SIGTERM end it."""

        def stop() -> None:
            self.stopped = True
            watching.cancel()

        loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _job(self, target: Target, plan: ScrapeTarget, lag: Lag) -> ScrapeLoop:
        tls = Tls(plan.http.tls_config, secure=plan.endpoint.url.scheme == "https")
        return build_loop(target, plan, tls, self.pipeline, self.clock, lag.total, credit=CREDIT)

    async def _watch(self, one: SessionTarget, over: Callable[[SessionTarget], bool]) -> None:
        """Scrape at every interval, from the first good answer on half an interval off it.

        Blocks begin with the first good one: so their edges lie between scrapes, and none holds one too few
        because some came a little late.
        """
        clock, interval = self.clock, self._how.interval
        due = clock.stopwatch()
        while True:
            await asyncio.sleep(due - clock.stopwatch())
            fresh = one.up is None
            await one.job.run(self._tell)
            now = clock.stopwatch()
            one.took_in(now)
            if over(one):
                return
            if fresh and one.up is not None:
                due -= interval / 2
            due += interval * max(1, (now - due) // interval)  # one that is late comes at once, more are left out


def _plan(url: str, how: SessionSettings) -> tuple[Target, ScrapeTarget]:
    http = target_job(url)
    (group,) = http.static_configs
    labels = {**group.labels, "__address__": group.targets[0]}
    try:
        found = endpoint(labels, Start(job=http.job_name, scheme=http.scheme, path=http.profile_path))
    except DiscoveryError as error:
        raise ConfigError(f"{without_user(url)}: {error}") from error
    limits = how.cost_limit, DEFAULT_SIZE, http.profile_format, how.closer
    return found.target, ScrapeTarget(found, http.job_name, http, how.interval, how.timeout, *limits)
