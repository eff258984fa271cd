"""Logs the events of leaks."""

import structlog

from leakwatch.leaks.memory import sentence
from leakwatch.leaks.model import Event
from leakwatch.leaks.reason import how_long, unknown
from leakwatch.model import Verdict

log = structlog.get_logger()

MESSAGES = {
    "opened": "leak opened",
    "suspected": "leak suspected again",
    "leaking": "leak confirmed",
    "proven": "leak proven",
    "plateau": "leak stopped growing",
    "recovered": "leak recovered",
    "closed": "leak closed",
}


def log_event(event: Event) -> None:
    """Log one line per event, as a warning if the leak is now leaking or proven."""
    leak = event.leak
    frame = leak.stack.blamed
    write = log.warning if leak.verdict >= Verdict.LEAKING else log.info
    write(
        MESSAGES[event.kind],
        verdict=leak.verdict.word,
        before=event.before.word,
        reason=leak.reason,
        service=leak.service,
        function=frame.function,
        at=f"{frame.file}:{frame.line}" if frame.file else "",
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
