"""Services with leaks, pools and restarts: a function of the minute."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from leakwatch.model import Process, Target

START: Final = 1_700_000_000.0
TARGETS: Final = 20
PER_SERVICE: Final = 5
BUSY: Final = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of a target: counts by stack name, and the process that answers."""

    counts: Mapping[str, int]
    process: Process


def answers(minute: int) -> Iterator[tuple[Target, Answer]]:
    """Yield what each target returns at a minute. One target leaves after five hours, and another one appears."""
    for number in range(TARGETS):
        service = f"service{number // PER_SERVICE}"
        name = f"10.0.0.{number}:6060"
        if number == TARGETS - 1 and minute >= 300:
            name = "10.0.1.0:6060"
        began = _start(number, minute)
        process = Process(f"run{began}", "build1")
        yield Target(service, name), Answer(_counts(number, minute, minute - began), process)


def _start(number: int, minute: int) -> int:
    """Return the minute in which the process of a target began; some restart every few hours."""
    if number == TARGETS - 1 and minute >= 300:
        return 300
    period = {3: 170, 8: 250}.get(number)
    return minute // period * period if period else 0


def _counts(number: int, minute: int, age: int) -> Mapping[str, int]:
    """Return the counts of a process that is `age` minutes old."""
    counts = {f"idle{i}": 1 + i % 3 for i in range(12)}
    counts["busy"] = 5 + (minute * 7919 + number * 104729) % BUSY
    counts["pool"] = min(age, 80)
    if number in {0, 1}:
        counts["leak"] = 2 + 2 * age  # 120 per hour
    if number == 6:
        counts["drip"] = 3 + age // 2  # 30 per hour
    if PER_SERVICE * 2 <= number < PER_SERVICE * 3:
        counts["shared"] = 4 + age // 3  # 20 per hour on each target
    if number == TARGETS - 1:
        counts["deployed"] = 1 + age  # 60 per hour; the replacement leaks too
    return counts
