"""Logs the events of leaks."""

from typing import Final

import structlog

from leakwatch.leaks.model import Event
from leakwatch.leaks.wording import (
    caller_sentence,
    file_and_line,
    memory_sentence,
    missing_findings,
    per_hour,
    related_line,
    waiting_sentence,
)
from leakwatch.model import Verdict

log = structlog.get_logger()

RELATED: Final = 5  # stacks of a leak beside its head

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
        severity=leak.severity,
        reason=leak.reason,
        service=leak.service,
        function=frame.function,
        at=file_and_line(frame),
        source=leak.source,
        owner=leak.owner,
        wait=leak.stack.wait,
        goroutines=leak.goroutines,
        per_hour=per_hour(leak.growth.rate, 1),
        per_hour_low=per_hour(leak.growth.low, 1),
        per_hour_high=per_hour(leak.growth.high, 1),
        confidence=round(leak.confidence, 2),
        cause=leak.cause.title if leak.cause else "",
        fix=leak.cause.fix if leak.cause else "",
        caller=caller_sentence(leak),
        memory=memory_sentence(leak.memory) if leak.memory else "",
        stack=leak.stack.fingerprint,
        age=waiting_sentence(leak.findings),
        unknown=missing_findings(leak.findings),
        related=[related_line(related) for related in leak.related[:RELATED]],
    )
