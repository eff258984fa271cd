"""The daemon: wires discovery, jobs, pipeline and web together, and keeps them in step with the configuration."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

import structlog

from leakwatch import __version__
from leakwatch.clock import Clock, Lag
from leakwatch.config import Config
from leakwatch.discovery.shard import Shard
from leakwatch.errors import ConfigError, LeakwatchError
from leakwatch.evidence.metrics import EvidenceCollector
from leakwatch.evidence.recorder import EvidenceRecorder
from leakwatch.leaks.model import Event, Leak
from leakwatch.model import Target, TargetHealth
from leakwatch.notify.log import log_event
from leakwatch.notify.metrics import NotificationCollector
from leakwatch.notify.notifier import Notifier
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.backfill import Backfill
from leakwatch.scrape.loops import ScrapeLoops
from leakwatch.scrape.metrics import DiscoveryCollector, StackCollector
from leakwatch.scrape.prometheus_api import PrometheusApi
from leakwatch.scrape.scheduler import Scheduler
from leakwatch.scrape.target_set import TargetSet
from leakwatch.web import lazy as later
from leakwatch.web.api.cache import Recent, Sparklines
from leakwatch.web.api.state import AppState
from leakwatch.web.app import make_app
from leakwatch.web.metrics import DaemonCollector, make_registry
from leakwatch.web.server.server import Web, address, bind
from leakwatch.web.server.web_config_file import WebFile

log = structlog.get_logger()

HOUR = 3600.0
RULES, EXPIRE = "ignore", "expire"  # names of jobs of the schedule


class Daemon:
    """Runs until told to stop.

    `load`: reads the configuration, raises ConfigError; `web`: whom to let in; `shard`: whose services to watch.
    """

    def __init__(self, load: Callable[[], Config], web: WebFile | None = None, shard: Shard | None = None) -> None:
        self.config = load()
        self._web_file = web or WebFile()
        self.url = ""
        """Where our own pages are, known once it runs."""
        self._load = load
        self._clock = Clock()
        self._lag = Lag()
        self._started = self._clock.time()
        self._reloaded = ("", self._started)
        self.pipeline = Pipeline(self.config.judging())
        self.evidence = EvidenceRecorder(self.config.evidence, self.pipeline, self._clock)
        self._scheduler = Scheduler(self._clock)
        self._loops = ScrapeLoops(
            pipeline=self.pipeline,
            scheduler=self._scheduler,
            clock=self._clock,
            lag=self._lag.total,
            recorders=self.evidence,
            on_events=self._on_events,
        )
        self._targets = TargetSet(self._update_loops, self._clock, shard or Shard())
        self._backfill: Backfill | None = None
        self._backfilling: asyncio.Task[None] | None = None
        self._notifier = Notifier(self._clock, self.pipeline.open_leaks, self.pipeline.health)
        self._stop = asyncio.Event()
        self._stacks = StackCollector(
            self.pipeline,
            self.health,
            self._clock.wall,
            per_target=self.config.metrics.stacks_per_target,
            limit=self.config.metrics.series_limit,
        )

    async def run(self, reload_on: signal.Signals | None = signal.SIGHUP) -> None:
        """Serve and scrape until stopped; raises ConfigError if it cannot begin.

        SIGINT, SIGTERM and SIGHUP stop it, but for `reload_on`, which takes the configuration anew.
        """
        web = self._serve()
        self._listen(reload_on)
        await self._begin_work()
        web.start()
        log.info(
            "leakwatch runs", version=__version__, url=self.url, metrics=f"{self.url}/metrics", address=web.url
        )
        await self._stop.wait()
        log.info("leakwatch stops")
        await self._end_work(web)

    def _serve(self) -> Web:
        """Bind our address and return what will serve there; raises ConfigError if it is taken."""
        bound, prefix = bind(self.config.web.listen), self.config.web.prefix()
        here = address(bound, secure=self._web_file.secure) + prefix
        self.url = self.config.web.external_url or here
        own = DaemonCollector(self._last_reload, self._web_file.in_force)
        found = DiscoveryCollector(self._targets, self._clock.wall)
        kept, sent = EvidenceCollector(self.evidence.store), NotificationCollector(self._notifier.clients)
        registry = make_registry(self._stacks, own, found, kept, sent)
        source = self._source()
        app = make_app(self, registry, later.api(source), later.pages(source), prefix)
        return Web(app, bound, self._web_file, here)

    def _source(self) -> AppState:
        return AppState(
            pipeline=self.pipeline,
            clock=self._clock,
            health=self.health,
            config=lambda: self.config,
            targets=self._targets,
            senders=self._notifier.clients,
            lag=self._lag,
            reloaded=lambda: self._reloaded,
            ready=self.ready,
            started=self._started,
            url=self.url,
            web_file=self._web_file,
            recent=Recent(5),
            sparklines=Sparklines(60),
            stop=self._stop,
            evidence=self.evidence.store,
        )

    def _listen(self, reload_on: signal.Signals | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        if reload_on:
            loop.add_signal_handler(reload_on, lambda: loop.create_task(self._reload_quietly()))

    async def _begin_work(self) -> None:
        self._lag.start()
        self.evidence.store.start()
        self._scheduler.start()
        self._scheduler.every(RULES, HOUR, HOUR, self._report_rules)
        self._scheduler.every(EXPIRE, self.config.detection.block, self.config.detection.block, self._expire)
        if self.config.warm_from:
            server = PrometheusApi(self.config.warm_from)
            self._backfill = Backfill(server, self.pipeline, self._clock)
            self._backfilling = asyncio.create_task(self._backfill.run())
        await self._targets.configure(self.config.jobs())
        self._notifier.configure(self.config.alerting, self.url)
        self._notifier.start()

    async def _end_work(self, web: Web) -> None:
        if self._backfilling:
            self._backfilling.cancel()
        self._lag.stop()
        self._scheduler.stop()
        self._targets.stop()
        await asyncio.gather(web.stop(), self._notifier.stop(), self._loops.close())
        await self.evidence.store.stop()
        if self._backfill:
            await self._backfill.close()

    async def _report_rules(self) -> None:
        """Say which rules of `ignore` match nothing: a misspelled one would go unnoticed until it is needed."""
        for rule in self.pipeline.unmatched():
            log.warning("a rule of ignore matches no stack", rule=str(rule))

    async def _expire(self) -> None:
        self._on_events(self.pipeline.expire(self._clock.time()))

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stop.set()

    def ready(self) -> str:
        """Return "" when every discovery has told its targets, else what is waited for."""
        waiting, discoverers = self._targets.waiting
        return f"waiting for {waiting} of {discoverers} discoverers" if waiting else ""

    def _last_reload(self) -> tuple[bool, float]:
        mistake, time = self._reloaded
        return not mistake, self._clock.wall(time)

    def leaks(self) -> list[Leak]:
        """Return the open leaks, the most urgent first."""
        return self.pipeline.open_leaks()

    def time(self) -> float:
        """Return the daemon's time, in unix seconds."""
        return self._clock.time()

    def health(self) -> dict[Target, TargetHealth]:
        """Return the health of each target."""
        return self.pipeline.health()

    async def reload(self) -> None:
        """Take the configuration anew; a bad one changes nothing. Raises ConfigError."""
        try:
            config = self._read()
            if config.web != self.config.web:
                log.warning("what changed in web counts from the next start", **config.web.model_dump())
            if config.warm_from != self.config.warm_from:
                log.warning("what changed in warm_from counts from the next start")
            if config.evidence.path != self.config.evidence.path:
                log.warning("what changed in evidence.path counts from the next start")
        except ConfigError as error:
            self._reloaded = (str(error), self._reloaded[1])
            log.error("reload failed, the old configuration stays in force", error=str(error))  # noqa: TRY400  the message says it all
            raise
        self._reloaded = ("", self._clock.time())
        self.config = config
        self._stacks.per_target = config.metrics.stacks_per_target
        self._stacks.limit = config.metrics.series_limit
        if self.pipeline.configure(config.judging()):
            log.warning("all history starts over: detection.block or detection.series_limit changed")
        self.evidence.store.configure(config.evidence)
        self._loops.reload()
        await self._targets.configure(config.jobs())
        self._notifier.configure(config.alerting, self.url)
        log.info("configuration reloaded")

    def _read(self) -> Config:
        try:
            return self._load()
        except LeakwatchError:
            raise
        except Exception as error:
            log.exception("the configuration cannot be read, by a mistake of ours")
            raise ConfigError(f"the configuration cannot be read: {error!r}") from error

    async def _reload_quietly(self) -> None:
        with contextlib.suppress(ConfigError):  # is logged
            await self.reload()

    def _update_loops(self) -> None:
        """Scrape the discovered targets."""
        self._loops.update(self._targets.targets, complete=not self._targets.waiting[0])
        if self._backfill:
            self._backfill.want(self.pipeline.services)

    def _on_events(self, events: list[Event]) -> None:
        """Pass verdicts that changed to the notifier, the evidence and the log."""
        if events:
            self._notifier.wake()
            self.evidence.on_events(events)
        for event in events:
            log_event(event)
