"""Durations and sizes as Prometheus writes them, secrets, paths beside the configuration: pydantic types."""

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

DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
SECONDS = (365 * 86400, 7 * 86400, 86400, 3600, 60, 1, 0.001)
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTPE])i?)?B?", re.IGNORECASE)
PREFIXES = ("", "K", "M", "G", "T", "P", "E")
HIDDEN = "hidden"
"""Type of the mistakes whose text is never quoted."""
VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def parse_duration(text: str) -> float:
    """Return the seconds of `text` ("15s", "1h30m", "200ms"); raises ValueError."""
    match = DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no duration; write for example 15s, 5m, 1h30m or 200ms")
    return sum(int(number) * unit for number, unit in zip(match.groups(), SECONDS, strict=True) if number)


def format_duration(seconds: float) -> str:
    """Return `seconds` as a person would say them: "45s", "2h10m", "3d4h"; the two largest units."""
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f}ms"
    rest = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        number, rest = divmod(rest, unit)
        if number or parts:
            parts.append((number, name))
    return "".join(f"{number}{name}" for number, name in parts[:2] if number)


def exact_duration(seconds: float) -> str:
    """Return `seconds` as Prometheus prints them, to the millisecond: "1m30s", "1h"; `parse_duration` reads it."""
    rest = round(seconds * 1000)
    parts = []
    for unit, name in zip(SECONDS, ["y", "w", "d", "h", "m", "s", "ms"], strict=True):
        size = round(unit * 1000)
        if name in {"y", "w"} and rest % size:  # 90d says more than 12w6d
            continue
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{name}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Return the bytes of `text` ("64MB", "512Mi"; powers of 1024 as in Prometheus); raises ValueError."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size; write for example 512KB or 64MB")
    return int(float(match[1]) * 1024 ** PREFIXES.index((match[2] or "").upper()))


def format_size(size: float) -> str:
    """Return bytes as a person would say them, three digits that count: "812 B", "2.25 KiB", "512 MiB"."""
    unit = 0
    while float(f"{size:.3g}") >= 1000 and unit < len(PREFIXES) - 1:
        size, unit = size / 1024, unit + 1
    return f"{float(f'{size:.3g}'):g} {PREFIXES[unit]}{'iB' if unit else 'B'}"


def exact_size(size: int) -> str:
    """Return bytes in the largest unit that says them exactly: "64MB"; `parse_size` reads it."""
    power = 0
    while size and size % 1024 == 0 and power < len(PREFIXES) - 1:
        size, power = size // 1024, power + 1
    return f"{size}{PREFIXES[power]}B"


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
