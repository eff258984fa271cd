"""Types of settings: durations, sizes, secrets and paths beside the configuration file."""

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from leakwatch.settings.units import exact_duration, exact_size, parse_duration, parse_size

HIDDEN = "hidden"
"""Type of the mistakes whose text is never quoted."""
VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def expand(text: str) -> str:
    """Return `text` with the environment variable for each `${NAME}`; raises ValueError if one is unset."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise ValueError(f"environment variable {match[1]} is not set")
        return found

    return VARIABLE.sub(value, text)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        meant = f"{value}s" if isinstance(value, int) else f"{value * 1000:.0f}ms"
        raise ValueError(f"{value} has no unit; write {meant}")
    raise ValueError(f"{value} is no duration; write for example 15s, 5m, 1h30m or 200ms")


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def hidden(message: str) -> PydanticCustomError:
    """Return the error of a validator whose input must not be shown."""
    return PydanticCustomError(HIDDEN, "{message}", {"message": message})


def _secret(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise hidden("must be text")
    try:
        return expand(value)
    except ValueError as error:
        raise hidden(str(error)) from error


def _beside(path: Path, info: ValidationInfo) -> Path:
    directory = (info.context or {}).get("directory")
    return path if directory is None else Path(directory, path)


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is no file")
    return path


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0, allow_inf_nan=False),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\d+(y|w|d|h|ms|m|s))+$", "examples": ["15s", "1h30m", "200ms"]}
    ),
    PlainSerializer(exact_duration, when_used="json"),
]
"""Seconds, written as in Prometheus; longer than nothing."""

Text = Annotated[
    str,
    BeforeValidator(_text),
    Field(min_length=0),  # which also refuses halves of letters
    WithJsonSchema({"type": ["string", "boolean", "integer"]}),
]
"""Text, also where it looks like a number or a truth: `regex: true` and `replacement: 8080`."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*([KMGTPE]i?)?B?$", "examples": ["64MB"]}),
    PlainSerializer(exact_size, when_used="json"),
]
"""Bytes, written as in Prometheus."""

Secret = Annotated[SecretStr, BeforeValidator(_secret)]
"""Never shown; `${NAME}` is taken from the environment."""

ConfigPath = Annotated[Path, AfterValidator(_beside)]
"""A path, relative to the configuration file."""

ConfigFile = Annotated[ConfigPath, AfterValidator(_readable)]
"""A file that is there, relative to the configuration file."""
