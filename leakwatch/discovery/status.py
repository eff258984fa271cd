"""How discovery fares: what is said when a mechanism fails and when it works again, and what metrics read of it.

Whoever runs a mechanism says in `current` whose progress it is; the mechanism asks `progress()` for it.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

import structlog

STAY = "discovery failed, its last targets stay"
MOST_SAID = 20  # different errors of one source; more are no news


class DiscoveryStatus:
    """Of one mechanism of one job; a source is one of the places it asks: a file, a URL, a name.

    `time`: says what time it is, in unix seconds; `first_failure` is called when it fails before it ever worked.
    """

    def __init__(
        self,
        job: str = "",
        mechanism: str = "",
        time: Callable[[], float] = lambda: 0.0,
        first_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.failures = 0
        self.succeeded: float | None = None
        """When all sources worked last, in unix seconds."""
        self.log = structlog.get_logger().bind(job=job, mechanism=mechanism)
        self._time = time
        self._first_failure = first_failure
        self._said: dict[str, set[str]] = {}

    def failed(self, source: str, error: str, *, kept: int, event: str = STAY, **more: str) -> None:
        """Count a failure; say it if this error is new since `source` worked. `kept`: what stays known of it."""
        self.failures += 1
        said = self._said.setdefault(source, set())
        if error not in said and len(said) < MOST_SAID:
            said.add(error)
            self.log.error(event, source=source, kept=kept, error=error, **more)
        if self.failures == 1 and self.succeeded is None:
            self._first_failure()

    def works(self, source: str) -> None:
        """Say that `source` works, aloud if it did not before."""
        if self._said.pop(source, None):
            self.log.info("discovery works again", source=source)
        if not self._said:
            self.succeeded = self._time()

    def forget(self, source: str) -> None:
        """Take back what was said of a source that is no more."""
        self._said.pop(source, None)


current: ContextVar[DiscoveryStatus] = ContextVar("current")


def progress() -> DiscoveryStatus:
    """Return the progress of the mechanism that runs here; a new one, read by nobody, where none was said."""
    return current.get(None) or DiscoveryStatus()


@dataclass(frozen=True, slots=True)
class DiscovererStatus:
    """How one mechanism of a job fares; `succeeded` in unix seconds, None if it never did."""

    job: str
    mechanism: str
    failures: int
    succeeded: float | None
