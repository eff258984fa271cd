"""What the API says of what closer looks tell of a leak: memory, proof, ages. Bytes and seconds."""

from leakwatch.web.api.models.types import Model, Number, Text


class Band(Model):
    """A number with its 10-90 % band."""

    value: float
    low: float
    high: float


class Limit(Model):
    """In how many seconds the target that comes first reaches its memory limit of `bytes`; null: not known."""

    target: Text
    bytes: float
    soonest_seconds: Number
    latest_seconds: Number


class MemoryCost(Model):
    """What a leak takes, over all targets; `source`: how that is known, `text`: all of it for a reader."""

    bytes: float
    bytes_each: Band
    bytes_per_hour: Band
    heap: bool
    """Whether the heap that its goroutines hold is in it, and not their stacks alone."""
    source: Text
    limit: Limit | None
    text: Text


class Older(Model):
    """At least `goroutines` of them are older than `seconds`, as the counts show."""

    seconds: float
    goroutines: int


class Creator(Model):
    """A function that starts them, and where; `goroutines` of those seen."""

    function: Text
    file: Text
    line: int
    goroutines: int


class Ages(Model):
    """How long its goroutines wait, from the latest full dumps; minutes are null where it is not known."""

    goroutines: int
    oldest_minutes: int | None
    median_minutes: int | None
    states: dict[Text, int]
    creators: list[Creator]


class Findings(Model):
    """What closer looks told. `proven`: goroutines of which Go's runtime says that nothing can wake them.

    `text`: for a reader; `missing`: what could not be learned -> why.
    """

    proven: int | None
    ages: Ages | None
    older: list[Older]
    missing: dict[Text, Text]
    text: Text
