"""Configuration of the evidence: `evidence`."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from leakwatch.profile.redact import Redaction
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.globs import glob
from leakwatch.settings.types import ConfigPath, Size


def _globs(value: Any) -> Any:
    if isinstance(value, bool):
        return ("*",) if value else ()
    if not isinstance(value, list | tuple):
        raise ValueError("must be true, false or a list of globs")  # noqa: TRY004  pydantic expects a ValueError
    return value


Globs = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_globs),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string", "minLength": 1}}]}
    ),
]
"""Globs of `*` and `?`; true matches everything, false nothing."""


class RedactConfig(BaseSettings):
    """`redact`: the data that is redacted before a profile is stored."""

    labels: Globs = ("*",)
    """Values of pprof labels, by key. Keys stay."""
    arguments: Globs = ("*",)
    """Argument words of full dumps, by function."""

    def redaction(self) -> Redaction:
        """Return the compiled patterns."""
        return Redaction(_pattern(self.labels), _pattern(self.arguments))


class EvidenceConfig(BaseSettings):
    """`evidence`: the raw profiles of leaking targets that leakwatch stores."""

    path: ConfigPath | None = None
    """The folder of the profiles; by default `evidence` in `storage.path`. Without both they are in memory."""
    size_limit: Size = 256 * 1024**2
    """The maximum size of all profiles, compressed."""
    memory_limit: Size = 16 * 1024**2
    """The maximum size of the profiles in memory: all without a folder, else those not written yet."""
    body_limit: Annotated[int, Field(ge=1)] = 500
    """The maximum number of profiles. The oldest of the least important leak is removed first."""
    redact: RedactConfig = RedactConfig()


def _pattern(globs: Iterable[str]) -> re.Pattern[str] | None:
    patterns = [f"(?:{glob(text).pattern})" for text in globs]
    return re.compile("|".join(patterns), re.DOTALL) if patterns else None
