"""Types of settings: durations, sizes, text, secrets, and paths relative to the configuration file."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

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

from leakwatch.errors import QUOTE_LIMIT, redacted
from leakwatch.settings.units import exact_duration, exact_size, parse_duration, parse_size

T = TypeVar("T")
LONGEST: Final = 1e12  # seconds; a longer number is not missing its unit
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
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LONGEST:
        suggestion = f"{value}s" if isinstance(value, int) else f"{value * 1000:.0f}ms"
        raise ValueError(f"{value} has no unit; write {suggestion}")
    raise ValueError(f"{str(value)[:QUOTE_LIMIT]} is not a duration; write for example 15s, 5m, 1h30m or 200ms")


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def unquoted_error(message: str) -> PydanticCustomError:
    """Return an error for validators to raise. Its message does not quote the value."""
    return PydanticCustomError(UNQUOTED, "{message}", {"message": message})


def public_url(example: str, shown_by: str) -> Callable[[str], str]:
    """Return a validator of URLs that browsers open; `shown_by`: what shows the URL to everyone."""

    def validate(text: str) -> str:
        parts = urlsplit(text)
        if "@" in parts.netloc:
            raise unquoted_error(f"must not contain a user or password, because {shown_by} show it")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"must be like {example}, without ? and #")
        return text.rstrip("/")

    return validate


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("must not be empty")
    return values


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


def _directory(path: Path) -> Path:
    if not os.path.isdir(path):  # noqa: PTH112  as in _readable
        raise ValueError(f"{redacted(str(path))!r} is not a directory")
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

Offset = Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)]
"""Seconds after a time, 0 or more, written as in Prometheus."""

Listed: Final = BeforeValidator(_listed)
"""Accepts a text in place of a list with this text only."""

NotEmpty: Final = AfterValidator(_not_empty)
"""Rejects an empty list. Unlike min_length, it adds no message to that of an invalid element."""

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
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^\d+(\.\d+)?\s*([KMGTPEkmgtpe][Ii]?)?[Bb]?$",
            "exclusiveMinimum": 0,
            "examples": ["64MB"],
        }
    ),
    PlainSerializer(exact_size, when_used="json"),
]
"""Bytes, written as in Prometheus."""

Secret = Annotated[SecretStr, BeforeValidator(_secret)]
"""Text that is never shown; `${NAME}` is replaced by the environment variable."""

ConfigPath = Annotated[Path, AfterValidator(_absolute)]
"""A path, relative to the configuration file."""

ConfigFolder = Annotated[ConfigPath, AfterValidator(_directory)]
"""The path of an existing directory, relative to the configuration file."""

ConfigFile = Annotated[ConfigPath, AfterValidator(_readable)]
"""The path of an existing file, relative to the configuration file."""
