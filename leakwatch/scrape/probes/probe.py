"""Closer looks at a target: what is asked beside its profile, only when there is reason to and never too often.

Each inquiry is one file: the runtime's proof, a full dump. Whatever goes wrong with one, the leak stays and says
what is missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from leakwatch.errors import ScrapeError
from leakwatch.leaks.findings import ProbeResults, Suspects
from leakwatch.model import Fingerprint, Target
from leakwatch.profile.stacks import Identifier

log = structlog.get_logger()

RETRY: Final = 3600.0  # seconds after an answer that did not come
LASTING: Final = {"status", "not_a_profile", "malformed", "too_large"}
"""Reasons for which the same process would give the same answer."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """A target has been scraped: at `time` in unix seconds, `now` on the stopwatch; it has `total` goroutines.

    `held`: how many of them each suspect has; `block`: seconds; `start`: of its process, "" where that is unknown;
    `over`: whether we have hung up since, so that an answer which does not come says nothing of the target.
    """

    target: Target
    time: float
    now: float
    total: int
    suspects: Suspects
    answers: ProbeResults
    identifier: Identifier
    held: Mapping[Fingerprint, int] = field(default_factory=dict)
    block: float = 300.0
    start: str = ""
    over: Callable[[], bool] = lambda: False


class Probe(Protocol):
    """One kind of closer look at one target; `name`: what it is about; `pause`: seconds from one to the next."""

    name: str
    pause: float

    def wants(self, occasion: ProbeContext) -> bool:
        """Tell whether there is reason to ask."""

    async def ask(self, occasion: ProbeContext) -> None:
        """Ask, and put down what was answered; raises ScrapeError."""


def is_due(inquiry: Probe, occasion: ProbeContext) -> bool:
    """Tell whether to ask now."""
    answers, now = occasion.answers, occasion.now
    if now < answers.asked.get(inquiry.name, float("-inf")) + inquiry.pause:
        return False
    return now >= answers.refused.get(inquiry.name, float("-inf")) and inquiry.wants(occasion)


async def ask(inquiry: Probe, occasion: ProbeContext) -> None:
    """Ask, and put down what was answered or why nothing was."""
    name, answers = inquiry.name, occasion.answers
    answers.asked[name] = occasion.now
    try:
        await inquiry.ask(occasion)
    except ScrapeError as failure:
        error = failure
    except Exception as mistake:
        log.exception("a closer look broke, by a mistake of ours", what=name, target=occasion.target.name)
        error = ScrapeError("malformed", f"unexpected {mistake!r}")
    else:
        answers.missing.pop(name, None)
        return
    if not occasion.over():
        _refuse(inquiry, occasion, error)


def _refuse(inquiry: Probe, occasion: ProbeContext, error: ScrapeError) -> None:
    """Put down that nothing was answered, and why."""
    name, answers = inquiry.name, occasion.answers
    if answers.missing.get(name) != str(error):
        at = {"service": occasion.target.service, "target": occasion.target.name}
        log.info("a closer look failed", what=name, reason=error.reason, error=str(error), **at)
    answers.missing[name] = str(error)
    answers.refused[name] = float("inf") if error.reason in LASTING else occasion.now + RETRY
