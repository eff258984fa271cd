"""Probes: requests to a target beside its scrapes, sent only for a reason and within the cost limit.

Each probe is one file. A probe that fails does not affect the leak; the leak reports what is missing.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from leakwatch.detect.dumped import DumpedStacks
from leakwatch.errors import FetcherClosed, ScrapeError
from leakwatch.leaks.findings import Suspects
from leakwatch.leaks.probe_schedule import LASTING, ProbeSchedule
from leakwatch.leaks.target_state import TargetState
from leakwatch.profile.stacks import Identifier

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeContext:
    """A target that was scraped at `time` (unix seconds) and may be probed at `now` (stopwatch).

    `total`: its goroutines; `without_own_code`: the suspects of leaks without own code; `start`: start of its
    process, "" if unknown; `wants_dump`: returns whether a full dump would help to judge the target; `on_dump`:
    receives the stacks of a full dump.
    """

    state: TargetState
    time: float
    now: float
    total: int
    suspects: Suspects
    identifier: Identifier
    without_own_code: Suspects = field(default_factory=dict)
    start: str = ""
    wants_dump: Callable[[], bool] = lambda: False
    on_dump: Callable[[DumpedStacks], None] = lambda _: None

    def schedule(self, probe: str) -> ProbeSchedule:
        """Return the schedule of a probe for this target."""
        return self.state.probe_results.schedule(probe)


class Probe(Protocol):
    """One kind of request; `name`: that of its result, `pause`: minimum number of seconds between two requests."""

    name: str
    pause: float
    is_scheduled: bool
    """Whether it also runs without suspects."""

    def is_wanted(self, context: ProbeContext) -> bool:
        """Return whether there is a reason to send a request."""

    async def request(self, context: ProbeContext) -> None:
        """Send the request and record its result in the results of the target; raises ScrapeError."""


def is_due(probe: Probe, context: ProbeContext) -> bool:
    """Return whether the probe may send a request now and has a reason."""
    return context.schedule(probe.name).allows(context.now, probe.pause) and probe.is_wanted(context)


async def run_probe(probe: Probe, context: ProbeContext) -> ScrapeError | None:
    """Send the request of a probe; return the error if it failed. Raises FetcherClosed."""
    try:
        await probe.request(context)
    except ScrapeError as error:
        return error
    except FetcherClosed:
        raise
    except Exception as error:
        log.exception("internal error in a probe", probe=probe.name, target=context.state.target.name)
        return ScrapeError("malformed", f"unexpected {error!r}")
    return None


def record(
    probe: str, context: ProbeContext, error: ScrapeError | None, lasting: Container[str] = LASTING
) -> None:
    """Record the outcome of a request; log an error that differs from the previous one.

    `lasting`: reasons for which the same process would fail again.
    """
    schedule, unavailable = context.schedule(probe), context.state.probe_results.unavailable
    if error is None:
        schedule.succeeded(context.now)
        unavailable.pop(probe, None)
        return
    if schedule.failed(error, context.now, lasting):
        target = context.state.target
        log.info(
            "probe failed",
            probe=probe,
            reason=error.reason,
            error=str(error),
            service=target.service,
            target=target.name,
        )
    unavailable[probe] = str(error)
