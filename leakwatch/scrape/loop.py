"""The scrape job of one target: fetch, hand over, keep score, and stay within what the target agreed to pay."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median

import structlog

from leakwatch.clock import Clock
from leakwatch.errors import ScrapeError
from leakwatch.evidence.recorder import TargetRecorder
from leakwatch.http.fetch import Fetched, Fetcher
from leakwatch.leaks.model import Event
from leakwatch.model import Process, Samples, Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.profile.body import Body, Format
from leakwatch.scrape.budget import CostBudget
from leakwatch.scrape.probes.probe import Probe, ProbeContext, ask, is_due
from leakwatch.scrape.probes.process import ProcessProbe
from leakwatch.scrape.probes.symbols import SymbolProbe

log = structlog.get_logger()

OnEvents = Callable[[list[Event]], None]

USUAL = 5  # scrapes that tell the usual interval
JITTER = 1.1  # what a usual interval may exceed the one that was asked for
CALM = 20  # scrapes at the normal interval that end a stretch


class TargetRemoved(Exception):  # noqa: N818  it is no error
    """The target went away while it was looked at."""


class ScrapeLoop:
    """Scrapes one target each time it is called, unless that would cost the target more than its share.

    `lag`: for how long, in all, our own loop was late; `question` and `symbols`: asked for what the profile, in
    the format `form`, does not say itself; `inquiries`: what is asked besides, when there is reason to;
    `trail`: keeps bodies as evidence.
    """

    def __init__(  # noqa: PLR0913  each is a part with a life of its own
        self,
        target: Target,
        fetcher: Fetcher,
        pipeline: Pipeline,
        clock: Clock,
        lag: Callable[[], float],
        pace: CostBudget,
        process_probe: ProcessProbe | None = None,
        *,
        symbols: SymbolProbe | None = None,
        form: Format = "text",
        probes: Sequence[Probe] = (),
        trail: TargetRecorder | None = None,
    ) -> None:
        self.target = target
        self.health = TargetHealth(interval=pace.interval)
        self._log = log.bind(service=target.service, target=target.name)
        self._scraper = fetcher
        self._pipeline = pipeline
        self._clock = clock
        self._lag = lag
        self._pace = pace
        self._question = process_probe
        self._symbols = symbols
        self._form: Format = form
        self._trail = trail
        self._inquiries = probes
        self._process: Process | None = None
        self._known: Process | None = None
        """The last that told its name; `_process` is None when the latest answer did not come."""
        self._intervals: deque[float] = deque(maxlen=USUAL)
        self._calm = CALM
        self._closed = False

    async def run(self, tell: OnEvents) -> None:
        """Scrape once, if it is time; give the events to `tell`."""
        if self._gone() or not self._pace.due(self._clock.stopwatch()):
            return
        time = self._clock.time()
        body = self._pipeline.body(self._form, self._scraper.size_limit, self.target.service)
        packer = self._trail.begin(self._form, self._scraper.size_limit) if self._trail else None
        try:
            fetched = await self._fetch(packer.tee(body.feed) if packer else body.feed)
            if self._gone():
                return  # the target went away meanwhile: nothing may bring it back
            self._watch_interval(time)
            for _ in body.steps():
                await asyncio.sleep(0)
                self._stay()
            total, samples = body.close()
            await self._identify(total, body.process, fresh=fetched.new_connection)
            self._stay()
            await self._name(body, samples, fresh=fetched.new_connection)
            self._stay()
            tell(self._pipeline.observe(self.target, time, total, samples, self._process))
            if self._trail and packer:
                names = self._symbols.names if self._symbols else {}
                await self._trail.end(packer, self._form, time, total, self._process, names)
                self._stay()
            await self._look_closer(time, total, tell)
        except TargetRemoved:
            return
        except ScrapeError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  a mistake of ours must not silence a target
            self._log.exception("scrape failed in a way that is our mistake")
            self._failed(ScrapeError("malformed", f"unexpected {error!r}"))
        else:
            self._succeeded()
        self.health.time = time

    async def close(self) -> None:
        """Scrape no more, and close the connection to the target."""
        self._closed = True
        await self._scraper.close()

    def _gone(self) -> bool:
        return self._closed

    def _stay(self) -> None:
        """Go on only while the target is there: to ask the pipeline for it would bring it back. Raises Gone."""
        if self._closed:
            raise TargetRemoved

    async def _fetch(self, feed: Callable[[bytes], None]) -> Fetched:
        """Fetch one body, and charge the target for it whether that succeeds or not."""
        begin, late = self._clock.stopwatch(), self._lag()
        charged, body_bytes = True, 0
        try:
            fetched = await self._scraper.fetch(feed)
            body_bytes = fetched.body_bytes
        except ScrapeError as error:
            charged = error.charged
            raise
        else:
            return fetched
        finally:
            # What our own loop was late is no work of the target's.
            took = self._clock.stopwatch() - begin - (self._lag() - late)
            took = min(max(took, 0.0), self._scraper.timeout)
            self._pace.charge(took if charged else 0.0)
            self.health.duration, self.health.body_bytes = took, body_bytes
            self._say_interval(took)

    async def _identify(self, total: int, told: Process | None, *, fresh: bool) -> None:
        """Learn which process this is, if it was `told` or there is reason to ask; say when it is another one."""
        begin, process_probe = self._clock.stopwatch(), self._question
        before = self._pipeline.add_target(self.target).total
        found = told
        if told is None and process_probe and process_probe.is_due(begin, before=before, total=total, fresh=fresh):
            found = await process_probe.ask(begin)
            self._pace.charge(self._clock.stopwatch() - begin)
        elif told is None:
            return
        self._process = found
        old, self._known = self._known, found or self._known
        if old and found and old.start != found.start:
            self._log.info("target has restarted", new_build=old.build != found.build)

    async def _name(self, body: Body, samples: Samples, *, fresh: bool) -> None:
        """Name the wait reasons that the profile hides; ask the process for those that it has not told yet."""
        symbols, state = self._symbols, self._pipeline.add_target(self.target)
        if symbols is None or state.identity.mixed:
            return
        begin = self._clock.stopwatch()
        process = self._process.start if self._process else ""
        symbols.follow(process, begin, fresh=fresh)
        traces = symbols.wanted(samples, state.judgements, begin)
        if traces:
            error = await symbols.ask(traces, begin)
            self._pace.charge(self._clock.stopwatch() - begin)
            if error:
                self._log.info("wait reasons of channels stay unknown", reason=error.reason, error=str(error))
        body.learn(symbols.names)

    async def _look_closer(self, time: float, total: int, tell: OnEvents) -> None:
        """Ask for what is due beside the profile; give the events of a proof to `tell`."""
        state, suspects = self._pipeline.add_target(self.target), self._pipeline.suspects(self.target)
        for probe in self._inquiries:
            begin = self._clock.stopwatch()
            context = ProbeContext(
                self.target,
                time,
                begin,
                total,
                suspects,
                state.answers,
                self._pipeline.identifier,
                {key: state.count(key) for key in suspects},
                state.history.block,
                self._process.start if self._process else "",
                self._gone,
            )
            if state.identity.mixed or not is_due(probe, context):
                continue
            known = state.answers.proof
            await ask(probe, context)
            self._pace.charge(self._clock.stopwatch() - begin)
            self._stay()
            if state.answers.proof is not known:
                tell(self._pipeline.learn(self.target, time))

    def _succeeded(self) -> None:
        health = self.health
        if health.up is not True:
            self._log.info("target is up", bytes=health.body_bytes)
            health.since = self._clock.time()
        health.up, health.error, health.reason = True, "", ""
        health.results["success"] += 1

    def _failed(self, error: ScrapeError) -> None:
        if self._gone():
            return
        if self._trail:
            self._trail.failed()
        health = self.health
        health.results[error.reason] += 1
        if health.up is not False or health.reason != error.reason:  # once, not at every interval
            self._log.warning("scrape failed", reason=error.reason, error=str(error))
        if health.up is not False:
            health.since = self._clock.time()
        health.up, health.reason, health.error = False, error.reason, str(error)

    def _say_interval(self, took: float) -> None:
        """Say when the target begins and ends to be scraped less often, not at each turn in between."""
        health, stretched = self.health, self._pace.interval > self._pace.call
        health.interval = self._pace.interval
        if stretched and self._calm >= CALM:
            self._log.info(
                "interval stretched to spare the target", interval=health.interval, duration=round(took, 4)
            )
        self._calm = 0 if stretched else self._calm + 1
        if self._calm == CALM:
            self._log.info("interval is normal again", interval=health.interval)

    def _watch_interval(self, time: float) -> None:
        """Let the block grow when scrapes usually come too seldom for it."""
        if self.health.time:
            self._intervals.append(time - self.health.time)
        if len(self._intervals) < USUAL:
            return
        if self._pipeline.stretch(self.target, median(self._intervals) / JITTER):
            block = self._pipeline.add_target(self.target).history.block
            self._log.info("block grows with the interval: judged later", block=block)
