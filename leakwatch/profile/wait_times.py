"""How long goroutines have waited, and sums over several targets."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from leakwatch.model import Frame, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How long goroutines have been in their state, in minutes.

    A dump omits the time during the first minute, so a goroutine without a time counts as younger than the others.
    `oldest` and `median` are None if they are therefore unknown.
    """

    goroutines: int
    known: int
    """Number of goroutines with a time."""
    oldest: int | None
    median: int | None


def ages(waiting: Waiting) -> Ages:
    """Return how long goroutines have waited."""
    goroutines = sum(waiting.minutes.values())
    counts = sorted(((age, number) for age, number in waiting.minutes.items() if age is not None), reverse=True)
    older, median = 0, None
    for age, number in counts:
        older += number
        if median is None and older > goroutines // 2:
            median = age
    oldest = counts[0][0] if counts else None
    return Ages(goroutines=goroutines, known=older, oldest=oldest, median=median)


def merge_waiting(parts: Iterable[Waiting]) -> Waiting:
    """Return the sum of `parts`, with the most frequent states and creators first."""
    minutes, states, creators = Counter[int | None](), Counter[str](), Counter[Frame]()
    for part in parts:
        minutes.update(part.minutes)
        states.update(part.states)
        creators.update(part.creators)
    return Waiting(minutes, dict(states.most_common()), dict(creators.most_common()))
