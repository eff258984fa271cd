"""How long goroutines wait, and how those of several targets wait together. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from leakwatch.model import Frame, Waiting


@dataclass(frozen=True, slots=True)
class Ages:
    """How long goroutines have been in their state, in minutes; `known` is how many of them say.

    A goroutine that does not say counts as younger than all that do, since the dump is silent on the first minute.
    `oldest` and `median` are None where that leaves them unknown.
    """

    goroutines: int
    known: int
    oldest: int | None
    median: int | None


def ages(waiting: Waiting) -> Ages:
    """Return how long goroutines wait."""
    goroutines = sum(waiting.minutes.values())
    known = sorted(((age, number) for age, number in waiting.minutes.items() if age is not None), reverse=True)
    older, median = 0, None
    for age, number in known:
        older += number
        if median is None and older > goroutines // 2:
            median = age
    return Ages(goroutines, older, known[0][0] if known else None, median)


def together(all_of_them: Iterable[Waiting]) -> Waiting:
    """Return how the goroutines of all wait; the most frequent states and creators come first."""
    minutes, states, creators = Counter[int | None](), Counter[str](), Counter[Frame]()
    for one in all_of_them:
        minutes.update(one.minutes)
        states.update(one.states)
        creators.update(one.creators)
    return Waiting(minutes, dict(states.most_common()), dict(creators.most_common()))
