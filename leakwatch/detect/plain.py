"""State as plain values: None, bool, int, float, str, bytes, list, and dict with str keys. Pure.

A class lists its state in STATE: attribute -> type. Attributes that are not in STATE are configuration or caches.
A new object is filled with the values of the old one, so an invalid value never changes an object in use.

The documents of a service and its targets share their frames, stacks and windows: a document has only the numbers
of these values (`SharedValues`). A target with 100 stacks has a thousand of them, and they change only with its
build.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from leakwatch.detect.plain_type import SHARED, Form, PlainType, scalar_of, state_of, type_of
from leakwatch.errors import StateError, quote

VERSION: Final = 4
"""Version of the format. Increase it when a class gets another attribute in its STATE, or changes one.

Documents of older versions are read: an attribute that they do not have keeps the value of a new object. Convert
what changed otherwise in `restore` of the class. Documents of newer versions are rejected.
"""
Plain = dict[str, Any]
SharedObjects = Mapping[type, list[Any]]
"""Class -> the shared values of this class, by number."""


class SharedValues:
    """The values that the documents of a service share, and their numbers. Writing a document adds values."""

    def __init__(self) -> None:
        self.plain: dict[str, list[list[Any]]] = {kind.__name__: [] for kind in SHARED}
        """Class name -> the fields of each value, by number."""
        self._numbers: dict[type, dict[Any, int]] = {kind: {} for kind in SHARED}
        self._of_objects: dict[int, int] = {}
        """id() of a value in `_numbers` -> its number: comparing two stacks takes 10 µs."""

    def __len__(self) -> int:
        return len(self._of_objects)

    def number(self, value: Any) -> int | None:
        """Return the number of a value, None if it has none."""
        number = self._of_objects.get(id(value))
        return self._numbers[type(value)].get(value) if number is None else number

    def add(self, value: Any, fields: list[Any]) -> int:
        """Add a value, and return its number; `fields`: as plain values."""
        numbers = self._numbers[type(value)]
        number = numbers[value] = self._of_objects[id(value)] = len(numbers)
        self.plain[type(value).__name__].append(fields)
        return number


class PlainWriter:
    """Converts the state of one document to plain values; `now`: seconds of the stopwatch."""

    def __init__(self, shared: SharedValues, now: float = 0.0) -> None:
        self.now = now
        self._shared = shared

    def document(self, state: Plain, **settings: float) -> Plain:
        """Return a document with `state`; `settings`: those that the reader must have too."""
        return {"version": VERSION, **settings, "state": state}

    def state(self, value: Any) -> Plain:
        """Return the state of an object as its STATE lists it."""
        return {name: self.write(kind, getattr(value, name)) for name, kind in _state_of(value)}

    def write(self, kind: Any, value: Any) -> Any:  # noqa: PLR0911  one per form
        """Return a value of type `kind` as a plain value."""
        if value is None:
            return None
        plain_type = type_of(kind)
        match plain_type.form:
            case Form.SCALAR:
                return scalar_of(plain_type.kind)(value)
            case Form.NUMBER:
                return self._number(value)
            case Form.ARRAY:
                return {"dtype": value.dtype.str, "shape": list(value.shape), "data": value.tobytes()}
            case Form.MAPPING:
                return self._mapping(plain_type, value)
            case Form.COLLECTION:
                items = sorted(value) if issubclass(plain_type.kind, (set, frozenset)) else value
                kinds = plain_type.item_types(len(items))
                return [self.write(item_kind, item) for item_kind, item in zip(kinds, items, strict=True)]
        return value.to_plain(self) if hasattr(value, "to_plain") else self.state(value)

    def _mapping(self, plain_type: PlainType, value: Any) -> Any:
        key_kind, item_kind = plain_type.arguments
        pairs = [(self.write(key_kind, key), self.write(item_kind, item)) for key, item in value.items()]
        return dict(pairs) if type_of(key_kind).kind is str else [list(pair) for pair in pairs]

    def _number(self, value: Any) -> int:
        number = self._shared.number(value)
        return self._shared.add(value, list(self.state(value).values())) if number is None else number


class PlainReader:
    """A plain value of a document, and its place for messages."""

    def __init__(
        self, value: Any, place: str, now: float = 0.0, shared: SharedObjects = MappingProxyType({})
    ) -> None:
        self.value = value
        self.now = now
        self.place = place
        self.version = VERSION
        """Version of the document."""
        self._shared = shared

    @classmethod
    def document(
        cls, plain: Any, place: str, shared: SharedObjects, now: float = 0.0, **settings: float
    ) -> "PlainReader":
        """Return the state of a document. Raise StateError for another version or other `settings`."""
        reader = cls(plain, place, now, shared)
        reader.version = reader["version"].read(int)
        if not 1 <= reader.version <= VERSION:
            raise reader["version"].error(f"is {reader.version}, not at most {VERSION}")
        for name, expected in settings.items():
            if reader[name].value != expected:
                raise reader[name].error(f"is {quote(str(reader[name].value))}, not {expected}")
        return reader["state"]

    @classmethod
    def shared(cls, plain: Any, place: str) -> SharedObjects:
        """Return the shared values of documents, from `SharedValues.plain`. Raise StateError if one is invalid."""
        shared: dict[type, list[Any]] = {}
        reader = cls(plain, place, shared=shared)
        for kind in SHARED:
            values = reader[kind.__name__].elements()
            shared[kind] = [value._shared_fields(kind) for value in values]  # noqa: SLF001  of this class
        return shared

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
        for name, kind in _state_of(state):
            if not self._lacks(name):
                setattr(state, name, self[name].read(kind, getattr(state, name)))

    def read(self, kind: Any, template: Any = None) -> Any:  # noqa: PLR0911  one per form
        """Return the value as type `kind`.

        `template`: the value of a new object. An array must have its shape and dtype, a deque gets its length, and
        an object with STATE is filled.
        """
        plain_type = type_of(kind)
        if self.value is None and plain_type.is_optional:
            return None
        kind = plain_type.kind
        match plain_type.form:
            case Form.SCALAR:
                return self._scalar(kind)
            case Form.NUMBER:
                return self._shared_value(kind)
            case Form.ARRAY:
                return self._array(template)
            case Form.MAPPING:
                return self._mapping(kind, *plain_type.arguments)
            case Form.COLLECTION:
                return self._collection(plain_type, template)
        return self._state(kind, template)

    def _state(self, kind: Any, template: Any) -> Any:
        if not hasattr(kind, "restore") and not hasattr(kind, "STATE"):
            return self._dataclass(kind)
        state = kind() if template is None else template
        state.restore(self) if hasattr(kind, "restore") else self.fill(state)
        return state

    def _collection(self, plain_type: PlainType, template: Any) -> Any:
        self._require(list)
        kinds = plain_type.item_types(len(self.value))
        values = [reader.read(each) for each, reader in zip(kinds, self.elements(len(kinds)), strict=True)]
        return deque(values, template.maxlen) if isinstance(template, deque) else plain_type.kind(values)

    def _dataclass(self, kind: Any) -> Any:
        values = {}
        for field in fields(kind):
            template = field.default_factory() if callable(field.default_factory) else None
            if self._lacks(field.name) and (field.default, field.default_factory) != (MISSING, MISSING):
                continue
            values[field.name] = self[field.name].read(state_of(kind)[field.name], template)
        return kind(**values)

    def _shared_fields(self, kind: Any) -> Any:
        kinds = state_of(kind)
        if isinstance(self.value, list) and [*map(type, self.value)] == [*kinds.values()]:
            return kind(*self.value)  # a frame: there are thousands
        values = zip(kinds.items(), self.elements(len(kinds)), strict=True)
        return kind(**{name: reader.read(each) for (name, each), reader in values})

    def _mapping(self, kind: Any, key_kind: Any, item_kind: Any) -> Any:
        if type_of(key_kind).kind is str:
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

    def _lacks(self, name: str) -> bool:
        """Return whether an attribute is missing because the document is older than the attribute."""
        return self.version < VERSION and isinstance(self.value, dict) and name not in self.value

    def _element(self, value: Any, suffix: str) -> "PlainReader":
        element = PlainReader(value, self.place + suffix, self.now, self._shared)
        element.version = self.version
        return element


def _state_of(value: Any) -> Iterable[tuple[str, Any]]:
    """Return the attributes of an object that are its state, with their types."""
    kind: Any = type(value)
    return state_of(kind).items()
