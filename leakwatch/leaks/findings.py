"""Results of the probes of one process, and the findings about a leak that follow from them. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from leakwatch.leaks.memory import MemoryHistory
from leakwatch.leaks.model import Findings
from leakwatch.leaks.probe_schedule import ProbeSchedule
from leakwatch.model import Fingerprint, JudgedStacks, Stack, Waiting
from leakwatch.profile.own_calls import HeapPart, Starter
from leakwatch.profile.wait_times import merge_waiting

EXPLAINS: Final = 0.5
"""Share of the growth: proofs are a little older than the counts, and the runtime may miss some."""
Suspects = Mapping[Fingerprint, Stack]
"""The suspected stacks and sites of a target."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Leaked goroutines of each stack and each site, as the runtime reported them at `time`."""

    time: float
    goroutines: Mapping[Fingerprint, int]


@dataclass(frozen=True, slots=True)
class FullDump:
    """Wait times of the stacks and sites that were suspected at the `time` of a full dump.

    `starters`: the own code that started the goroutines of those without own code.
    """

    time: float
    waiting: Mapping[Fingerprint, Waiting]
    starters: Mapping[Fingerprint, tuple[Starter, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class ProbeResults:
    """Results of all probes of one process."""

    proof: Proof | None = None
    first_proof: Proof | None = None
    convincing: set[Fingerprint] = field(default_factory=set)
    """Stacks and sites with a growth that the leaked goroutines explain."""
    full_dump: FullDump | None = None
    longest_pause: float = 0.0
    """Longest time in seconds that a full dump may have stopped the process."""
    heap: dict[str, HeapPart] = field(default_factory=dict)
    """Module, or part of the standard library, with a leak -> the own code that it holds memory for."""
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

    def select_convincing(self, judged: JudgedStacks, count: Callable[[Fingerprint], int]) -> None:
        """Mark the stacks with enough leaked goroutines to explain their growth; a single old one does not.

        `count`: returns the goroutines of a stack that is not in `judged`.
        """
        if self.proof is None:
            return
        self.convincing |= set(self.more_proven)
        for key, goroutines in self.proof.goroutines.items():
            grown = judged[key].judgement.gained if key in judged else count(key)
            if goroutines and goroutines >= EXPLAINS * grown:
                self.convincing.add(key)

    def add_proof(self, proof: Proof) -> None:
        """Record a proof of the runtime."""
        self.proof, self.first_proof = proof, self.first_proof or proof

    def restart(self) -> None:
        """Drop the results of a process that has ended. The pauses between requests still apply to the new one."""
        self.proof = self.first_proof = self.full_dump = None
        self.longest_pause = 0.0
        self.heap.clear()
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
    dumps: list[FullDump] = []
    unavailable: dict[str, str] = {}
    for result in results:
        unavailable |= result.unavailable
        if result.proof:
            proven = (proven or 0) + max(result.proof.goroutines.get(key, 0) for key in keys)
        if result.full_dump and keys[0] in result.full_dump.waiting:
            dumps.append(result.full_dump)
    total: dict[float, int] = {}
    for ages in older:
        for seconds, goroutines in ages.items():
            total[seconds] = total.get(seconds, 0) + goroutines
    return Findings(
        proven=proven,
        waiting=merge_waiting(dump.waiting[keys[0]] for dump in dumps) if dumps else None,
        dumped_at=min((dump.time for dump in dumps), default=None),
        older=total,
        unavailable=unavailable,
    )
