"""What the configuration says of judging: `detection` and `ignore`."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Duration


class DetectionConfig(BaseSettings):
    """`detection`: how to judge."""

    block: Duration = 300.0
    """Every window is a multiple of it."""
    own_code: tuple[str, ...] = ()
    """Prefixes of functions that are own code wherever their files lie."""
    series_limit: Annotated[int, Field(ge=10)] = 1000
    """Stacks followed per target; the smallest beyond are summed up."""


def _moment(value: Any) -> Any:
    """Return a moment from a date, which begins at midnight UTC, or from a time with its zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > len("2027-01-31") else date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(
                "must be a date such as 2027-01-31, or a time such as 2027-01-31T08:00:00Z"
            ) from error
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(value, time(), UTC) if isinstance(value, date) else value


class IgnoreConfig(BaseSettings):
    """A rule of `ignore`: which leaks to keep out of sight. Patterns are globs of `*` and `?`."""

    function: str = ""
    """Of the blamed function."""
    file: str = ""
    """Of the file of the blamed function."""
    origin: str = ""
    """Of the function that was started with `go`."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Of the target: label -> pattern; `service` and `target` are as in the metrics."""
    owner: str = ""
    """Who answers for the rule."""
    reason: str = ""
    """Why; for those who read it later."""
    until: Annotated[datetime | None, BeforeValidator(_moment)] = None
    """From then on the rule counts no more; a date is its midnight in UTC."""
    at_most: Annotated[int | None, Field(ge=0)] = None
    """Goroutines over all targets of the service; above them the leak is told."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.function or self.file or self.origin or self.labels):
            raise ValueError("needs function, file, origin or labels; it would keep out every leak")
        return self

    def rule(self) -> IgnoreRule:
        """Return the rule."""
        until = self.until.timestamp() if self.until else None
        return IgnoreRule(
            self.function, self.file, self.origin, self.labels, self.owner, self.reason, until, self.at_most
        )
