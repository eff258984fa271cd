"""What the configuration says of evidence: `evidence`."""

import re
from typing import Annotated

from pydantic import Field, StrictBool

from leakwatch.client import Settings
from leakwatch.ignore import glob
from leakwatch.profile.redact import EVERYTHING, Redaction
from leakwatch.units import ConfigPath, Size

Globs = tuple[Annotated[str, Field(min_length=1)], ...]


class RedactConfig(Settings):
    """`redact`: what is taken out before a body is kept: all, nothing, or what globs of `*` and `?` match."""

    labels: StrictBool | Globs = True
    """Values of pprof labels, by their keys, which stay."""
    arguments: StrictBool | Globs = True
    """Argument words of full dumps, by the function they are passed to."""

    def redaction(self) -> Redaction:
        """Return the patterns."""
        return Redaction(_pattern(self.labels), _pattern(self.arguments))


class EvidenceConfig(Settings):
    """`evidence`: the raw profiles that are kept of targets that leak."""

    path: ConfigPath | None = None
    """A folder; without it evidence is in memory only."""
    size_limit: Size = 256 * 1024**2
    """Of all that is kept, compressed."""
    memory_limit: Size = 16 * 1024**2
    """Of what is kept in memory: all without a folder, else what could not be written yet."""
    body_limit: Annotated[int, Field(ge=1)] = 500
    redact: RedactConfig = RedactConfig()


def _pattern(said: bool | Globs) -> re.Pattern[str] | None:
    if isinstance(said, bool):
        return EVERYTHING if said else None
    patterns = [glob(one).pattern for one in said]
    return re.compile("|".join(f"(?:{one})" for one in patterns), re.DOTALL) if patterns else None
