"""The scrape loop of one target: fetch a profile, pass it to the pipeline, record health, limit the cost."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Final, Protocol, TypeVar

import structlog

from leakwatch.clock import Clock, Turns
from leakwatch.detect.columns import SCRAPES_PER_BLOCK
from leakwatch.errors import FetcherClosed, ScrapeError
from leakwatch.http.fetch import Feed, Fetched, Fetcher
from leakwatch.leaks.model import Event
from leakwatch.leaks.target_state import TargetState
from leakwatch.leaks.tracker import LeakOnTarget, suspects, without_own_code
from leakwatch.model import Process
from leakwatch.pipeline import Pipeline
from leakwatch.profile.body import Body, Format, ParsedBody
from leakwatch.profile.label_counts import label_tally
from leakwatch.scrape.budget import Cost, TargetBudget
from leakwatch.scrape.interval import TargetInterval
from leakwatch.scrape.probes import process as process_probe
from leakwatch.scrape.probes import symbols as symbol_probe
from leakwatch.scrape.probes.probe import Probe, ProbeContext, is_due, record, run_probe
from leakwatch.scrape.probes.process import ProcessProbe
from leakwatch.scrape.probes.symbols import SymbolProbe
from leakwatch.scrape.start_queue import StartQueue

log = structlog.get_logger()

USUAL: Final = 5  # latest intervals; their median is the usual interval
JITTER: Final = 1.1  # factor by which the usual interval may exceed the configured one
Result = TypeVar("Result")
OnEvents = Callable[[list[Event]], None]


class OpenRecording(Protocol):
    """One body that is recorded as evidence while it arrives."""

    def tee(self, feed: Feed) -> Feed:
        """Return a feed that records the pieces and passes them to `feed`."""

    async def end(self, time: float, total: int, process: Process | None, symbols: Mapping[int, str]) -> None:
        """Store the recorded body, the profile of `time`."""


class BodyRecorder(Protocol):
    """Records bodies of one target as evidence."""

    def begin(self, form: Format, size_limit: int, leaks: Sequence[LeakOnTarget]) -> OpenRecording | None:
        """Return a recording of the next body, None if it is not wanted.

        `size_limit`: decompressed bytes; `leaks`: on the target so far.
        """

    def failed(self) -> None:
        """Record that the target did not return a profile."""

    async def dump(self, body: bytes, time: float, goroutines: int) -> None:
        """Keep a full dump."""


class ScrapeLoop:
    """Scrapes one target at each call of `run`, within its cost limit.

    `lag`: seconds that the event loop was late so far; `starts`: lets scrapes start; `processes`, `symbols`: for
    text profiles, which lack both; `probes`: further requests; `recorder`: stores evidence.
    """

    def __init__(  # noqa: PLR0913  each is a part that tests replace
        self,
        state: TargetState,
        *,
        fetcher: Fetcher,
        pipeline: Pipeline,
        clock: Clock,
        lag: Callable[[], float],
        budget: TargetBudget,
        starts: StartQueue,
        form: Format,
        processes: ProcessProbe | None,
        symbols: SymbolProbe | None,
        probes: Sequence[Probe],
        recorder: BodyRecorder | None,
    ) -> None:
        self.state = state
        state.probe_results.allow_retries()  # the configuration may have changed
        self._log = log.bind(service=state.target.service, target=state.target.name)
        self._fetcher = fetcher
        self._pipeline = pipeline
        self._clock, self._lag = clock, lag
        self._budget = budget
        self._interval = TargetInterval(budget, state.health, self._log)
        self._starts = starts
        self._form: Format = form
        self._processes = processes
        self._symbols = symbols
        self._probes = probes
        self._scheduled = any(probe.is_scheduled for probe in probes)
        self._recorder = recorder
        self._process: Process | None = None
        """The process of the latest profile, None if unknown."""
        self._leaks: Sequence[LeakOnTarget] = pipeline.leaks_on(state.target)
        """The leaks on the target after the latest profile."""
        self._process_schedule = state.probe_results.schedule(process_probe.NAME)
        self._symbol_schedule = state.probe_results.schedule(symbol_probe.NAME)
        self._intervals: deque[float] = deque(maxlen=USUAL)
        self._closed = False

    async def run(self, on_events: OnEvents) -> None:
        """Scrape once if the budget allows it; pass verdicts that change to `on_events`."""
        if self._closed or not self._budget.allows(self._clock.stopwatch()):
            return
        started = await self._starts.run(self._budget.call, partial(self._scrape, on_events))
        self._budget.charge(Cost.CPU, started.cpu)
        if not self._closed:  # the health may belong to a new loop
            self._interval.scraped(started.missed)

    async def _scrape(self, on_events: OnEvents) -> None:
        """Scrape once; pass verdicts that change to `on_events`."""
        if self._closed:
            return
        begin, late, time = self._clock.stopwatch(), self._lag(), self._clock.time()
        body = self._pipeline.body(self._form, self._fetcher.size_limit, self.state.target.service)
        if self._leaks:
            stacks = without_own_code(self._leaks, self._pipeline.is_own)
            body.labels = label_tally(stacks, self._pipeline.settings.redaction)
        recording = (
            self._recorder.begin(self._form, self._fetcher.size_limit, self._leaks) if self._recorder else None
        )
        try:
            fetched = await self._fetch(recording.tee(body.feed) if recording else body.feed, begin, late)
            now = begin + self.state.health.duration
            profile = await self._parsed(body)
            await self._identify(profile, now, fetched)
            await self._name_waits(profile, now, fetched)
            self.state.labels = body.labels.counts if body.labels else {}
            closed = self.state.history.closed
            self._observe(time, profile, on_events)
            if recording:
                names = self._symbols.names if self._symbols else {}
                await recording.end(time, profile.total, self._process, names)
            if self._leaks or (self._scheduled and self.state.history.closed != closed):
                await self._run_probes(time, profile.total, on_events)
        except FetcherClosed:
            return
        except ScrapeError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  an internal error must not end the loop of a target
            self._log.exception("internal error in a scrape")
            self._failed(ScrapeError("malformed", f"internal error: {error!r}"))
        else:
            self._succeeded()
        self.state.health.time = time

    async def close(self) -> None:
        """Stop scraping, and close the connection."""
        self._closed = True
        await self._fetcher.close()

    async def _fetch(self, feed: Feed, begin: float, late: float) -> Fetched:
        """Fetch one body, and charge the target for it whether it succeeds or not.

        `begin`: stopwatch, `late`: lag of the event loop, both before the fetch.
        """
        charged, body_bytes = True, 0
        try:
            fetched = await self._fetcher.fetch(feed)
            body_bytes = fetched.body_bytes
        except ScrapeError as error:
            charged, body_bytes = error.charged, error.body_bytes
            raise
        else:
            return fetched
        finally:
            # The lag of leakwatch's own event loop is not work of the target.
            seconds = self._clock.stopwatch() - begin - (self._lag() - late)
            seconds = min(max(seconds, 0.0), self._fetcher.timeout)
            self._budget.charge(Cost.DURATION, seconds if charged else 0.0)
            self._budget.charge(Cost.BYTES, body_bytes)
            if not self._closed:  # the health may belong to a new loop
                self.state.health.duration, self.state.health.body_bytes = seconds, body_bytes

    async def _parsed(self, body: Body) -> ParsedBody:
        """Return the content of a body that was fetched; raises ScrapeError."""
        timeout = self._fetcher.timeout
        try:
            async with asyncio.timeout(timeout):
                await Turns().run(body.steps())
        except TimeoutError as error:
            raise ScrapeError("timeout", f"the profile was not parsed within {timeout:g} s") from error
        return body.close()

    async def _charged(self, request: Awaitable[Result]) -> Result:
        """Return the result of a request beside the scrape, and charge the target for it."""
        begin, late = self._clock.stopwatch(), self._lag()
        try:
            return await request
        finally:
            seconds = self._clock.stopwatch() - begin - (self._lag() - late)
            self._budget.charge(Cost.DURATION, max(seconds, 0.0))

    async def _identify(self, profile: ParsedBody, now: float, fetched: Fetched) -> None:
        """Set the process to that of the profile, or request it if the profile does not name it."""
        if profile.process is not None or self._processes is None:
            self._process = profile.process or self._process
            return
        schedule, new = self._process_schedule, fetched.new_connection
        if self._processes.is_due(schedule, now, before=self.state.total, total=profile.total, new_connection=new):
            self._process = await self._charged(self._processes.request(schedule, now))

    async def _name_waits(self, profile: ParsedBody, now: float, fetched: Fetched) -> None:
        """Name the wait reasons that a text profile hides; request the names that are unknown."""
        symbols, state = self._symbols, self.state
        if symbols is None or state.process_tracker.mixed:
            return
        schedule = self._symbol_schedule
        process = self._process.start if self._process else ""
        symbols.follow(schedule, process, now, new_connection=fetched.new_connection)
        traces = symbols.hidden(profile.samples, state.judged) if now >= schedule.retry_at else []
        if traces:
            error = await self._charged(symbols.request(schedule, traces, now))
            if error:
                self._log.info("wait reasons of channels are unknown", reason=error.reason, error=str(error))
        self._pipeline.identifier.set_wait_reasons(profile.samples, symbols.names)

    def _observe(self, time: float, profile: ParsedBody, on_events: OnEvents) -> None:
        """Pass the profile to the pipeline; pass the verdicts that change to `on_events`."""
        state, restarts = self.state, self.state.restarts
        self._fit_block(time)
        new = len(profile.samples.keys() - state.history.rows.keys()) - state.history.folded_stacks
        self._budget.charge(Cost.STACKS, max(new, 0))  # folded stacks have no series, but are not new either
        events = self._pipeline.observe(state, time, profile.total, profile.samples, self._process)
        if state.restarts != restarts:
            self._log.info("target restarted", new_build=state.process_tracker.rebuilt)
        if events:
            on_events(events)
        self._leaks = self._pipeline.leaks_on(state.target)

    def _fit_block(self, time: float) -> None:
        """Let the block grow if the usual interval is too long for it."""
        if self.state.health.time:
            self._intervals.append(time - self.state.health.time)
        if len(self._intervals) < USUAL:
            return
        # A scrape calls this method every time; the lengths are compared here because most blocks fit.
        interval, history = median(self._intervals) / JITTER, self.state.history
        fits = SCRAPES_PER_BLOCK * interval <= history.block == self._pipeline.settings.block
        if not fits and self.state.stretch(interval):
            self._log.info("block grows with the interval, verdicts come later", block=history.block)

    async def _run_probes(self, time: float, total: int, on_events: OnEvents) -> None:
        """Run the probes that are due; pass the verdicts that a proof changed to `on_events`."""
        state = self.state
        for probe in self._probes:
            now = self._clock.stopwatch()
            context = ProbeContext(
                state=state,
                time=time,
                now=now,
                total=total,
                suspects=suspects(self._leaks),
                identifier=self._pipeline.identifier,
                without_own_code=without_own_code(self._leaks, self._pipeline.is_own),
                start=self._process.start if self._process else "",
                wants_dump=partial(self._pipeline.wants_dump, state, time),
                on_dump=lambda stacks: on_events(self._pipeline.observe_dump(state, time, stacks)),
            )
            if state.process_tracker.mixed or not is_due(probe, context):
                continue
            proof = state.probe_results.proof
            error = await self._charged(run_probe(probe, context))
            record(probe.name, context, error)
            self._pipeline.probe_recorded(state)
            if state.probe_results.proof is not proof:
                on_events(self._pipeline.apply_proof(state, time))

    def _succeeded(self) -> None:
        health = self.state.health
        if health.up is not True:
            self._log.info("target is up", bytes=health.body_bytes)
            health.since = self._clock.time()
        health.up, health.error, health.reason = True, "", ""
        health.results["success"] += 1

    def _failed(self, error: ScrapeError) -> None:
        if self._recorder:
            self._recorder.failed()
        health = self.state.health
        health.results[error.reason] += 1
        if health.up is not False or health.reason != error.reason:  # once, not at every interval
            self._log.warning("scrape failed", reason=error.reason, error=str(error))
        if health.up is not False:
            health.since = self._clock.time()
        health.up, health.reason, health.error = False, error.reason, str(error)
