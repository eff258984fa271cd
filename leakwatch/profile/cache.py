"""Bounded caches of pure results.

A GenerationCache drops its older generation when the newer one is full. It is cheaper than an LRU: a hit in the
newer generation is one dictionary look-up, which makes the parsing of a repeated body fast.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from leakwatch.model import Frame, Trace

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class GenerationCache(Generic[K, V]):
    """The most recently used values. The total weight of a full cache is between `size` and 2 x `size`."""

    __slots__ = ("_older", "_seen", "_size", "_weight", "newer")

    def __init__(self, size: int) -> None:
        self._size = size
        self._weight = 0
        self._older: dict[K, V] = {}
        self.newer: dict[K, V] = {}
        """The newer generation; a hot loop may read it first."""
        self._seen: set[int] = set()
        """Hashes of keys for which `admits` was called once, at most `size`. A full set has 7 MB."""

    def get(self, key: K) -> V | None:
        """Return the value of `key`, or None."""
        value = self.newer.get(key)
        if value is None:
            value = self._older.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def admits(self, key: K) -> bool:
        """Return whether the value of `key` is worth storing: from the second call for this key on.

        A target that sends new stacks in each body would fill a cache with values that no body repeats: RSS grew
        from 67 MB to 265 MB in 18 scrapes of 10,000 new stacks each.
        """
        seen, hashed = self._seen, hash(key)
        if hashed in seen:
            seen.remove(hashed)
            return True
        if len(seen) >= self._size:
            seen.clear()
        seen.add(hashed)
        return False

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Store `value`; `weight` is its share of the size."""
        if self._weight >= self._size:
            self._older = self.newer
            self.newer = {}
            self._weight = 0
        self.newer[key] = value
        self._weight += weight

    def __len__(self) -> int:
        return len(self._older) + len(self.newer)


class ParseCache:
    """Parsed traces and frames that parsers reuse when a later body repeats them: from the third body on.

    Any number of parsers can share a cache, also for text and protobuf. `symbols`: address -> function, if all
    text bodies come from one program with known symbols.
    """

    __slots__ = ("frames", "symbols", "traces", "truncated")

    def __init__(self, size: int = 100_000, symbols: Mapping[int, str] | None = None) -> None:
        self.symbols = symbols or {}
        self.traces: GenerationCache[int, Trace] = GenerationCache(size)
        """Traces by the hash of their text, or of their addresses and labels.

        The text itself would be most of the memory of many targets. Python keys the hash of bytes and text with a
        secret, so a service cannot construct a collision.
        """
        self.truncated: GenerationCache[Trace, Trace] = GenerationCache(size)
        """Trace of a protobuf -> the same trace, marked as truncated."""
        self.frames: GenerationCache[Hashable, Frame] = GenerationCache(size)
