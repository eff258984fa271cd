"""Writes into the log what becomes of leaks."""

import structlog

from leakwatch.leaks.model import Event
from leakwatch.leaks.wording import file_and_line, memory_sentence, missing_findings, per_hour, waiting_sentence
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
        at=file_and_line(at),
        source=leak.source,
        owner=leak.owner,
        wait=leak.stack.wait,
        goroutines=leak.goroutines,
        per_hour=per_hour(leak.growth.rate, 1),
        per_hour_low=per_hour(leak.growth.low, 1),
        per_hour_high=per_hour(leak.growth.high, 1),
        confidence=round(leak.confidence, 2),
        memory=memory_sentence(leak.memory) if leak.memory else "",
        stack=leak.stack.fingerprint,
        age=waiting_sentence(leak.findings),
        unknown=missing_findings(leak.findings),
    )
