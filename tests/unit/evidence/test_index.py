"""The index of stored bodies: sizes, limits, and the order of eviction."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.evidence import index as indexing
from leakwatch.evidence.index import Index, StoredBody, excess
from leakwatch.evidence.record import Record
from leakwatch.model import Verdict
from tests.support.kept_bodies import parts, record
from tests.support.simulated import START


def stored(key: str, of: Record) -> StoredBody:
    """Return a body that is only on disk."""
    return StoredBody(key=key, record=of, parts=None, lifetime="")


def test_the_least_important_body_is_removed_first() -> None:
    """The verdict counts before the growth, and the growth before the age."""
    bodies = [
        stored(str(i), record(at=START + i, verdict=verdict, growth=growth))
        for i, (verdict, growth) in enumerate(
            [
                (Verdict.PROVEN, 1.0),
                (Verdict.LEAKING, 600.0),
                (Verdict.LEAKING, 60.0),
                (Verdict.LEAKING, 60.0),
                (Verdict.SUSPECTED, 900.0),
                (Verdict.NORMAL, 9e9),
            ]
        )
    ]
    order = [
        [int(body.key) for body in excess(bodies, size=1 << 30, number=number)] for number in range(5, -1, -1)
    ]
    assert order == [[5], [5, 4], [5, 4, 2], [5, 4, 2, 3], [5, 4, 2, 3, 1], [5, 4, 2, 3, 1, 0]]
    assert excess(bodies, size=6 * bodies[0].size, number=6) == []
    assert [body.key for body in excess(bodies, size=4 * bodies[0].size)] == ["5", "4"]


def test_a_body_larger_than_the_limit_is_removed_alone() -> None:
    """It does not displace smaller bodies, even if it is more important."""
    small = stored("small", record(verdict=Verdict.SUSPECTED))
    large = stored("large", record(size=10**6, verdict=Verdict.PROVEN))
    assert excess([small, large], size=10**5) == [large]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1e6), st.sampled_from(Verdict)), max_size=30))
def test_limits_always_hold(bodies: list[tuple[int, float, Verdict]]) -> None:
    """The remaining bodies are within the limits, and no body is removed without need."""
    before = [
        stored(str(i), record(at=START + i, size=1000 * size, growth=growth, verdict=verdict))
        for i, (size, growth, verdict) in enumerate(bodies)
    ]
    removed = excess(before, size=150_000, number=10)
    remaining = [body for body in before if body not in removed]
    assert sum(body.size for body in remaining) <= 150_000
    assert len(remaining) <= 10
    if removed and len(remaining) < 10:
        assert sum(body.size for body in remaining) + removed[-1].size > 150_000


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), max_size=40))
def test_sizes_are_the_sums_over_all_bodies(changes: list[tuple[int, int, bool]]) -> None:
    """The sums are right after any sequence of adding, removing and dropping of bytes."""
    index = Index()
    for i, (number, change, large) in enumerate(changes):
        bodies = list(index)
        if change == 0 and bodies:
            index.remove(bodies[number % len(bodies)])
        elif change == 1 and bodies:
            index.drop_parts(bodies[number % len(bodies)])
        else:
            of = record(target=f"t{number}", at=START + i, size=5000 if large else 5)
            index.add(StoredBody(key=str(i), record=of, parts=parts(), lifetime=""))
    bodies = list(index)
    assert len(index) == len(bodies)
    assert index.size == sum(body.size for body in bodies)
    assert index.in_memory == sum(body.size for body in bodies if body.parts is not None)
    for target in {body.target for body in bodies} | {("shop", "none")}:
        assert index.of_target(target) == [body for body in bodies if body.target == target]


def test_bodies_are_ranked_only_beyond_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape within the limits takes the same time however many bodies are stored."""
    calls = []

    def counted(bodies: Iterable[StoredBody], *, size: int, number: int | None = None) -> list[StoredBody]:
        calls.append(size)
        return excess(bodies, size=size, number=number)

    monkeypatch.setattr(indexing, "excess", counted)
    index = Index()
    for i in range(100):
        index.add(stored(str(i), record(at=START + i)))
        assert index.evict(size=1 << 30, number=100, memory=0) == []
    assert calls == []
    index.add(stored("100", record(at=START + 100)))
    assert [body.key for body in index.evict(size=1 << 30, number=100, memory=0)] == ["0"]
    assert (len(calls), len(index)) == (1, 100)


def test_bodies_in_memory_have_their_own_limit() -> None:
    """Bodies that are only on disk do not count, and stay."""
    index = Index()
    for i in range(4):
        index.add(
            StoredBody(key=str(i), record=record(at=START + i), parts=parts() if i % 2 else None, lifetime="")
        )
    evicted = index.evict(size=1 << 30, number=100, memory=index.in_memory // 2)
    assert [body.key for body in evicted] == ["1"]
    assert [body.key for body in index] == ["0", "2", "3"]
