"""What one process answered to closer looks, and what that says of a leak on its targets. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leakwatch.leaks.memory import Looks
from leakwatch.leaks.model import Findings
from leakwatch.model import Fingerprint, Stack, Waiting
from leakwatch.profile.wait_times import merge_waiting

Suspects = Mapping[Fingerprint, Stack]
"""The stacks and sites of a target that are under suspicion."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the runtime said at `time`: so many goroutines of each stack and each site are leaked."""

    time: float
    goroutines: Mapping[Fingerprint, int]


@dataclass(frozen=True, slots=True)
class Dumped:
    """What a full dump said at `time` of the stacks and sites that were under suspicion then."""

    time: float
    waiting: Mapping[Fingerprint, Waiting]


@dataclass(slots=True)
class ProbeResults:
    """All that one process answered; `asked` and `refused` are seconds of the stopwatch."""

    proof: Proof | None = None
    first_proof: Proof | None = None
    convincing: set[Fingerprint] = field(default_factory=set)
    """Those of which so many are proven that it explains their growth."""
    dumped: Dumped | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """What it did not answer -> why."""
    asked: dict[str, float] = field(default_factory=dict)
    """What it was asked -> when that was."""
    refused: dict[str, float] = field(default_factory=dict)
    """What it did not answer -> until when it is not asked again."""
    looks: Looks = field(default_factory=Looks)
    """At its memory."""

    @property
    def more_proven(self) -> list[Fingerprint]:
        """The stacks and sites of which more are proven to be leaked than when it was first asked."""
        if self.proof is None or self.first_proof is None:
            return []
        first = self.first_proof.goroutines
        return [key for key, goroutines in self.proof.goroutines.items() if goroutines > first.get(key, 0)]

    def prove(self, proof: Proof) -> None:
        """Take in what the runtime said."""
        self.proof, self.first_proof = proof, self.first_proof or proof

    def restart(self) -> None:
        """Forget what a process said that has ended; its successor is not asked sooner for that."""
        self.proof = self.first_proof = self.dumped = None
        self.looks.restart()
        self.convincing.clear()
        self.missing.clear()
        self.refused.clear()


def findings(
    keys: Sequence[Fingerprint], answers: Iterable[ProbeResults], older: Iterable[Mapping[float, int]]
) -> Findings:
    """Return what is known of a leak that the first of `keys` tells, the others belonging to it.

    `answers`: of the targets that it is on; `older`: what their counts show, seconds -> at least so many.
    """
    proven: int | None = None
    waiting: list[Waiting] = []
    missing: dict[str, str] = {}
    for answer in answers:
        missing |= answer.missing
        if answer.proof:
            proven = (proven or 0) + max(answer.proof.goroutines.get(key, 0) for key in keys)
        if answer.dumped and keys[0] in answer.dumped.waiting:
            waiting.append(answer.dumped.waiting[keys[0]])
    bounds: dict[float, int] = {}
    for bound in older:
        for seconds, goroutines in bound.items():
            bounds[seconds] = bounds.get(seconds, 0) + goroutines
    return Findings(proven, merge_waiting(waiting) if waiting else None, bounds, missing)
