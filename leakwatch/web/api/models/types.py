"""Types of the API models: valid UTF-8 text, finite numbers, the base class. Pure."""

import math
from collections.abc import Iterable
from operator import methodcaller
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

SURROGATES: Final = dict.fromkeys(range(0xD800, 0xE000), "?")


def valid_text(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, with "?"."""
    return text.translate(SURROGATES)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _all_finite(values: Iterable[Any]) -> list[Any]:
    return [value if value is None or math.isfinite(value) else None for value in values]


Text = Annotated[str, AfterValidator(methodcaller("translate", SURROGATES))]
"""`valid_text`, without a Python call for each of the texts of an answer."""
Number = Annotated[float | None, BeforeValidator(_finite)]
"""A finite number, null if the value is unknown."""
Levels = Annotated[list[float | None], BeforeValidator(_all_finite)]
"""Numbers of goroutines over time, null if unknown."""


class ApiModel(BaseModel):
    """Base class of the API models."""

    model_config = ConfigDict(frozen=True, extra="forbid")
