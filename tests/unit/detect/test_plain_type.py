"""The plain forms of types."""

from typing import TypeVar

import numpy as np
from typing_extensions import TypeAliasType

from leakwatch.detect.columns import Floats
from leakwatch.detect.plain_type import Form, type_of

Item = TypeVar("Item", bound=np.generic)
Array = TypeAliasType("Array", np.ndarray[tuple[int, ...], np.dtype[Item]], type_params=(Item,))


def test_an_alias_has_the_form_of_its_type() -> None:
    """NDArray of numpy 2.5 is a type alias; it is an array as before, also if it is optional."""
    assert type_of(Array[np.float32]).form is type_of(Floats).form is Form.ARRAY
    assert type_of(Array[np.float32]).kind is np.ndarray
    optional = type_of(Array[np.float32] | None)
    assert (optional.form, optional.is_optional) == (Form.ARRAY, True)
