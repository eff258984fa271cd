"""Says in the log that a verdict has turned."""

import structlog

from leakwatch.model import Event, Verdict
from leakwatch.telling import how_long, unknown

log = structlog.get_logger()


def say(event: Event) -> None:
    """Log one event: a warning from leaking on."""
    leak = event.leak
    at = leak.stack.blamed
    tell = log.warning if leak.verdict >= Verdict.LEAKING else log.info
    tell(
        f"{event.before.word} -> {leak.verdict.word}",
        reason=leak.reason,
        service=leak.service,
        function=at.function,
        at=f"{at.file}:{at.line}" if at.file else "",
        wait=leak.stack.wait,
        goroutines=leak.goroutines,
        per_hour=_hourly(leak.growth.rate),
        per_hour_low=_hourly(leak.growth.low),
        per_hour_high=_hourly(leak.growth.high),
        confidence=round(leak.confidence, 2),
        stack=leak.stack.fingerprint,
        age=how_long(leak.findings),
        unknown=unknown(leak.findings),
    )


def _hourly(rate: float) -> float:
    return round(rate * 3600, 1) + 0.0  # no -0.0
