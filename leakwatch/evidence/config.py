"""What the configuration says of evidence: `evidence`."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from leakwatch.leaks.ignore import glob
from leakwatch.profile.redact import Redaction
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import ConfigPath, Size


def _globs(value: Any) -> Any:
    if isinstance(value, bool):
        return ("*",) if value else ()
    if not isinstance(value, list | tuple):
        raise ValueError("must be true, false or a list of globs")  # noqa: TRY004  pydantic takes ValueErrors
    return value


Globs = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_globs),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string", "minLength": 1}}]}
    ),
]
"""Globs of `*` and `?`; true is any, false is none."""


class RedactConfig(BaseSettings):
    """`redact`: what is taken out before a body is kept."""

    labels: Globs = ("*",)
    """Values of pprof labels, by their keys, which stay."""
    arguments: Globs = ("*",)
    """Argument words of full dumps, by the function they are passed to."""

    def redaction(self) -> Redaction:
        """Return the patterns."""
        return Redaction(_pattern(self.labels), _pattern(self.arguments))


class EvidenceConfig(BaseSettings):
    """`evidence`: the raw profiles that are kept of targets that leak."""

    path: ConfigPath | None = None
    """A folder; without it evidence is in memory only."""
    size_limit: Size = 256 * 1024**2
    """Of all that is kept, compressed."""
    memory_limit: Size = 16 * 1024**2
    """Of what is kept in memory: all without a folder, else what could not be written yet."""
    body_limit: Annotated[int, Field(ge=1)] = 500
    """How many profiles are kept; the oldest of the least important leak goes first."""
    redact: RedactConfig = RedactConfig()


def _pattern(globs: Iterable[str]) -> re.Pattern[str] | None:
    patterns = [glob(one).pattern for one in globs]
    return re.compile("|".join(f"(?:{one})" for one in patterns), re.DOTALL) if patterns else None
