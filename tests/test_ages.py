"""What a full dump adds to a stack: ages, states, creators, and which of its goroutines are of a stack."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.model import Frame, Stack, Trace, Waiting
from leakwatch.profile import dump, text
from leakwatch.profile.dump import Dump, Goroutine
from leakwatch.profile.dump_stacks import Waits, waiting
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.profile.stacks import Identifier
from leakwatch.profile.wait_times import Ages, ages, together

RECORDED = sorted((Path(__file__).parent / "profiles").glob("*/goroutine.debug2.txt"))


def after(minutes: Sequence[int | None]) -> Ages:
    """Return the ages of goroutines that wait for so many minutes each."""
    return ages(Waiting(Counter(minutes), {}, {}))


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([], Ages(0, 0, None, None)),
        ([7], Ages(1, 1, 7, 7)),
        ([None], Ages(1, 0, None, None)),
        ([9, 2], Ages(2, 2, 9, 2)),
        ([1, 30, 2], Ages(3, 3, 30, 2)),
        ([5, None, 9, None, 1], Ages(5, 3, 9, 1)),
        ([None, None, 90], Ages(3, 1, 90, None)),
    ],
)
def test_ages(minutes: list[int | None], expected: Ages) -> None:
    """A goroutine that does not say its age is the youngest: it never makes the others look older."""
    assert after(minutes) == expected


@given(st.lists(st.integers(1, 10**6), min_size=1), st.integers(0, 50))
def test_the_median_is_the_age_of_one(minutes: list[int], silent: int) -> None:
    """At least half of the goroutines are as old as the median or older than it, at most half are older."""
    found = after([*minutes, *[None] * silent])
    assert (found.goroutines, found.known, found.oldest) == (len(minutes) + silent, len(minutes), max(minutes))
    if found.median is not None:
        assert 2 * sum(number >= found.median for number in minutes) >= found.goroutines
        assert 2 * sum(number > found.median for number in minutes) <= found.goroutines
    else:
        assert 2 * silent >= found.goroutines


def test_states_and_creators_are_counted() -> None:
    """The most frequent come first; the main goroutine has no creator."""
    accept, serve = Frame("main.accept", "/src/main.go", 7), Frame("main.serve", "/src/main.go", 9)
    trace = Trace((Frame("main.f"),))
    goroutines = [Goroutine(1, trace, "running")]
    goroutines += [Goroutine(i, trace, "select", i, serve if i % 3 else accept, 1) for i in range(2, 9)]
    told = together([waiting(goroutines[:4]), waiting(goroutines[4:])])
    assert list(told.states.items()) == [("select", 7), ("running", 1)]
    assert list(told.creators.items()) == [(serve, 5), (accept, 2)]
    assert ages(told) == Ages(8, 7, 8, 4)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_every_stack_of_debug_1_is_found(path: Path) -> None:
    """All goroutines that the text has of a stack are found, those included whose root or middle is missing."""
    identifier = Identifier()
    printed = identifier.identify(text.parse(path.with_name("goroutine.debug1.txt").read_bytes()))
    waits = Waits(dump.parse(path.read_bytes()), identifier)
    still = [s for s in printed.values() if not s.stack.origin.startswith("net/http.")]
    assert len(still) > 50
    assert any(sample.stack.truncated for sample in still)
    assert {s.stack.blamed: s.goroutines for s in still} == {s.stack.blamed: len(waits.of(s.stack)) for s in still}


def stack(*names: str, truncated: bool = False, site: bool = False) -> Stack:
    """Return the stack of calls with these names, leaf first."""
    frames = tuple(Frame(name) for name in names)
    return Stack(fingerprint_of(names), frames, frames[0], "", "", truncated=truncated, site=site)


@pytest.mark.parametrize(
    ("wanted", "names", "gap", "cut", "fits"),
    [
        ("abcdefgh", "abgh", 2, False, True),
        ("abcdefgh", "abgx", 2, False, False),
        ("abcdefgh", "axgh", 2, False, False),
        ("abc", "abgh", 2, False, False),  # a gap makes no stack shorter
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
def test_stacks_with_parts_missing(wanted: str, names: str, gap: int, cut: bool, fits: bool) -> None:
    """A stack whose root is cut (>), a trace with a gap or without its root fit what they may have been."""
    calls = [f"main.{name}" for name in wanted.removesuffix(">")]
    trace = Trace(tuple(Frame(f"main.{name}") for name in names), truncated=cut)
    waits = Waits(Dump((Goroutine(7, trace, "select", gap=gap),)), Identifier())
    assert [g.number for g in waits.of(stack(*calls, truncated=wanted.endswith(">")))] == [7] * fits


def test_a_site_has_the_goroutines_of_its_stacks() -> None:
    """All stacks that blame the function count; a goroutine that has not run is of no stack."""
    traces = [Trace(tuple(Frame(f"main.{name}") for name in names)) for names in ("ab", "ac", "bc", "")]
    waits = Waits(Dump(tuple(Goroutine(i, trace, "select") for i, trace in enumerate(traces, 1))), Identifier())
    assert [g.number for g in waits.of(stack("main.a", site=True))] == [1, 2]
    assert len(waits.by_stack) == 3
