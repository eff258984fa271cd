"""A bounded memory for pure results: two generations, the older one is dropped when the newer one is full.

Cheaper than an LRU: a hit in the young generation is one dictionary look-up, which is what makes the repeat
parse of a body fast; what was not used for a whole generation is forgotten.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class GenerationCache(Generic[K, V]):
    """Remembers the values put last or used last, of a weight between `size` and 2 x `size` in all."""

    __slots__ = ("_old", "_size", "_weight", "young")

    def __init__(self, size: int) -> None:
        self._size = size
        self._weight = 0
        self._old: dict[K, V] = {}
        self.young: dict[K, V] = {}
        """The newer generation; a hot loop may look here first."""

    def get(self, key: K) -> V | None:
        """Return the value remembered for `key`, or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Remember `value` for `key`; `weight` is its share of the size, 1 for an ordinary one."""
        if self._weight >= self._size:
            self._old = self.young
            self.young = {}
            self._weight = 0
        self.young[key] = value
        self._weight += weight

    def __len__(self) -> int:
        return len(self._old) + len(self.young)
