"""The full dumps of one process: which goroutines of each stack are stuck, and which of them were lost.

A goroutine is stuck if it has waited for a while. It is lost if the next dump shows that it has ended or
moved on: by its ID, because another goroutine may have taken its place. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from leakwatch.detect.columns import Sums
from leakwatch.detect.dumped import UNKNOWN, DumpedStack, DumpedStacks, has_living_parents, merged
from leakwatch.detect.liveness import Liveness
from leakwatch.model import Fingerprint

AGES: Final = (5, 10)
"""Minutes after which a goroutine is stuck, for short and for long spans: BRIEFLY and LONG."""
BRIEFLY, LONG = range(2)
MIN_STUCK: Final = 3
"""Goroutines; fewer are not recorded, because a service has many stacks with one goroutine that never wakes up."""
LATE: Final = 2
"""Minutes by which a wait time may be too short: Go measures it at garbage collections, forced every 2 minutes."""
RETENTION: Final = 34 * 3600.0  # seconds
STALE: Final = 9000.0  # seconds: half an hour more than the longest time between two dumps
HALF_LIFE: Final = 72 * 3600.0  # seconds, of the known loss


@dataclass(frozen=True, slots=True)
class StuckCount:
    """The goroutines of a stack that were stuck in one dump, and of those in the dump before, how many were lost.

    Both are pairs: BRIEFLY and LONG.
    """

    stuck: tuple[int, int]
    lost: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class DumpRecord:
    """The stuck goroutines in one dump, by stack."""

    time: float
    stacks: dict[Fingerprint, StuckCount] = field(default_factory=dict)


NOTHING: Final = StuckCount((0, 0))


class DumpHistory:
    """The latest full dumps of one process, for its stacks or for its sites."""

    STATE: ClassVar = {
        "time": float | None,
        "uptime": float,
        "records": list[DumpRecord],
        "waits": dict[Fingerprint, dict[int, int]],
        "known_loss": dict[Fingerprint, float],
        "living": set[Fingerprint],
        "liveness": Liveness,
    }

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Drop the dumps of a process that has ended."""
        self.time: float | None = None
        """Time of the latest dump."""
        self.uptime = 0.0
        """Longest wait of a goroutine in the latest dump, in seconds."""
        self.records: list[DumpRecord] = []
        """The dumps, the oldest first."""
        self.waits: dict[Fingerprint, dict[int, int]] = {}
        """Stack -> ID -> minutes, of the goroutines that were stuck in the latest dump."""
        self.known_loss: dict[Fingerprint, float] = {}
        """Stack -> by how much its stuck goroutines fell from their highest number, decayed."""
        self.living: set[Fingerprint] = set()
        """Stacks with stuck goroutines that have living parents."""
        self.liveness = Liveness()

    def record(self, time: float, stacks: DumpedStacks, everyone: DumpedStack) -> bool:
        """Record a dump; return whether it has wait times.

        `everyone`: all goroutines of the process. Without garbage collections they have no wait times, which does
        not mean that they are alive.
        """
        if self._is_of_another_process(everyone):
            self.restart()
        longest = int(everyone.minutes.max(initial=UNKNOWN))
        elapsed = (time - self.time) / 60 if self.time is not None else 1.0 + LATE
        if longest < max(elapsed - LATE, 0):
            self.restart()
            self.time = time
            return False
        self.uptime = max(self.uptime_at(time), 60.0 * longest)
        self._add(time, stacks, elapsed)
        self.living = {
            fingerprint
            for fingerprint in self.waits
            if has_living_parents(_stuck_only(stacks[fingerprint]), everyone)
        }
        return True

    def _is_of_another_process(self, everyone: DumpedStack) -> bool:
        """Return whether all stuck goroutines have ended and all IDs are lower: the IDs of a process only rise."""
        stuck = [number for waits in self.waits.values() for number in waits]
        return bool(stuck) and everyone.ids.max(initial=0) < max(stuck) and not np.isin(stuck, everyone.ids).any()

    def _add(self, time: float, stacks: DumpedStacks, elapsed: float) -> None:
        waits = {
            fingerprint: dict(zip(stack.ids[stuck].tolist(), stack.minutes[stuck].tolist(), strict=True))
            for fingerprint, stack in stacks.items()
            if (stuck := stack.minutes >= AGES[BRIEFLY]).sum() >= MIN_STUCK
        }
        record = DumpRecord(time)
        for fingerprint in waits.keys() | self.waits.keys():
            now, before = waits.get(fingerprint, {}), self.waits.get(fingerprint, {})
            if fingerprint not in waits and fingerprint in stacks:
                now = dict(
                    zip(stacks[fingerprint].ids.tolist(), stacks[fingerprint].minutes.tolist(), strict=True)
                )
            record.stacks[fingerprint] = StuckCount(_stuck(now), _lost(before, now, elapsed))
        self.records = [old for old in self.records if old.time > time - RETENTION] + [record]
        self._update_known_loss(60 * elapsed if self.time is not None else 0.0)
        self.time, self.waits = time, waits

    def _update_known_loss(self, seconds: float) -> None:
        """Decay the known losses, and add the falls to the latest dump."""
        decay = 0.5 ** (seconds / HALF_LIFE)
        losses = {fingerprint: decay * loss for fingerprint, loss in self.known_loss.items() if loss > 1}
        for fingerprint in {key for record in self.records for key in record.stacks}:
            peak = max(self.stuck(fingerprint, record)[LONG] for record in self.records)
            fall = peak - self.stuck(fingerprint, self.records[-1])[LONG]
            if fall > losses.get(fingerprint, 0.0):
                losses[fingerprint] = float(fall)
        self.known_loss = losses

    def uptime_at(self, time: float) -> float:
        """Return a lower bound of the uptime of the process at `time`, in seconds."""
        return 0.0 if self.time is None else self.uptime + max(time - self.time, 0.0)

    def is_stale(self, time: float) -> bool:
        """Return whether the latest dump is too old at `time` to judge by."""
        return self.time is None or time - self.time > STALE

    def liveness_at(self, time: float) -> Liveness:
        """Return the liveness of the stacks, unknown for all if the latest dump is too old at `time`."""
        return Liveness() if self.is_stale(time) else self.liveness

    def arrivals(self, fingerprint: Fingerprint, block: float) -> tuple[Sums, Sums]:
        """Return times, `block` seconds apart, and the number of goroutines now stuck that existed at each."""
        if self.time is None:
            return np.zeros(0), np.zeros(0)
        seconds = 60 * np.sort(np.array([*self.waits.get(fingerprint, {}).values()], np.float64))
        ages = np.arange(60.0 * AGES[BRIEFLY], max(min(self.uptime, RETENTION), 600.0), block)[::-1]
        return self.time - ages, (len(seconds) - np.searchsorted(seconds, ages)).astype(np.float64)

    def stuck(self, fingerprint: Fingerprint, record: DumpRecord) -> tuple[int, int]:
        """Return the stuck goroutines of a stack in one dump."""
        return record.stacks.get(fingerprint, NOTHING).stuck

    def since(self, time: float) -> list[DumpRecord]:
        """Return the dumps since `time`."""
        return [record for record in self.records if record.time >= time]


def all_goroutines(stacks: DumpedStacks) -> DumpedStack:
    """Return the goroutines of all stacks of a process."""
    empty = np.zeros(0, np.int64)
    return merged([DumpedStack(empty, empty, empty), *stacks.values()])


def _stuck_only(stack: DumpedStack) -> DumpedStack:
    stuck = stack.minutes >= AGES[BRIEFLY]
    return DumpedStack(stack.ids[stuck], stack.minutes[stuck], stack.parents[stuck])


def _stuck(waits: dict[int, int]) -> tuple[int, int]:
    return _at_least(waits.values(), AGES[BRIEFLY]), _at_least(waits.values(), AGES[LONG])


def _at_least(minutes: Iterable[int], age: int) -> int:
    return sum(each >= age for each in minutes)


def _lost(before: dict[int, int], now: dict[int, int], elapsed: float) -> tuple[int, int]:
    """Return how many goroutines that were stuck `elapsed` minutes ago have ended or moved on."""
    lost = [minutes for number, minutes in before.items() if now.get(number, UNKNOWN) < elapsed - LATE]
    return len(lost), _at_least(lost, AGES[LONG])
