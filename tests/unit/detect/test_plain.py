"""Plain values: what each type of state becomes, and which values are rejected."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.detect import plain
from leakwatch.detect.columns import Floats
from leakwatch.detect.history import History
from leakwatch.detect.plain import Plain, PlainReader, PlainWriter, SharedValues
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
    shared = SharedValues()
    writer = PlainWriter(shared)
    document = writer.document({"value": writer.write(kind, value)})
    return reader(document, shared)["value"].read(kind)


def reader(document: Plain, shared: SharedValues, **settings: float) -> PlainReader:
    """Return the reader of a document and its shared values, after a round trip through JSON."""
    values = PlainReader.shared(stored(shared.plain), "shared values")
    return PlainReader.document(stored(document), "target", values, **settings)


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
    shared = SharedValues()
    writer = PlainWriter(shared)
    document = writer.document({"value": writer.write(list[Stack], [stack("a"), stack("b"), stack("a")])})
    assert document["state"]["value"] == [0, 1, 0]
    assert [len(shared.plain[name]) for name in ("Frame", "Stack", "Window")] == [3, 2, 0]
    assert len(shared) == 5
    first, _, third = reader(document, shared)["value"].read(list[Stack])
    assert first is third


def test_numpy_numbers_become_plain() -> None:
    """Numbers that the detector computed are not numbers of numpy afterwards."""
    assert type(PlainWriter(SharedValues()).write(float, np.float32(0.5))) is float
    assert type(PlainWriter(SharedValues()).write(int, np.int64(3))) is int
    assert type(PlainWriter(SharedValues()).write(bool, np.bool_(1))) is bool


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
    shared = SharedValues()
    writer = PlainWriter(shared)
    writer.write(Stack, stack("a"))
    document = writer.document({"value": value})
    with pytest.raises(StateError) as error:
        reader(document, shared)["value"].read(kind)
    assert str(error.value).startswith("target.state.value" + message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: None, "target has no 'version'"),
        (lambda plain: {**plain, "version": 99}, f"target.version is 99, not at most {plain.VERSION}"),
        (lambda plain: {**plain, "block": 60.0}, "target.block is '60.0', not 300.0"),
    ],
)
def test_other_documents_are_rejected(change: Callable[[Any], Any], message: str) -> None:
    """A document of another version or with other settings raises an error."""
    shared = SharedValues()
    with pytest.raises(StateError) as error:
        reader(change(PlainWriter(shared).document({}, block=300.0)), shared, block=300.0)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "shared values has no 'Frame'"),
        ({"Frame": [["main.leak", "a.go"]]}, "shared values.Frame[0] has 2 elements, not 3"),
        ({"Frame": [["main.leak", "a.go", "7"]]}, "shared values.Frame[0][2] is str, not int"),
        ({"Frame": [], "Stack": [["f00d", [], 0, "", "", False, False]]}, "shared values.Stack[0][2] is 0, but"),
    ],
)
def test_other_shared_values_are_rejected(plain: Plain, message: str) -> None:
    """A shared value of another shape raises an error with its place."""
    with pytest.raises(StateError) as error:
        PlainReader.shared(plain, "shared values")
    assert str(error.value).startswith(message)


def test_later_documents_continue_the_numbers() -> None:
    """A value has the same number in each document, also if it is another object; new values have new numbers."""
    shared = SharedValues()
    assert [PlainWriter(shared).write(Stack, stack(name)) for name in "aba"] == [0, 1, 0]
    number = len(shared)
    assert PlainWriter(shared).write(Stack, stack("b")) == 1
    assert len(shared) == number


def test_older_documents_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute that a document of an older version does not have keeps its value in a new object."""
    shared = SharedValues()
    document = PlainWriter(shared).document({"array": ARRAY, "latest": [7], "inner": {"number": 3}})
    with pytest.raises(StateError, match=r"^target.state.inner has no 'names'$"):
        reader(document, shared).read(Outer)
    monkeypatch.setattr(plain, "VERSION", plain.VERSION + 1)
    outer = reader(document, shared).read(Outer)
    assert (outer.inner, list(outer.latest)) == (Inner(3), [7])
    del document["state"]["latest"], document["state"]["inner"]["number"]
    with pytest.raises(StateError, match=r"^target.state.inner has no 'number'$"):
        reader(document, shared).read(Outer)
    assert list(reader({**document, "state": {"array": ARRAY}}, shared).read(Outer).latest) == []


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
        shared = SharedValues()
        writer = PlainWriter(shared)
        return {"document": writer.document(writer.state(history)), "shared": shared.plain}

    original, copy = History(60.0, series_limit=3), History(60.0, series_limit=3)
    time = play(original, before, 0.0)
    if restart:
        original.restart()
    stored_plain = stored(plain(original))
    values = PlainReader.shared(stored_plain["shared"], "shared values")
    copy.restore(PlainReader.document(stored_plain["document"], "history", values))
    play(original, after, time)
    play(copy, after, time)
    assert text(plain(copy)) == text(plain(original))
