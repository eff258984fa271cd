"""Results of the probes of one process, and the findings about a leak that follow from them. Pure."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from leakwatch.detect.plain import Plain, PlainReader, PlainWriter
from leakwatch.errors import ScrapeError
from leakwatch.leaks.memory import MemoryHistory
from leakwatch.leaks.model import Findings
from leakwatch.model import Fingerprint, Stack, Waiting
from leakwatch.profile.wait_times import merge_waiting

Suspects = Mapping[Fingerprint, Stack]
"""The suspected stacks and sites of a target."""

NEVER: Final = float("-inf")
FIRST_RETRY: Final = 60.0  # seconds, doubled after each further failure
LONGEST_RETRY: Final = 3600.0  # seconds
LASTING: Final = {"status", "not_a_profile", "malformed", "too_large"}
"""Reasons for which the same process would fail again."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Leaked goroutines of each stack and each site, as the runtime reported them at `time`."""

    time: float
    goroutines: Mapping[Fingerprint, int]


@dataclass(frozen=True, slots=True)
class FullDump:
    """Wait times of the stacks and sites that were suspected at the `time` of a full dump."""

    time: float
    waiting: Mapping[Fingerprint, Waiting]


@dataclass(slots=True)
class ProbeSchedule:
    """When a probe may send its next request to a target; times are seconds of the stopwatch."""

    last_asked_at: float = NEVER
    retry_at: float = NEVER
    failures: int = 0
    """Failures in a row."""
    error: str = ""
    """Error of the latest request, "" if it succeeded."""

    def to_plain(self, writer: PlainWriter) -> Plain:
        """Return the state, with times relative to now: a stopwatch ends with its process."""
        return {
            "since_request": writer.now - self.last_asked_at,
            "retry_in": self.retry_at - writer.now,
            "failures": self.failures,
            "error": self.error,
        }

    def restore(self, plain: PlainReader) -> None:
        """Restore the state of another schedule into this new one."""
        self.last_asked_at = plain.now - plain["since_request"].read(float)
        self.retry_at = plain.now + plain["retry_in"].read(float)
        self.failures, self.error = plain["failures"].read(int), plain["error"].read(str)

    def allows(self, now: float, pause: float) -> bool:
        """Return whether a request may be sent, `pause` seconds after the previous one at least."""
        return now >= self.last_asked_at + pause and now >= self.retry_at

    def succeeded(self, now: float) -> None:
        """Record that a request at `now` was answered."""
        self.last_asked_at = now
        self.retry_at, self.failures, self.error = NEVER, 0, ""

    def failed(self, error: ScrapeError, now: float, lasting: Container[str] = LASTING) -> bool:
        """Record a failed request; return whether the error differs from the previous one.

        A failure that the same process would repeat is not retried; the pause before other retries doubles.
        """
        pause = min(FIRST_RETRY * 2**self.failures, LONGEST_RETRY)
        self.last_asked_at = now
        self.retry_at = float("inf") if error.reason in lasting else now + pause
        self.failures += 1
        before, self.error = self.error, str(error)
        return before != self.error

    def restart(self) -> None:
        """Drop the failures of a process that has ended; the pause since the last request remains."""
        self.retry_at, self.failures, self.error = NEVER, 0, ""


@dataclass(slots=True)
class ProbeResults:
    """Results of all probes of one process."""

    proof: Proof | None = None
    first_proof: Proof | None = None
    convincing: set[Fingerprint] = field(default_factory=set)
    """Stacks and sites with a growth that the leaked goroutines explain."""
    full_dump: FullDump | None = None
    memory: MemoryHistory = field(default_factory=MemoryHistory)
    unavailable: dict[str, str] = field(default_factory=dict)
    """Probe -> why it has no result."""
    schedules: dict[str, ProbeSchedule] = field(default_factory=dict)
    """By the name of the probe."""

    def schedule(self, probe: str) -> ProbeSchedule:
        """Return the schedule of a probe."""
        return self.schedules.setdefault(probe, ProbeSchedule())

    @property
    def more_proven(self) -> list[Fingerprint]:
        """The stacks and sites with more leaked goroutines than in the first proof."""
        if self.proof is None or self.first_proof is None:
            return []
        first = self.first_proof.goroutines
        return [key for key, goroutines in self.proof.goroutines.items() if goroutines > first.get(key, 0)]

    def add_proof(self, proof: Proof) -> None:
        """Record a proof of the runtime."""
        self.proof, self.first_proof = proof, self.first_proof or proof

    def restart(self) -> None:
        """Drop the results of a process that has ended. The pauses between requests still apply to the new one."""
        self.proof = self.first_proof = self.full_dump = None
        self.memory.restart()
        self.convincing.clear()
        self.unavailable.clear()
        self.allow_retries()

    def allow_retries(self) -> None:
        """Let probes that failed send a request as soon as their pause is over."""
        for schedule in self.schedules.values():
            schedule.restart()


def findings(
    keys: Sequence[Fingerprint], results: Iterable[ProbeResults], older: Iterable[Mapping[float, int]]
) -> Findings:
    """Return the findings about a leak.

    `keys`: the head of the leak, then its related stacks; `results`: of the targets with the leak; `older`: age in
    seconds -> goroutines that are at least that old, of the same targets.
    """
    proven: int | None = None
    waiting: list[Waiting] = []
    unavailable: dict[str, str] = {}
    for result in results:
        unavailable |= result.unavailable
        if result.proof:
            proven = (proven or 0) + max(result.proof.goroutines.get(key, 0) for key in keys)
        if result.full_dump and keys[0] in result.full_dump.waiting:
            waiting.append(result.full_dump.waiting[keys[0]])
    total: dict[float, int] = {}
    for ages in older:
        for seconds, goroutines in ages.items():
            total[seconds] = total.get(seconds, 0) + goroutines
    return Findings(
        proven=proven,
        waiting=merge_waiting(waiting) if waiting else None,
        older=total,
        unavailable=unavailable,
    )
