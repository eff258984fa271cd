"""When a probe may send its next request to a target, and when it retries after a failure. Pure."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from leakwatch.detect.plain import Plain, PlainReader, PlainWriter
from leakwatch.errors import Reason, ScrapeError

NEVER: Final = float("-inf")
FIRST_RETRY: Final = 60.0  # seconds, doubled after each further failure
LONGEST_RETRY: Final = 3600.0  # seconds
LASTING: Final[set[Reason]] = {"status", "not_a_profile", "malformed", "too_large"}
"""Reasons for which the same process would fail again."""


@dataclass(slots=True)
class ProbeSchedule:
    """When a probe may send its next request to a target; times are seconds of the stopwatch."""

    last_request_at: float = NEVER
    retry_at: float = NEVER
    failures: int = 0
    """Failures in a row."""
    error: str = ""
    """Error of the latest request, "" if it succeeded."""

    def to_plain(self, writer: PlainWriter) -> Plain:
        """Return the state, with times relative to now: a stopwatch ends with its process."""
        return {
            "since_request": writer.now - self.last_request_at,
            "retry_in": self.retry_at - writer.now,
            "failures": self.failures,
            "error": self.error,
        }

    def restore(self, plain: PlainReader) -> None:
        """Restore the state of another schedule into this new one."""
        self.last_request_at = plain.now - plain["since_request"].read(float)
        self.retry_at = plain.now + plain["retry_in"].read(float)
        self.failures, self.error = plain["failures"].read(int), plain["error"].read(str)

    def allows(self, now: float, pause: float) -> bool:
        """Return whether a request may be sent, `pause` seconds after the previous one at least."""
        return now >= self.last_request_at + pause and now >= self.retry_at

    def succeeded(self, now: float) -> None:
        """Record that a request at `now` was answered."""
        self.last_request_at = now
        self.retry_at, self.failures, self.error = NEVER, 0, ""

    def failed(self, error: ScrapeError, now: float, lasting: Container[str] = LASTING) -> bool:
        """Record a failed request; return whether the error differs from the previous one.

        A failure that the same process would repeat is not retried; the pause before other retries doubles.
        """
        pause = min(FIRST_RETRY * 2**self.failures, LONGEST_RETRY)
        self.last_request_at = now
        self.retry_at = float("inf") if error.reason in lasting else now + pause
        self.failures += 1
        before, self.error = self.error, str(error)
        return before != self.error

    def restart(self) -> None:
        """Drop the failures of a process that has ended; the pause since the last request remains."""
        self.retry_at, self.failures, self.error = NEVER, 0, ""
