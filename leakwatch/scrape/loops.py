"""Keeps one scrape loop per target, in step with discovery and configuration."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from leakwatch.clock import Clock
from leakwatch.http.client import Tls
from leakwatch.leaks.model import Event
from leakwatch.model import Target
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.factory import build_loop
from leakwatch.scrape.loop import BodyRecorder, ScrapeLoop
from leakwatch.scrape.scheduler import Scheduler, offset
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.scrape.target_set import ScrapeTarget


class Recorders(Protocol):
    """Recorders of evidence, one per target."""

    def recorder(self, target: Target) -> BodyRecorder:
        """Return the recorder of a target."""

    def target_removed(self, target: Target) -> None:
        """Keep the last body of a target that was removed."""


class ScrapeLoops:
    """The scrape loops of all targets.

    `lag`: seconds that the event loop was late so far; `starts`: lets the scrapes of all targets start.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        scheduler: Scheduler,
        clock: Clock,
        lag: Callable[[], float],
        starts: StartQueue,
        recorders: Recorders,
        on_events: Callable[[list[Event]], None],
    ) -> None:
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._clock = clock
        self._lag = lag
        self._starts = starts
        self._recorders = recorders
        self._on_events = on_events
        self._loops: dict[Target, ScrapeLoop] = {}
        self._targets: Mapping[Target, ScrapeTarget] = {}
        self._tls: dict[tuple[str, bool], Tls] = {}
        """Per job, shared by its targets."""
        self._reloading = False
        self._closing: set[asyncio.Task[None]] = set()

    def reload(self) -> None:
        """Use new TLS settings for new loops; the next complete `update` drops the state of removed targets."""
        self._tls = {}
        self._reloading = True

    def update(self, targets: Mapping[Target, ScrapeTarget], *, complete: bool) -> None:
        """Start and stop loops so that exactly `targets` are scraped; unchanged targets keep their loop.

        While not `complete`, no target is removed: a discoverer that has not reported yet may still find it.
        """
        previous = self._targets
        self._targets = targets if complete else {**previous, **targets}
        for target in previous.keys() - self._targets.keys():
            self._remove(target)
        if complete:
            self._reloading = False
            for target in self._pipeline.targets.keys() - self._targets.keys():
                self._remove(target)  # restored from an earlier process
        for target, scrape_target in self._targets.items():
            if previous.get(target) != scrape_target:
                self._start(scrape_target)
            else:
                self._pipeline.add_target(scrape_target.target)  # its labels may have changed

    async def close(self) -> None:
        """Close the connections of all loops."""
        await asyncio.gather(*(loop.close() for loop in self._loops.values()))

    def _start(self, scrape_target: ScrapeTarget) -> None:
        """Start the loop of a target, in place of its previous loop."""
        target, interval = scrape_target.target, scrape_target.endpoint.interval
        self._stop(target)
        secure, job = scrape_target.endpoint.url.scheme == "https", scrape_target.job
        loop = self._loops[target] = build_loop(
            scrape_target,
            tls=self._tls.setdefault((job.name, secure), Tls(job.http.tls_config, secure=secure)),
            pipeline=self._pipeline,
            clock=self._clock,
            lag=self._lag,
            starts=self._starts,
            recorder=self._recorders.recorder(target),
        )
        name = _name(target)
        first = offset(name, interval, len(self._targets))
        self._scheduler.every(name, interval, first, partial(loop.run, self._on_events))

    def _remove(self, target: Target) -> None:
        self._stop(target)
        self._recorders.target_removed(target)
        remove = self._pipeline.drop_target if self._reloading else self._pipeline.remove_target
        self._on_events(remove(target, self._clock.time()))

    def _stop(self, target: Target) -> None:
        loop = self._loops.pop(target, None)
        if loop:
            self._scheduler.cancel(_name(target))
            closing = asyncio.get_running_loop().create_task(loop.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _name(target: Target) -> str:
    return f"{target.service}\0{target.name}"
