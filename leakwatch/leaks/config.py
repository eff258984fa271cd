"""Settings of the detection: `detection` and `ignore`."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from leakwatch.leaks.ignore import IgnoreRule
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Duration


class DetectionConfig(BaseSettings):
    """`detection`: how growth is judged."""

    block: Duration = 300.0
    """Unit of time of the detector: every window is a multiple of it."""
    own_code: tuple[str, ...] = ()
    """Prefixes of functions that are own code, wherever their files are."""
    series_limit: Annotated[int, Field(ge=10)] = 1000
    """Stacks, and sites, that are judged one by one per target; smaller stacks are summed up."""
    page_within: Duration = 7 * 86_400.0
    """A leak has the severity `page` if, at its rate, a process will have ten times the goroutines that it had at
    the onset, or reach its memory limit, within this time. All other leaks are a `ticket`."""


def _parse_time(value: Any) -> Any:
    """Return the time of a date, which is its midnight in UTC, or of a time with its zone."""
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


Moment = Annotated[datetime, BeforeValidator(_parse_time)]
"""A date, which is its midnight in UTC, or a time with its zone."""


class IgnoreConfig(BaseSettings):
    """A rule of `ignore`, which hides leaks. Patterns are globs of `*` and `?`."""

    function: str = ""
    """Pattern of the blamed function."""
    file: str = ""
    """Pattern of the file of the blamed function."""
    origin: str = ""
    """Pattern of the function that was started with `go`."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Patterns of labels of the target; `service` and `target` are as in the metrics."""
    owner: str = ""
    """Owner of the rule."""
    reason: str = ""
    """Reason of the rule, for its readers."""
    until: Moment | None = None
    """Time at which the rule expires; a date is its midnight in UTC."""
    at_most: Annotated[int | None, Field(ge=0)] = None
    """Goroutines over all targets of the service above which the leak is reported."""

    @model_validator(mode="after")
    def _has_pattern(self) -> Self:
        if not (self.function or self.file or self.origin or self.labels):
            raise ValueError(
                "needs function, file, origin or labels: without a pattern it would ignore every leak"
            )
        return self

    def rule(self) -> IgnoreRule:
        """Return the rule."""
        until = self.until.timestamp() if self.until else None
        return IgnoreRule(
            function=self.function,
            file=self.file,
            origin=self.origin,
            labels=self.labels,
            owner=self.owner,
            reason=self.reason,
            until=until,
            at_most=self.at_most,
        )
