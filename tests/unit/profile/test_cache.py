"""Caches of pure results: what they admit, and what they drop."""

from leakwatch.profile.cache import GenerationCache


def test_a_value_is_admitted_at_the_second_call() -> None:
    """A key is worth storing once it repeats; between two repeats, `size` other keys may come."""
    cache: GenerationCache[str, int] = GenerationCache(100)
    assert not cache.admits("a")
    assert [cache.admits(f"other-{n}") for n in range(99)] == [False] * 99
    assert cache.admits("a")


def test_the_memory_of_keys_is_bounded() -> None:
    """A key that comes again after far more than `size` other keys is new."""
    cache: GenerationCache[int, int] = GenerationCache(100)
    assert not any(cache.admits(n) for n in range(1000))
    assert not cache.admits(0)
    assert len(cache._seen) <= 100


def test_the_older_generation_is_dropped() -> None:
    """A full cache drops the values that were not used since the generation before."""
    cache: GenerationCache[int, str] = GenerationCache(10)
    cache.put(-1, "used")
    for n in range(100):
        cache.put(n, "new")
        assert cache.get(-1) == "used"
    assert cache.get(0) is None
    assert cache.get(99) == "new"
    assert len(cache) <= 20
