"""Wait times, states and creators in a full dump, and the goroutines of a stack."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.model import Frame, Stack, Trace, Waiting
from leakwatch.profile import dump, text
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.goroutine import Goroutine
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_times import Ages, ages, merge_waiting

RECORDED = sorted((Path(__file__).parents[2] / "profiles").glob("*/goroutine.debug2.txt"))


def ages_of(minutes: Sequence[int | None]) -> Ages:
    """Return the ages of goroutines that have waited for `minutes`."""
    return ages(Waiting(Counter(minutes), {}, {}))


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([], (0, 0, None, None)),
        ([7], (1, 1, 7, 7)),
        ([None], (1, 0, None, None)),
        ([9, 2], (2, 2, 9, 2)),
        ([1, 30, 2], (3, 3, 30, 2)),
        ([5, None, 9, None, 1], (5, 3, 9, 1)),
        ([None, None, 90], (3, 1, 90, None)),
    ],
)
def test_ages(minutes: list[int | None], expected: tuple[int | None, ...]) -> None:
    """A goroutine without a time counts as the youngest, so the others do not look older."""
    assert astuple(ages_of(minutes)) == expected


@given(st.lists(st.integers(1, 10**6), min_size=1), st.integers(0, 50))
def test_median(minutes: list[int], silent: int) -> None:
    """At least half of the goroutines are as old as the median or older, and at most half are older."""
    result = ages_of([*minutes, *[None] * silent])
    assert (result.goroutines, result.known, result.oldest) == (len(minutes) + silent, len(minutes), max(minutes))
    if result.median is not None:
        assert 2 * sum(number >= result.median for number in minutes) >= result.goroutines
        assert 2 * sum(number > result.median for number in minutes) <= result.goroutines
    else:
        assert 2 * silent >= result.goroutines


def test_states_and_creators_are_counted() -> None:
    """The most frequent states and creators come first; the main goroutine has no creator."""
    accept, serve = Frame("main.accept", "/src/main.go", 7), Frame("main.serve", "/src/main.go", 9)
    trace = Trace((Frame("main.f"),))
    goroutines = [Goroutine(number=1, trace=trace, state="running")]
    goroutines += [
        Goroutine(number=i, trace=trace, state="select", minutes=i, creator=serve if i % 3 else accept, parent=1)
        for i in range(2, 9)
    ]
    merged = merge_waiting([waiting(goroutines[:4]), waiting(goroutines[4:])])
    assert list(merged.states.items()) == [("select", 7), ("running", 1)]
    assert list(merged.creators.items()) == [(serve, 5), (accept, 2)]
    assert ages(merged) == Ages(goroutines=8, known=7, oldest=8, median=4)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_every_stack_of_debug_1_is_found(path: Path) -> None:
    """The index finds all goroutines of each stack in the text, also of stacks without their root or middle."""
    identifier = Identifier()
    printed = identifier.identify(text.parse(path.with_name("goroutine.debug1.txt").read_bytes()))
    index = DumpIndex(dump.parse(path.read_bytes()), identifier)
    stable = [s for s in printed.values() if not s.stack.origin.startswith("net/http.")]
    assert len(stable) > 50
    assert any(sample.stack.truncated for sample in stable)
    assert {s.stack.blamed: s.goroutines for s in stable} == {
        s.stack.blamed: len(index.goroutines_of(s.stack)) for s in stable
    }


def stack(*names: str, truncated: bool = False, site: bool = False) -> Stack:
    """Return the stack of calls with these names, leaf first."""
    frames = tuple(Frame(name) for name in names)
    return Stack(
        fingerprint=fingerprint_of(names),
        frames=frames,
        blamed=frames[0],
        origin="",
        wait="",
        truncated=truncated,
        site=site,
    )


@pytest.mark.parametrize(
    ("wanted", "names", "gap", "truncated", "matches"),
    [
        ("abcdefgh", "abgh", 2, False, True),
        ("abcdefgh", "abgx", 2, False, False),
        ("abcdefgh", "axgh", 2, False, False),
        ("abc", "abgh", 2, False, False),  # a gap does not make a stack shorter
        ("abgh", "abgh", 0, False, True),
        ("abcdefgh", "abc", 0, True, True),
        ("ab", "abc", 0, True, False),
        ("abcdefgh", "abc", 0, False, False),
        ("abc>", "abcdef", 0, False, True),
        ("abc>", "ab", 0, False, False),
        ("abc>", "abx", 0, False, False),
        ("abcd>", "abcxx", 3, False, True),
        ("abcd>", "abxxx", 3, False, False),
        ("abcd>", "ab", 0, True, True),
        ("ab>", "abcd", 0, True, True),
    ],
)
def test_stacks_with_parts_missing(wanted: str, names: str, gap: int, truncated: bool, matches: bool) -> None:
    """A stack without its root (>) and a trace with a gap or without its root match by their known frames."""
    calls = [f"main.{name}" for name in wanted.removesuffix(">")]
    trace = Trace(tuple(Frame(f"main.{name}") for name in names), truncated=truncated)
    index = DumpIndex(Dump((Goroutine(number=7, trace=trace, state="select", gap=gap),)), Identifier())
    assert [g.number for g in index.goroutines_of(stack(*calls, truncated=wanted.endswith(">")))] == [7] * matches


def test_a_site_has_the_goroutines_of_its_stacks() -> None:
    """A site has the goroutines of all stacks with its blamed function, without those that have not run."""
    traces = [Trace(tuple(Frame(f"main.{name}") for name in names)) for names in ("ab", "ac", "bc", "")]
    goroutines = (Goroutine(number=i, trace=trace, state="select") for i, trace in enumerate(traces, 1))
    index = DumpIndex(Dump(tuple(goroutines)), Identifier())
    assert [g.number for g in index.goroutines_of(stack("main.a", site=True))] == [1, 2]
    assert len(index.by_stack) == 3
