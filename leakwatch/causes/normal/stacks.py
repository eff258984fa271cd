"""Whether goroutines are normal: a healthy process has them, such as the one that flushes its log."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from leakwatch.causes.file import Alternatives, load_shipped
from leakwatch.causes.matching import canonical
from leakwatch.model import Stack
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.globs import any_of
from leakwatch.settings.types import NotEmpty

FILE: Final = Path(__file__).with_name("goroutines.yml")


class NormalConfig(BaseSettings):
    """Goroutines of one kind."""

    functions: Alternatives
    """Globs, of which one must match a function of the stack."""
    most: Annotated[int, Field(ge=1, le=100)]
    """Goroutines of a healthy process."""


class NormalFile(BaseSettings):
    """The list of normal goroutines."""

    goroutines: Annotated[tuple[NormalConfig, ...], NotEmpty]
    """All kinds."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Goroutines of one kind, of which a healthy process has up to `most`."""

    functions: re.Pattern[str]
    most: int


@lru_cache(maxsize=1)
def normal() -> tuple[Normal, ...]:
    """Return the kinds of normal goroutines; they are read when they are first needed."""
    kinds = NormalFile.model_validate(load_shipped(FILE)).goroutines
    return tuple(Normal(any_of(kind.functions), kind.most) for kind in kinds)


def is_normal(stack: Stack, goroutines: int) -> bool:
    """Return whether a healthy process has `goroutines` goroutines of `stack`; `goroutines`: of one process."""
    names = [canonical(frame.function) for frame in stack.frames]
    return any(goroutines <= kind.most and any(map(kind.functions.fullmatch, names)) for kind in normal())
