"""The daemon: connects discovery, scrape loops, pipeline, notifier and web, and applies configuration changes."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from leakwatch import __version__
from leakwatch.clock import Clock, Lag, thread_cpu_seconds
from leakwatch.config import Config
from leakwatch.discovery.metrics import DiscoveryCollector
from leakwatch.discovery.shard import Shard
from leakwatch.errors import ConfigError, LeakwatchError
from leakwatch.evidence.recorder import EvidenceRecorder
from leakwatch.leaks.model import Event
from leakwatch.notify.links import AlertLinks
from leakwatch.notify.log import log_event
from leakwatch.notify.notifier import Notifier
from leakwatch.pipeline import Pipeline
from leakwatch.scrape import start_queue
from leakwatch.scrape.backfill import Backfill
from leakwatch.scrape.loops import ScrapeLoops
from leakwatch.scrape.metrics import LoadCollector, TargetCollector
from leakwatch.scrape.scheduler import Scheduler
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.scrape.target_set import TargetSet
from leakwatch.settings.file_changes import FileChanges
from leakwatch.storage.metrics import StorageCollector
from leakwatch.storage.storage import Storage
from leakwatch.web.api.fleet import Fleet
from leakwatch.web.api.state import AlertContext, AppState, OwnState
from leakwatch.web.app import build_web
from leakwatch.web.server.web_config_file import WebFile

log = structlog.get_logger()

HOUR = 3600.0
CONFIG_CHECK = 5.0  # seconds between two checks whether the configuration file changed, as for file_sd_configs
RULES, EXPIRE, OVERLOAD, CONFIG = "ignore", "expire", "overload", "config"  # names of scheduled jobs


class Daemon:
    """Runs until it is stopped.

    `load`: reads the configuration, raises ConfigError; `web`: access to the web server; `shard`: the services of
    this process.
    """

    def __init__(self, load: Callable[[], Config], web: WebFile | None = None, shard: Shard | None = None) -> None:
        self._file = FileChanges(None)
        self.config = load()
        self._web_file = web or WebFile()
        self.url = ""
        """URL of the first page, "" before `run`."""
        self._load = load
        self._clock = Clock()
        self._lag = Lag()
        self._started = self._clock.time()
        self._reloaded = ("", self._started)
        self.pipeline = Pipeline(self.config.judging())
        self.evidence = EvidenceRecorder(self.config.evidence, self.pipeline, self._clock)
        self._scheduler = Scheduler(self._clock)
        self._starts = StartQueue(self._clock.stopwatch, idle=self._lag.idle, cpu=thread_cpu_seconds)
        self._loops = ScrapeLoops(
            pipeline=self.pipeline,
            scheduler=self._scheduler,
            clock=self._clock,
            lag=self._lag.total,
            starts=self._starts,
            recorders=self.evidence,
            on_events=self._on_events,
        )
        self._targets = TargetSet(self._update_loops, self._clock, shard or Shard())
        self._backfill: Backfill | None = None
        self._backfilling: asyncio.Task[None] | None = None
        self._notifier = Notifier(self._clock, self.pipeline.open_leaks, self.pipeline.health)
        self.storage = Storage(self.config.storage, self.pipeline, self._notifier, self._clock)
        self._stop = asyncio.Event()
        self._target_collector = TargetCollector(
            self.pipeline,
            self.pipeline.health,
            self._clock.wall,
            per_target=self.config.metrics.stacks_per_target,
            limit=self.config.metrics.series_limit,
        )
        self._target_collector.verdict_label = self.config.metrics.verdict_label

    async def run(self, reload_on: signal.Signals | None = signal.SIGHUP) -> None:
        """Serve and scrape until stopped; raises ConfigError if it cannot start.

        SIGINT, SIGTERM and SIGHUP stop it, except the signal `reload_on`, which reloads the configuration.
        """
        loop = asyncio.get_running_loop()
        collectors = (
            self._target_collector,
            DiscoveryCollector(self._targets.counts, self._targets.discoverers, self._clock.wall),
            StorageCollector(self.storage.status, self._clock.wall),
            LoadCollector(self._starts, self._lag.delays, lambda: len(asyncio.all_tasks(loop))),
        )
        web = build_web(self.config.web, self._web_file, self._app_state, collectors, self.reload)
        self.url = web.url
        await self.storage.start()  # before anything reads the clock, which it sets
        self._started = self._clock.time()
        self._reloaded = ("", self._started)
        self._listen(reload_on)
        await self._start_work()
        web.start()
        log.info(
            "leakwatch runs", version=__version__, url=self.url, metrics=f"{self.url}/metrics", address=web.address
        )
        await asyncio.to_thread(self.pipeline.settings.causes.load)  # the first leak would wait for it
        await self._stop.wait()
        log.info("leakwatch stops")
        await self._end_work(web.stop())

    def _app_state(self, url: str) -> AppState:
        """Return the state behind pages and API; `url`: of the overview."""
        return AppState(
            fleet=Fleet(
                pipeline=self.pipeline,
                clock=self._clock,
                health=self.pipeline.health,
                scrape_targets=lambda: self._targets.targets,
                pauses=self.storage.pauses,
            ),
            own=OwnState(
                started=lambda: self._started,
                lag=self._lag,
                starts=self._starts,
                configuration_yaml=lambda: self.config.to_yaml(),  # noqa: PLW0108  a reload replaces the configuration
                last_reload=lambda: self._reloaded,
                ready=self.ready,
                access=self._web_file.summary,
                built_targets=self._targets.counts,
                discoverers=self._targets.discoverers,
                alertmanagers=self._notifier.clients,
                storage=self.storage.status,
            ),
            alerts=AlertContext(
                url=url,
                external_labels=lambda: self.config.alerting.external_labels,
                alertmanager=lambda: self.config.links.alertmanager or "",
                dashboard=lambda: self.config.links.dashboard,
            ),
            evidence=self.evidence.store,
            checkouts=lambda: self.config.links.checkout,
            stop=self._stop,
        )

    def _listen(self, reload_on: signal.Signals | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        if reload_on:
            loop.add_signal_handler(reload_on, lambda: loop.create_task(self._reload_quietly()))

    async def _start_work(self) -> None:
        self._lag.start()
        self.evidence.store.start()
        self._scheduler.start()
        self._scheduler.every(RULES, HOUR, HOUR, self._report_rules)
        self._scheduler.every(EXPIRE, self.config.detection.block, self.config.detection.block, self._expire)
        self._scheduler.every(OVERLOAD, start_queue.PERIOD, start_queue.PERIOD, self._judge_overload)
        if self.config.warm_from:
            self._backfill = Backfill.from_config(self.config.warm_from, self.pipeline, self._clock)
            self._backfill.skip(self.pipeline.services)
            self._backfilling = asyncio.create_task(self._backfill.run())
        await self._targets.configure(self.config.jobs())
        self._configure_notifier()
        self._notifier.start()
        self._scheduler.every(CONFIG, CONFIG_CHECK, CONFIG_CHECK, self._reload_if_changed)

    def _configure_notifier(self) -> None:
        links = AlertLinks(self.url, self.config.links.dashboard)
        self._notifier.configure(self.config.alerting, links, self.config.metrics.target_labels)

    async def _end_work(self, web_stop: Coroutine[Any, Any, None]) -> None:
        if self._backfilling:
            self._backfilling.cancel()
        self._lag.stop()
        self._scheduler.stop()
        self._targets.stop()
        await asyncio.gather(web_stop, self._notifier.stop(), self._loops.close())
        await self.storage.stop()
        await self.evidence.store.stop()
        if self._backfill:
            await self._backfill.close()

    async def _report_rules(self) -> None:
        """Log the rules of `ignore` that match no stack: they may be misspelled."""
        for rule in self.pipeline.unmatched():
            log.warning("ignore rule matches no stack", rule=str(rule))

    async def _judge_overload(self) -> None:
        self._starts.judge()

    async def _expire(self) -> None:
        self._on_events(self.pipeline.expire(self._clock.time()))

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stop.set()

    def ready(self) -> str:
        """Return "" if every discoverer has reported its targets, else the reason why leakwatch is not ready."""
        waiting, discoverers = self._targets.waiting
        return f"waiting for {waiting} of {discoverers} discoverers" if waiting else ""

    def time(self) -> float:
        """Return the daemon's time, in unix seconds."""
        return self._clock.time()

    async def reload(self) -> None:
        """Reload the configuration. An invalid one changes nothing and raises ConfigError."""
        try:
            config = self._read()
            if config.web != self.config.web:
                log.warning("changes to web take effect after a restart", **config.web.model_dump())
            if config.warm_from != self.config.warm_from:
                log.warning("changes to warm_from take effect after a restart")
            if config.evidence.path != self.config.evidence.path:
                log.warning("changes to evidence.path take effect after a restart")
            if config.storage.path != self.config.storage.path:
                log.warning("changes to storage.path take effect after a restart")
        except ConfigError as error:
            self._reloaded = (str(error), self._reloaded[1])
            log.error("reload failed, the old configuration stays in force", error=str(error))  # noqa: TRY400  no traceback needed
            raise
        self._reloaded = ("", self._clock.time())
        self.config = config
        self._target_collector.per_target = config.metrics.stacks_per_target
        self._target_collector.limit = config.metrics.series_limit
        self._target_collector.verdict_label = config.metrics.verdict_label
        if self.pipeline.configure(config.judging()):
            log.warning("all histories were dropped: detection.block or detection.series_limit changed")
        self.evidence.store.configure(config.evidence)
        self.storage.configure(config.storage)
        self._loops.reload()
        await self._targets.configure(config.jobs())
        self._configure_notifier()
        log.info("configuration reloaded")

    def reload_when_changed(self, file: FileChanges) -> None:
        """Reload the configuration after each change of its file; to be called before `run`."""
        self._file = file

    async def _reload_if_changed(self) -> None:
        if self._file.check():
            log.info("configuration file changed", path=str(self._file.path))
            await self._reload_quietly()

    def _read(self) -> Config:
        self._file.reading()
        try:
            return self._load()
        except LeakwatchError:
            raise
        except Exception as error:
            log.exception("internal error while reading the configuration")
            raise ConfigError(f"the configuration cannot be read: {type(error).__name__}, see the log") from error

    async def _reload_quietly(self) -> None:
        with contextlib.suppress(ConfigError):  # the error is logged
            await self.reload()

    def _update_loops(self) -> None:
        """Scrape the discovered targets."""
        self._loops.update(self._targets.targets, complete=not self._targets.waiting[0])
        if self._backfill:
            self._backfill.add(self.pipeline.services)

    def _on_events(self, events: list[Event]) -> None:
        """Pass verdicts that changed to the notifier, the evidence and the log."""
        if events:
            self._notifier.wake()
            self.evidence.on_events(events)
            self.storage.on_events(events)
        for event in events:
            log_event(event)
