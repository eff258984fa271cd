"""State as plain values: None, bool, int, float, str, bytes, list, and dict with str keys. Pure.

A class lists its state in STATE: attribute -> type. Attributes that are not in STATE are configuration or caches.
A new object is filled with the values of the old one, so an invalid value never changes an object in use.

Frames, stacks and windows are written once per document, and elsewhere by their number in it.
"""

import types
from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from leakwatch.detect.windows import Window
from leakwatch.errors import StateError, quote
from leakwatch.model import Frame, Stack

VERSION: Final = 1
"""Version of the format; documents of another version are rejected."""
SHARED: Final = (Frame, Stack, Window)
"""Classes of values that are written once per document. A class comes after the classes that it refers to."""

Plain = dict[str, Any]


class PlainWriter:
    """Converts the state of one document to plain values; `now`: seconds of the stopwatch."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._numbers: dict[type, dict[Any, int]] = {kind: {} for kind in SHARED}
        self._shared: dict[str, list[Plain]] = {kind.__name__: [] for kind in SHARED}

    def document(self, state: Plain, **settings: float) -> Plain:
        """Return a document with `state`; `settings`: those that the reader must have too."""
        return {"version": VERSION, **settings, "shared": self._shared, "state": state}

    def state(self, value: Any) -> Plain:
        """Return the state of an object as its STATE lists it."""
        return {name: self.write(kind, getattr(value, name)) for name, kind in _kinds_of(value).items()}

    def write(self, kind: Any, value: Any) -> Any:
        """Return a value of type `kind` as a plain value."""
        if value is None:
            return None
        kind, arguments = _resolve(kind)
        if kind in self._numbers:
            return self._number(kind, value)
        if issubclass(kind, np.ndarray):
            return {"dtype": value.dtype.str, "shape": list(value.shape), "data": value.tobytes()}
        if issubclass(kind, Collection) and arguments:
            return self._collection(kind, arguments, value)
        return self._object(kind, value)

    def _object(self, kind: Any, value: Any) -> Any:
        if hasattr(kind, "to_plain"):
            return value.to_plain(self)
        if hasattr(kind, "STATE") or is_dataclass(kind):
            return self.state(value)
        return (int if issubclass(kind, IntEnum) else kind)(value)

    def _collection(self, kind: type, arguments: tuple[Any, ...], value: Any) -> Any:
        if issubclass(kind, Mapping):
            key_kind, item_kind = arguments
            pairs = [(self.write(key_kind, key), self.write(item_kind, item)) for key, item in value.items()]
            return dict(pairs) if _resolve(key_kind)[0] is str else [list(pair) for pair in pairs]
        items = sorted(value) if issubclass(kind, (set, frozenset)) else value
        item_kinds = _item_kinds(arguments, len(items))
        return [self.write(item_kind, item) for item_kind, item in zip(item_kinds, items, strict=True)]

    def _number(self, kind: type, value: Any) -> int:
        numbers = self._numbers[kind]
        number = numbers.get(value)
        if number is None:
            plain = self.state(value)
            number = numbers[value] = len(numbers)
            self._shared[kind.__name__].append(plain)
        return number


class PlainReader:
    """A plain value of a document, and its place for messages."""

    def __init__(
        self, value: Any, place: str, now: float = 0.0, shared: Mapping[type, list[Any]] | None = None
    ) -> None:
        self.value = value
        self.now = now
        self.place = place
        self._shared = {} if shared is None else shared

    @classmethod
    def document(cls, plain: Any, place: str, now: float = 0.0, **settings: float) -> "PlainReader":
        """Return the state of a document. Raise StateError for another version or other `settings`."""
        shared: dict[type, list[Any]] = {}
        reader = cls(plain, place, now, shared)
        for name, expected in {"version": VERSION, **settings}.items():
            if reader[name].value != expected:
                raise reader[name].error(f"is {quote(str(reader[name].value))}, not {expected}")
        for kind in SHARED:
            values = reader["shared"][kind.__name__].elements()
            shared[kind] = [value._dataclass(kind) for value in values]  # noqa: SLF001  of this class
        return reader["state"]

    def error(self, message: str) -> StateError:
        """Return an error that names the place of the value."""
        return StateError(f"{self.place} {message}")

    def __getitem__(self, key: str) -> "PlainReader":
        """Return the value of a key of a dict."""
        if not isinstance(self.value, dict) or key not in self.value:
            raise self.error(f"has no {key!r}")
        return self._element(self.value[key], f".{key}")

    def items(self) -> list[tuple[str, "PlainReader"]]:
        """Return the items of a dict."""
        self._require(dict)
        return [(key, self._element(element, f".{key}")) for key, element in self.value.items()]

    def elements(self, length: int | None = None) -> list["PlainReader"]:
        """Return the elements of a list, which must have `length` unless that is None."""
        self._require(list)
        if length is not None and len(self.value) != length:
            raise self.error(f"has {len(self.value)} elements, not {length}")
        return [self._element(element, f"[{i}]") for i, element in enumerate(self.value)]

    def fill(self, state: Any) -> None:
        """Set the state of a new object, as its STATE lists it."""
        for name, kind in _kinds_of(state).items():
            setattr(state, name, self[name].read(kind, getattr(state, name)))

    def read(self, kind: Any, template: Any = None) -> Any:
        """Return the value as type `kind`.

        `template`: the value of a new object. An array must have its shape and dtype, a deque gets its length, and
        an object with STATE is filled.
        """
        if self.value is None and _is_optional(kind):
            return None
        kind, arguments = _resolve(kind)
        if kind in self._shared:
            return self._shared_value(kind)
        if issubclass(kind, np.ndarray):
            return self._array(template)
        if issubclass(kind, Collection) and arguments:
            return self._collection(kind, arguments, template)
        return self._object(kind, template)

    def _object(self, kind: Any, template: Any) -> Any:
        if hasattr(kind, "restore") or hasattr(kind, "STATE"):
            state = kind() if template is None else template
            state.restore(self) if hasattr(kind, "restore") else self.fill(state)
            return state
        return self._dataclass(kind) if is_dataclass(kind) else self._scalar(kind)

    def _collection(self, kind: Any, arguments: tuple[Any, ...], template: Any) -> Any:
        if issubclass(kind, Mapping):
            return self._mapping(kind, *arguments)
        self._require(list)
        kinds = _item_kinds(arguments, len(self.value))
        values = [reader.read(each) for each, reader in zip(kinds, self.elements(len(kinds)), strict=True)]
        return deque(values, template.maxlen) if isinstance(template, deque) else kind(values)

    def _dataclass(self, kind: Any) -> Any:
        values = {}
        for field in fields(kind):
            template = field.default_factory() if callable(field.default_factory) else None
            values[field.name] = self[field.name].read(_kinds(kind)[field.name], template)
        return kind(**values)

    def _mapping(self, kind: Any, key_kind: Any, item_kind: Any) -> Any:
        if _resolve(key_kind)[0] is str:
            pairs = [(key, reader.read(item_kind)) for key, reader in self.items()]
        else:
            pairs = [reader.read(tuple[key_kind, item_kind]) for reader in self.elements()]
        return (dict if kind is Mapping else kind)(dict(pairs))

    def _array(self, template: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        shape, dtype, data = self["shape"].read(tuple[int, ...]), self["dtype"].read(str), self["data"].read(bytes)
        if (shape, dtype, len(data)) != (template.shape, template.dtype.str, template.nbytes):
            expected = f"{template.dtype.str} {template.shape} of {template.nbytes} bytes"
            raise self.error(f"is an array {dtype} {shape} of {len(data)} bytes, not {expected}")
        return np.frombuffer(data, template.dtype).reshape(shape).copy()

    def _scalar(self, kind: Any) -> Any:
        if issubclass(kind, IntEnum):
            self._require(int)
            if self.value not in set(kind):
                raise self.error(f"is {self.value}, not a {kind.__name__}")
            return kind(self.value)
        self._require(kind)
        return self.value

    def _shared_value(self, kind: type) -> Any:
        self._require(int)
        values = self._shared[kind]
        if not 0 <= self.value < len(values):
            raise self.error(f"is {self.value}, but there are {len(values)} values of {kind.__name__}")
        return values[self.value]

    def _require(self, kind: type) -> None:
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(self.value, accepted) or (isinstance(self.value, bool) and kind is not bool):
            raise self.error(f"is {type(self.value).__name__}, not {kind.__name__}")

    def _element(self, value: Any, suffix: str) -> "PlainReader":
        return PlainReader(value, self.place + suffix, self.now, self._shared)


@cache
def _kinds(kind: Any) -> Mapping[str, Any]:
    """Return attribute -> type of a class with STATE or of a dataclass."""
    if hasattr(kind, "STATE"):
        return cast("Mapping[str, Any]", kind.STATE)
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _kinds_of(value: Any) -> Mapping[str, Any]:
    kind: Any = type(value)
    return _kinds(kind)


@cache
def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in {Union, types.UnionType} and types.NoneType in get_args(kind)


@cache
def _resolve(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the class of a type, and its arguments, without None of a union and the name of a NewType."""
    if _is_optional(kind):
        kind = next(each for each in get_args(kind) if each is not types.NoneType)
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    return origin, (*arguments, int) if origin is Counter else arguments


def _item_kinds(arguments: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    """Return the types of the elements of a collection of `length`."""
    is_fixed = len(arguments) > 1 and arguments[-1] is not Ellipsis
    return arguments if is_fixed else arguments[:1] * length
