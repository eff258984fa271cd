"""Text, numbers and objects as strict JSON can have them. Pure."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


def whole(text: str) -> str:
    """Return `text` without halves of letters, which no UTF-8 can hold: a question mark stands for each."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Text = Annotated[str, AfterValidator(whole)]
Number = Annotated[float | None, BeforeValidator(_number)]
"""null where nothing is known."""


class Model(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
