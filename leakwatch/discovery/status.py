"""Status of discoverers: failures and the last success, for log and metrics."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

FAILED = "discovery failed, the last targets stay"
MAX_ERRORS = 20  # different errors that are logged per source until the source works again


class DiscoveryStatus:
    """Status of one discoverer of a job. A source is one of its files, URLs, DNS names or API servers.

    `time` returns unix seconds. `first_failure` is called if the discoverer fails before its first success.
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
        """Unix seconds of the last time when all sources worked; None if they never did."""
        self.log = structlog.get_logger().bind(job=job, mechanism=mechanism)
        self._time = time
        self._first_failure = first_failure
        self._logged_errors: dict[str, set[str]] = {}

    def failed(self, source: str, error: str, *, targets: int, event: str = FAILED, **fields: str) -> None:
        """Count a failure, and log an error that is new since `source` worked.

        `targets` is the number of targets that stay; the log line contains it and `fields`.
        """
        self.failures += 1
        logged = self._logged_errors.setdefault(source, set())
        if error not in logged and len(logged) < MAX_ERRORS:
            logged.add(error)
            self.log.error(event, source=source, kept=targets, error=error, **fields)
        if self.failures == 1 and self.succeeded is None:
            self._first_failure()

    def works(self, source: str) -> None:
        """Record that `source` works, and log it if `source` failed before."""
        if self._logged_errors.pop(source, None):
            self.log.info("discovery works again", source=source)
        if not self._logged_errors:
            self.succeeded = self._time()

    def remove(self, source: str) -> None:
        """Discard the errors of a source that no longer exists."""
        self._logged_errors.pop(source, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscovererStatus:
    """Status of one discoverer of a job, for pages and metrics; `succeeded` in unix seconds, None if never."""

    job: str
    mechanism: str
    failures: int
    succeeded: float | None
