"""Which evidence goes when there is too much: the oldest of the least important leak first. Pure."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from leakwatch.evidence.index import Rank


class Weighed(Protocol):
    """Something that takes `size` bytes, and stays the longer the larger its `rank` is."""

    rank: Rank

    @property
    def size(self) -> int:
        """In bytes."""


Some = TypeVar("Some", bound=Weighed)


def surplus(kept: Iterable[Some], *, size: int, number: int | None = None) -> list[Some]:
    """Return what has to go so that at most `number` are left, of at most `size` bytes together.

    What is larger than all of `size` goes by itself, and takes nothing with it.
    """
    ranked = sorted(kept, key=lambda one: one.rank)
    gone = [one for one in ranked if one.size > size]
    left = [one for one in ranked if one.size <= size]
    total = sum(one.size for one in left)
    for i, one in enumerate(left):
        if total <= size and (number is None or len(left) - i <= number):
            break
        gone.append(one)
        total -= one.size
    return gone
