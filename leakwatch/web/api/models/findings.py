"""API models of the results of probes: memory, proof, ages. Bytes and seconds."""

from leakwatch.web.api.models.types import ApiModel, Number, Text


class Band(ApiModel):
    """A number with its 10-90 % band."""

    value: float
    low: float
    high: float


class Limit(ApiModel):
    """The target that reaches its memory limit of `bytes` first, and in how many seconds; null if unknown."""

    target: Text
    bytes: float
    soonest_seconds: Number
    latest_seconds: Number


class MemoryCost(ApiModel):
    """The memory that a leak holds on all targets. `source`: the origin of the figures; `text`: one sentence."""

    bytes: float
    bytes_each: Band
    bytes_per_hour: Band
    heap: bool
    """Whether the heap that the goroutines hold is included, not only their stacks."""
    source: Text
    limit: Limit | None
    text: Text


class Older(ApiModel):
    """At least `goroutines` goroutines are older than `seconds`, according to the counts."""

    seconds: float
    goroutines: int


class Creator(ApiModel):
    """A function that starts the goroutines, its position, and how many goroutines it started."""

    function: Text
    file: Text
    line: int
    goroutines: int
    source: Text = ""
    """URL of the source, "" if no link is configured."""


class Ages(ApiModel):
    """How long goroutines had waited at the time of the latest full dumps; minutes are null if unknown.

    `dumped_at`: time of the earliest of these full dumps, one per target.
    """

    goroutines: int
    oldest_minutes: int | None
    median_minutes: int | None
    dumped_at: Number
    states: dict[Text, int]
    creators: list[Creator]


class Findings(ApiModel):
    """Results of probes. `proven`: goroutines that Go's `goroutineleak` profile reports.

    `text`: a summary for people; `missing`: unknown result -> reason.
    """

    proven: int | None
    ages: Ages | None
    older: list[Older]
    missing: dict[Text, Text]
    text: Text
