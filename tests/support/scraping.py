"""A scrape loop with a simulated clock and target."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from structlog.testing import capture_logs

from leakwatch.clock import Clock
from leakwatch.http.fake import FakeFetcher
from leakwatch.leaks.model import Event
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.leaks.target_state import TargetState
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.budget import OWN_LIMITS, Cost, Limit, TargetBudget
from leakwatch.scrape.loop import BodyRecorder, ScrapeLoop
from leakwatch.scrape.probes.process import ProcessProbe
from leakwatch.scrape.probes.symbols import SymbolProbe
from leakwatch.scrape.start_queue import StartQueue
from tests.support.simulated import START, TARGET

BODY = b"goroutine profile: total 2\n2 @ 0x11 0x21\n#\t0x10\tmain.f+0x1\t/src/main.go:7\n\n"


class FakeClock(Clock):
    """A clock that the test sets: `now` for time and stopwatch, `step` for the wall clock."""

    def __init__(self) -> None:
        self.now = START
        self.step = 0.0

    def time(self) -> float:  # noqa: D102  as in Clock
        return self.now

    def stopwatch(self) -> float:  # noqa: D102  as in Clock
        return self.now

    def wall(self, moment: float) -> float:  # noqa: D102  as in Clock
        return moment + self.step


class SimulatedTarget:
    """A simulated clock, target and pipeline; `tick` runs the scrape loop once per interval.

    `processes`, `symbols`, `recorder`: parts of the loop; `own_limits`: default: those of the daemon.
    """

    def __init__(
        self,
        interval: float = 15.0,
        limit: float = 0.01,
        *,
        processes: ProcessProbe | None = None,
        symbols: SymbolProbe | None = None,
        recorder: BodyRecorder | None = None,
        proto: bool = False,
        own_limits: Mapping[Cost, Limit] | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.interval = interval
        self.late = 0.0
        self.cpu = 0.0
        self.duration = 0.01
        self.status = 200
        self.body = BODY
        self.error: Exception | None = None
        self.during_request: Callable[[], object] = lambda: None
        self.request_times: list[float] = []
        self.events: list[list[Event]] = []
        self.pipeline = Pipeline(DetectionSettings())
        self.state: TargetState = self.pipeline.add_target(TARGET)
        self.fetcher = FakeFetcher(self._respond)
        self.starts = StartQueue(self.clock.stopwatch, idle=self.clock.stopwatch, cpu=lambda: self.cpu)
        self.loop = ScrapeLoop(
            self.state,
            fetcher=self.fetcher,
            pipeline=self.pipeline,
            clock=self.clock,
            lag=lambda: self.late,
            budget=TargetBudget(interval, limit, OWN_LIMITS if own_limits is None else own_limits),
            starts=self.starts,
            form="proto" if proto else "text",
            processes=processes,
            symbols=symbols,
            probes=(),
            recorder=recorder,
        )

    def _respond(self, _request: httpx.Request) -> tuple[int, bytes]:
        self.request_times.append(self.clock.now)
        self.during_request()
        self.clock.now += self.duration
        if self.error:
            raise self.error
        return self.status, self.body

    def requested(self) -> list[int]:
        """Return the times of all requests, in seconds since the start."""
        return [round(time - START) for time in self.request_times]

    def tick(self, times: int) -> list[dict[str, Any]]:
        """Let `times` intervals pass; return the log."""

        async def run() -> None:
            for _ in range(times):
                due = self.clock.now + self.interval
                await self.loop.run(self.events.append)
                self.clock.now = max(due, self.clock.now)

        with capture_logs() as logged:
            asyncio.run(run())
        return [dict(line) for line in logged]
