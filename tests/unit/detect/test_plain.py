"""Plain values: what each type of state becomes, and which values are rejected."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.detect.columns import Floats
from leakwatch.detect.history import History
from leakwatch.detect.plain import PlainReader, PlainWriter
from leakwatch.detect.windows import P2, Window
from leakwatch.errors import StateError
from leakwatch.model import Fingerprint, Frame, Stack, Verdict
from tests.support.plain import stored, text
from tests.support.simulated import samples, stack


@dataclass
class Inner:
    """A dataclass with state."""

    number: int
    names: deque[str] = field(default_factory=lambda: deque(maxlen=2))


class Outer:
    """A class with state and a cache."""

    STATE: ClassVar = {"array": Floats, "latest": deque[int], "inner": Inner}

    def __init__(self) -> None:
        self.array: Floats = np.zeros((2, 3), np.float32)
        self.latest: deque[int] = deque(maxlen=3)
        self.inner = Inner(0)
        self.cache = 0


def converted(kind: Any, value: Any) -> Any:
    """Return a value after a round trip through a document."""
    writer = PlainWriter()
    document = writer.document({"value": writer.write(kind, value)})
    return PlainReader.document(stored(document), "target")["value"].read(kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 3),
        (float, float("inf")),
        (float | None, None),
        (bool, True),
        (str, "a"),
        (bytes, b"\x00"),
        (Fingerprint, "f00d"),
        (Verdict, Verdict.PLATEAU),
        (tuple[int, float], (1, 2.0)),
        (tuple[int, ...], (1, 2, 3)),
        (list[str | None], ["a", None]),
        (set[str], {"a"}),
        (frozenset[int], frozenset({2, 1})),
        (dict[str, int], {"b": 1, "a": 2}),
        (Mapping[int | None, int], {None: 1, 2: 3}),
        (Mapping[Frame, int], {Frame("main.a"): 1}),
        (Counter[Verdict], Counter({Verdict.LEAKING: 2})),
        (Inner, Inner(1, deque(["a"]))),
        (Stack, stack("leak")),
        (tuple[float, Window], (0.5, P2)),
    ],
    ids=str,
)
def test_values_come_back(kind: Any, value: Any) -> None:
    """A value of each type of state is the same after a round trip."""
    result = converted(kind, value)
    assert result == value
    assert type(result) is type(value)


def test_objects_are_filled() -> None:
    """An object gets the state of another one, with the lengths of its own deques and without its caches."""
    old = Outer()
    old.array[1] = np.float32(1.5), np.nan, -np.inf
    old.latest.extend(range(5))
    old.inner = Inner(7, deque("ab"))
    old.cache = 9
    new = converted(Outer, old)
    assert np.array_equal(new.array, old.array, equal_nan=True)
    assert (new.latest, new.latest.maxlen) == (deque([2, 3, 4]), 3)
    assert (new.inner, new.inner.names.maxlen) == (old.inner, 2)
    assert new.cache == 0
    new.array += 1  # a copy, which can be changed


def test_stacks_are_written_once() -> None:
    """Stacks and frames that repeat have a number, and are one object again afterwards."""
    writer = PlainWriter()
    document = writer.document({"value": writer.write(list[Stack], [stack("a"), stack("b"), stack("a")])})
    assert document["state"]["value"] == [0, 1, 0]
    assert [len(document["shared"][name]) for name in ("Frame", "Stack", "Window")] == [3, 2, 0]
    first, _, third = PlainReader.document(document, "target")["value"].read(list[Stack])
    assert first is third


def test_numpy_numbers_become_plain() -> None:
    """Numbers that the detector computed are not numbers of numpy afterwards."""
    assert type(PlainWriter().write(float, np.float32(0.5))) is float
    assert type(PlainWriter().write(int, np.int64(3))) is int
    assert type(PlainWriter().write(bool, np.bool_(1))) is bool


ARRAY = {"dtype": "<f4", "shape": [2, 3], "data": bytes(24)}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (int, "1", " is str, not int"),
        (int, True, " is bool, not int"),
        (float, None, " is NoneType, not float"),
        (Verdict, 9, " is 9, not a Verdict"),
        (dict[str, int], {"a": "b"}, ".a is str, not int"),
        (list[int], [1, 2.5], "[1] is float, not int"),
        (tuple[int, int], [1], " has 1 elements, not 2"),
        (Stack, 1, " is 1, but there are 1 values of Stack"),
        (Stack, -1, " is -1, but there are 1 values of Stack"),
        (Inner, {"names": []}, " has no 'number'"),
        (
            Outer,
            {"array": {**ARRAY, "shape": [2, 2]}},
            ".array is an array <f4 (2, 2) of 24 bytes",
        ),
        (
            Outer,
            {"array": {**ARRAY, "dtype": "<f8"}},
            ".array is an array <f8 (2, 3) of 24 bytes",
        ),
        (Outer, {"array": {**ARRAY, "data": b""}}, ".array is an array <f4 (2, 3) of 0 bytes"),
        (Outer, {"array": ARRAY, "latest": 1}, ".latest is int, not list"),
    ],
    ids=str,
)
def test_other_values_are_rejected(kind: Any, value: Any, message: str) -> None:
    """A value of another type or shape raises an error that names its place."""
    writer = PlainWriter()
    writer.write(Stack, stack("a"))
    document = writer.document({"value": value})
    with pytest.raises(StateError) as error:
        PlainReader.document(document, "target")["value"].read(kind)
    assert str(error.value).startswith("target.state.value" + message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: None, "target has no 'version'"),
        (lambda plain: {**plain, "version": 2}, "target.version is '2', not 1"),
        (lambda plain: {**plain, "block": 60.0}, "target.block is '60.0', not 300.0"),
        (lambda plain: {**plain, "shared": {}}, "target.shared has no 'Frame'"),
    ],
)
def test_other_documents_are_rejected(change: Callable[[Any], Any], message: str) -> None:
    """A document of another version or with other settings raises an error."""
    with pytest.raises(StateError) as error:
        PlainReader.document(change(PlainWriter().document({}, block=300.0)), "target", block=300.0)
    assert str(error.value) == message


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 99))
SCRAPES = st.lists(st.tuples(st.sampled_from((5.0, 15.0, 60.0, 4000.0)), COUNTS), max_size=60)


@given(before=SCRAPES, after=SCRAPES, restart=st.booleans())
def test_a_history_continues(before: Any, after: Any, restart: bool) -> None:
    """A history that was converted records further scrapes as the original does."""

    def play(history: History, scrapes: Any, time: float) -> float:
        for step, counts in scrapes:
            time += step
            history.record(time, samples(counts))
        return time

    def plain(history: History) -> Any:
        writer = PlainWriter()
        return writer.document(writer.state(history))

    original, copy = History(60.0, series_limit=3), History(60.0, series_limit=3)
    time = play(original, before, 0.0)
    if restart:
        original.restart()
    copy.restore(PlainReader.document(stored(plain(original)), "history"))
    play(original, after, time)
    play(copy, after, time)
    assert text(plain(copy)) == text(plain(original))
