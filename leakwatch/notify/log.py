"""Writes into the log what becomes of leaks."""

import structlog

from leakwatch.leaks.memory import sentence
from leakwatch.leaks.model import Event
from leakwatch.leaks.reason import how_long, unknown
from leakwatch.model import Verdict

log = structlog.get_logger()


def write(event: Event) -> None:
    """Write one line, a warning if something leaks."""
    leak = event.leak
    at = leak.stack.blamed
    say = log.warning if leak.verdict >= Verdict.LEAKING else log.info
    say(
        f"{event.before.word} -> {leak.verdict.word}",
        reason=leak.reason,
        service=leak.service,
        function=at.function,
        at=f"{at.file}:{at.line}" if at.file else "",
        source=leak.source,
        owner=leak.owner,
        wait=leak.stack.wait,
        goroutines=leak.goroutines,
        per_hour=_hourly(leak.growth.rate),
        per_hour_low=_hourly(leak.growth.low),
        per_hour_high=_hourly(leak.growth.high),
        confidence=round(leak.confidence, 2),
        memory=sentence(leak.memory) if leak.memory else "",
        stack=leak.stack.fingerprint,
        age=how_long(leak.findings),
        unknown=unknown(leak.findings),
    )


def _hourly(rate: float) -> float:
    return round(rate * 3600, 1) + 0.0  # no -0.0
