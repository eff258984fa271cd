"""The daemon: wires discovery, jobs, pipeline and web together, and keeps them in step with the configuration."""

import asyncio
import signal
import ssl
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from leakwatch import __version__
from leakwatch.client import make_client, plain_context
from leakwatch.clock import Clock, Lag
from leakwatch.config import Config, ScrapeConfig
from leakwatch.discovery import Mechanism, TargetGroup
from leakwatch.discovery.resolve import Endpoint, resolve
from leakwatch.errors import ConfigError
from leakwatch.job import Job
from leakwatch.metrics import DaemonCollector, StackCollector, make_registry
from leakwatch.model import Event, Leak, Target, Verdict
from leakwatch.pipeline import Pipeline, Settings
from leakwatch.schedule import Schedule, offset
from leakwatch.scrape import Health, Scraper
from leakwatch.web.routes import make_app
from leakwatch.web.server import Web, address, bind

log = structlog.get_logger()


class Daemon:
    """Runs until told to stop. `load`: reads the configuration, raises ConfigError."""

    def __init__(self, load: Callable[[], Config]) -> None:
        self.config = load()
        self.url = ""
        """Where our own pages are, known once it runs."""
        self._load = load
        self._clock = Clock()
        self._lag = Lag()
        self._reloaded = (True, self._clock.time())
        self.pipeline = Pipeline(judging(self.config))
        self._schedule = Schedule(self._clock)
        self._jobs: dict[Target, Job] = {}
        self._endpoints: dict[Target, tuple[Endpoint, ScrapeConfig]] = {}
        self._discovery: list[asyncio.Task[None]] = []
        self._groups: dict[tuple[int, int], Sequence[TargetGroup] | None] = {}
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        """Per job, shared by its targets; read anew from their files at each reload."""
        self._stop = asyncio.Event()
        self._stacks = StackCollector(
            self.pipeline,
            self.health,
            self._clock.wall,
            per_target=self.config.metrics.stacks_per_target,
            limit=self.config.metrics.series_limit,
        )

    async def run(self) -> None:
        """Serve and scrape until stopped; raises ConfigError if it cannot begin."""
        bound = bind(self.config.web.listen)
        self.url = self.config.web.external_url or address(bound)
        web = Web(make_app(self, make_registry(self._stacks, DaemonCollector(lambda: self._reloaded))), bound)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload_quietly()))
        self._lag.start()
        self._schedule.start()
        self._discover()
        web.start()
        log.info("leakwatch runs", version=__version__, url=self.url, metrics=f"{self.url}/metrics")
        await self._stop.wait()
        log.info("leakwatch stops")
        self._lag.stop()
        self._schedule.stop()
        for task in self._discovery:
            task.cancel()
        await asyncio.gather(web.stop(), *(job.close() for job in self._jobs.values()))

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stop.set()

    def ready(self) -> str:
        """Return "" when every discovery has told its targets, else what is waited for."""
        waiting = sum(groups is None for groups in self._groups.values())
        return f"waiting for {waiting} of {len(self._groups)} discoveries" if waiting else ""

    def leaks(self) -> list[Leak]:
        """Return the leaks, the most urgent first."""
        return self.pipeline.open_leaks()

    def targets(self) -> tuple[int, int]:
        """Return how many targets there are and how many of them are up."""
        return len(self._jobs), sum(job.health.up is True for job in self._jobs.values())

    def time(self) -> float:
        """Return the daemon's time, in unix seconds."""
        return self._clock.time()

    def health(self) -> dict[Target, Health]:
        """Return the health of each target."""
        return {target: job.health for target, job in self._jobs.items()}

    async def reload(self) -> None:
        """Take the configuration anew; a bad one changes nothing. Raises ConfigError."""
        try:
            config = self._load()
            if config.web.listen != self.config.web.listen:
                log.warning("web.listen changes at the next start only", listen=config.web.listen)
        except ConfigError:
            self._reloaded = (False, self._reloaded[1])
            raise
        self._reloaded = (True, self._clock.time())
        self.config = config
        self._stacks.per_target = config.metrics.stacks_per_target
        self._stacks.limit = config.metrics.series_limit
        if self.pipeline.configure(judging(config)):
            log.warning("all history starts over: detection.block or detection.series_limit changed")
        self._discover()
        log.info("configuration reloaded")

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            log.error("reload failed, the old configuration stays in force", error=str(error))  # noqa: TRY400  the message says it all

    def _discover(self) -> None:
        """Start every discovery of the configuration; targets stay until each has told what it finds."""
        for task in self._discovery:
            task.cancel()
        self._discovery = []
        self._groups = {}
        self._contexts = {}
        for number, job in enumerate(self.config.scrape_configs):
            mechanisms: tuple[Mechanism, ...] = (*job.static_configs, *job.file_sd_configs)
            for order, mechanism in enumerate(mechanisms):
                key = (number, order)
                self._groups[key] = None
                task = asyncio.create_task(mechanism.run(partial(self._found, key)))
                self._discovery.append(task)
        self._reconcile()

    def _found(self, key: tuple[int, int], groups: Sequence[TargetGroup]) -> None:
        self._groups[key] = groups
        self._reconcile()

    def _reconcile(self) -> None:
        """Make the jobs those of the targets found; what stays keeps its history."""
        wanted: dict[Target, tuple[Endpoint, ScrapeConfig]] = {}
        waiting = set()
        for (number, _), groups in self._groups.items():
            job = self.config.scrape_configs[number]
            if groups is None:
                waiting.add(job.job_name)
                continue
            for endpoint in resolve(groups, job=job.job_name, scheme=job.scheme, path=job.profile_path):
                if endpoint.target in wanted and wanted[endpoint.target][0] != endpoint:
                    log.warning("target is configured twice, the first counts", target=endpoint.target.name)
                wanted.setdefault(endpoint.target, (endpoint, job))
        for target, entry in self._endpoints.items():
            if entry[1].job_name in waiting:
                wanted.setdefault(target, entry)
        for target in self._endpoints.keys() - wanted.keys():
            self._drop(target)
            self._tell(self.pipeline.forget(target, self._clock.time()))
        started = [target for target, entry in wanted.items() if self._endpoints.get(target) != entry]
        for target in started:
            self._drop(target)
        self._endpoints = wanted
        for target in started:
            self._begin(*wanted[target])

    def _begin(self, endpoint: Endpoint, settings: ScrapeConfig) -> None:
        config, target = self.config, endpoint.target
        timeout = config.timeout(settings)
        secure = endpoint.url.scheme == "https"
        context = self._contexts.setdefault(
            (settings.job_name, secure), settings.tls_config.context() if secure else plain_context()
        )
        client = make_client(context, timeout=timeout, socket=endpoint.socket)
        scraper = Scraper(client, endpoint.url, settings, timeout=timeout, size_limit=config.size_limit(settings))
        interval = config.interval(settings)
        limit = config.cost_limit(settings)
        job = Job(
            target, scraper, self.pipeline, self._clock, self._lag.total, interval=interval, cost_limit=limit
        )
        self._jobs[target] = job
        name = f"{target.service}\0{target.name}"
        first = offset(name, interval, len(self._endpoints))
        self._schedule.every(name, interval, first, partial(job.run, self._tell))

    def _drop(self, target: Target) -> None:
        job = self._jobs.pop(target, None)
        if job:
            self._schedule.cancel(f"{target.service}\0{target.name}")
            asyncio.get_running_loop().create_task(job.close())

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            leak = event.leak
            at = leak.stack.blamed
            say = log.warning if leak.verdict >= Verdict.LEAKING else log.info
            say(
                f"{event.before.word} -> {leak.verdict.word}",
                service=leak.service,
                function=at.function,
                at=f"{at.file}:{at.line}" if at.file else "",
                wait=leak.stack.wait,
                goroutines=leak.goroutines,
                per_hour=round(leak.growth.rate * 3600, 1),
                stack=leak.stack.fingerprint,
            )


def judging(config: Config) -> Settings:
    """Return what the pipeline needs of the configuration."""
    detection = config.detection
    return Settings(detection.block, detection.own_code, config.owners, detection.series_limit)
