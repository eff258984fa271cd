"""Types of settings: durations, sizes, text, secrets, and paths relative to the configuration file."""

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

from leakwatch.errors import redacted
from leakwatch.settings.units import exact_duration, exact_size, parse_duration, parse_size

UNQUOTED = "unquoted"
"""Type of the errors that must not quote the value."""
VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def expand(text: str) -> str:
    """Return `text` with environment variables in place of `${NAME}`; raises ValueError if one is not set."""

    def value(match: re.Match[str]) -> str:
        variable = os.environ.get(match[1])
        if variable is None:
            raise ValueError(f"environment variable {match[1]} is not set")
        return variable

    return VARIABLE.sub(value, text)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        suggestion = f"{value}s" if isinstance(value, int) else f"{value * 1000:.0f}ms"
        raise ValueError(f"{value} has no unit; write {suggestion}")
    raise ValueError(f"{value} is not a duration; write for example 15s, 5m, 1h30m or 200ms")


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def unquoted_error(message: str) -> PydanticCustomError:
    """Return an error for validators to raise. Its message does not quote the value."""
    return PydanticCustomError(UNQUOTED, "{message}", {"message": message})


def _secret(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise unquoted_error("must be text")
    try:
        return expand(value)
    except ValueError as error:
        raise unquoted_error(str(error)) from error


def _absolute(path: Path, info: ValidationInfo) -> Path:
    directory = (info.context or {}).get("directory")
    return path if directory is None else Path(directory, path)


def _readable(path: Path) -> Path:
    if not os.path.isfile(path):  # noqa: PTH113  Path.is_file raises OSError for a name of 256 characters
        raise ValueError(f"{redacted(str(path))!r} is not a file")
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
"""Seconds above 0, written as in Prometheus."""

Text = Annotated[
    str,
    BeforeValidator(_text),
    Field(min_length=0),  # makes pydantic reject lone surrogates
    WithJsonSchema({"type": ["string", "boolean", "integer"]}),
]
"""Text; YAML booleans and integers are text here: `regex: true`, `replacement: 8080`."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*([KMGTPE]i?)?B?$", "examples": ["64MB"]}),
    PlainSerializer(exact_size, when_used="json"),
]
"""Bytes, written as in Prometheus."""

Secret = Annotated[SecretStr, BeforeValidator(_secret)]
"""Text that is never shown; `${NAME}` is replaced by the environment variable."""

ConfigPath = Annotated[Path, AfterValidator(_absolute)]
"""A path, relative to the configuration file."""

ConfigFile = Annotated[ConfigPath, AfterValidator(_readable)]
"""The path of an existing file, relative to the configuration file."""
