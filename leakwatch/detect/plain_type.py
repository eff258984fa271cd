"""How values of a type are converted to plain values, cached per type: a target has thousands of values."""

import types
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, IntEnum
from functools import cache
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from leakwatch.detect.windows import Window
from leakwatch.model import Frame, Stack

SHARED: Final = (Frame, Stack, Window)
"""Classes of values that documents share. A class comes after the classes that it refers to."""


class Form(Enum):
    """The plain form of a type."""

    SCALAR = "scalar"
    NUMBER = "number of a shared value"
    ARRAY = "array"
    COLLECTION = "list"
    MAPPING = "dict"
    STATE = "dict of the state"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainType:
    """A type and its plain form.

    `arguments`: the types of items; `is_fixed`: whether each item of a list has its own type.
    """

    form: Form
    kind: Any
    arguments: tuple[Any, ...] = ()
    is_fixed: bool = False
    is_optional: bool = False

    def item_types(self, length: int) -> tuple[Any, ...]:
        """Return the types of the items of a list of `length`."""
        return self.arguments if self.is_fixed else self.arguments[:1] * length


@cache
def type_of(kind: Any) -> PlainType:
    """Return the plain form of `kind`, a class or a generic type."""
    is_optional = get_origin(kind) in {Union, types.UnionType} and types.NoneType in get_args(kind)
    if is_optional:
        kind = next(each for each in get_args(kind) if each is not types.NoneType)
    kind = getattr(kind, "__supertype__", kind)  # of a NewType
    if hasattr(alias := get_origin(kind), "__value__"):  # NDArray is a type alias from numpy 2.5 on
        kind = alias.__value__[get_args(kind)]
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    return PlainType(
        form=_form(origin, arguments),
        kind=origin,
        arguments=(*arguments, int) if origin is Counter else arguments,
        is_fixed=len(arguments) > 1 and arguments[-1] is not Ellipsis,
        is_optional=is_optional,
    )


def _form(kind: Any, arguments: tuple[Any, ...]) -> Form:
    if kind in SHARED:
        return Form.NUMBER
    if issubclass(kind, np.ndarray):
        return Form.ARRAY
    if issubclass(kind, Collection) and arguments:
        return Form.MAPPING if issubclass(kind, Mapping) else Form.COLLECTION
    if hasattr(kind, "STATE") or is_dataclass(kind) or hasattr(kind, "to_plain"):
        return Form.STATE
    return Form.SCALAR


@cache
def state_of(kind: Any) -> Mapping[str, Any]:
    """Return attribute -> type of a class with STATE or of a dataclass."""
    if hasattr(kind, "STATE"):
        return cast("Mapping[str, Any]", kind.STATE)
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@cache
def scalar_of(kind: Any) -> Any:
    """Return the class of the plain value of a scalar."""
    return int if issubclass(kind, IntEnum) else kind
