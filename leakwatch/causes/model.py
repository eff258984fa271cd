"""Values of the catalogue: causes, and the patterns of stacks by which they are recognised."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from leakwatch.model import Stack

Kind = Literal["object", "call", "wait"]
"""The evidence for a cause.

`object`: a goroutine that a library runs as long as something is open. `call`: own code in a known call.
`wait`: own code that waits directly on a channel, lock or select.
"""

OWN_CODE: Final = "<own code>"
"""The entry of a pattern that matches any frame of own code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPattern:
    """A pattern of one stack.

    `functions`: alternatives per frame, the innermost first, None for own code; other frames may lie between them.
    `waits`: wait reasons, empty for any. `leaf`: whether the first entry must be the innermost frame outside
    package sync. `root`: whether the last entry must be the outermost frame. `direct`: whether all frames inside
    the innermost own code must belong to the standard library.
    `without`: functions that must not be in the stack. `ratio`: smallest and largest number of goroutines, as a
    multiple of the stack that the cause was recognised by.
    """

    functions: tuple[re.Pattern[str] | None, ...]
    waits: frozenset[str] = frozenset()
    leaf: bool = False
    root: bool = False
    direct: bool = False
    without: re.Pattern[str] | None = None
    ratio: tuple[float, float] = (0.0, float("inf"))


@dataclass(frozen=True, slots=True)
class FixedIn:
    """The version of a module that fixes a cause, and where this is documented."""

    version: str
    reference: str = ""


def is_code(look_for: str) -> bool:
    """Return whether an entry of `look_for` is Go code, such as "make(chan T)", and not words."""
    return " " not in look_for or look_for.endswith((")", "}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """An entry of the catalogue.

    `look_for`: the calls that create what leaks. `fix`: one sentence; `code`: a few lines of Go. `fixed_in`:
    module -> version. `goroutineleak`: whether Go's leak profile can report these goroutines. `match`:
    alternatives, of which one stack of the leak must match one; `partners`: patterns that other stacks of the leak
    must match; `absent`: patterns that no stack of the leak may match. `is_basis`: whether more specific libraries
    are built on this one, so that their causes come first. `docs`: path of its docs on leakwatch's pages, "" for
    a cause that leakwatch does not ship.
    """

    id: str
    kind: Kind
    title: str
    explanation: str
    fix: str
    code: str = ""
    look_for: tuple[str, ...] = ()
    fixed_in: Mapping[str, FixedIn] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    docs: str = ""
    goroutineleak: bool = False
    match: tuple[StackPattern, ...]
    partners: tuple[StackPattern, ...] = ()
    absent: tuple[StackPattern, ...] = ()
    unless_own_code: bool = False
    is_basis: bool = False
    rank: float = 0.0
    """Order among the causes that match a leak, the smallest first."""


@dataclass(frozen=True, slots=True)
class CountedStack:
    """A stack of a leak and its goroutines."""

    stack: Stack
    goroutines: int
