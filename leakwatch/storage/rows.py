"""The rows of the database, as values. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from leakwatch.detect.plain import Plain

ALERTS: Final = "alerts"
CLOCK: Final = "clock"
PAUSES: Final = "pauses"
"""Names of the values beside the services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """The state of one target; `series`: number of its stacks and sites, `leaks`: number of judged ones."""

    name: str
    document: Plain
    series: int
    leaks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """The state of one service.

    `shared`: the values that its documents share, None if the stored ones are current; `targets`: those that
    changed; `names`: all targets that it has. The others are removed.
    """

    name: str
    shared: Plain | None
    document: Plain
    leaks: int
    targets: Sequence[TargetRow]
    names: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The states to save in one transaction; `time`: of the daemon's clock, `removed`: ended services."""

    time: float
    services: Sequence[ServiceRow]
    removed: Collection[str]
    values: Mapping[str, Any]
    """Name -> value: the alerts, the clock, and the times when leakwatch did not run."""


@dataclass(frozen=True, slots=True)
class StoredService:
    """The state of one service as it was read; `saved`: by the daemon's clock, which continues over restarts."""

    name: str
    saved: float
    shared: Plain
    document: Plain
    targets: Sequence[Plain]


@dataclass(frozen=True, slots=True)
class StoredState:
    """All that a database has; `errors`: what could not be read, `damaged`: the services among it."""

    services: Sequence[StoredService] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Sequence[str] = ()
    damaged: Sequence[str] = ()
