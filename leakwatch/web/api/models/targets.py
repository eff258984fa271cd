"""What the API says of services and targets. Times are unix seconds of the wall clock, rates per hour."""

from typing import Annotated, Literal

from pydantic import Field

from leakwatch.web.api.models.leaks import Fingerprint, LeakSummary, Line, Rate, VerdictWord
from leakwatch.web.api.models.types import Model, Number, Text

Sort = Literal["growth", "count", "name"]


class Process(Model):
    """Which process answers: `start` differs between two starts, `build` between two builds; "" if unknown."""

    start: Text
    build: Text


class TargetSummary(Model):
    """A target in a list. `up` is null before the first scrape."""

    id: Text
    service: Text
    target: Text
    up: bool | None
    reason: Text
    """Why it is down."""
    error: Text
    since: Number
    """When it went up, or down."""
    scraped_at: Number
    duration_seconds: float
    body_bytes: int
    interval_seconds: float
    """From scrape to scrape, stretched where the target would pay too much."""
    cost_ratio: Number
    """Share of one core that scraping takes of the target, at most: duration / interval; null while nothing is
    there that could pay."""
    goroutines: int
    stacks: int
    restarts: int
    mixed: bool
    """Several processes answer in turn, so nothing is judged."""
    judged_in_seconds: Number
    """Until a first verdict is possible; 0 when it is, null while nothing was scraped."""


class TargetList(Model):
    """Targets, those that are down first; `total` is how many pass the filter, of `known` in all."""

    now: float
    total: int
    known: int
    up: int
    down: int
    targets: list[TargetSummary]


class StackRow(Model):
    """One stack of a target; its growth has a band where it is judged."""

    stack: Fingerprint
    function: Text
    file: Text
    line: int
    origin: Text
    wait: Text
    goroutines: int
    growth_per_hour: Rate
    verdict: VerdictWord


class Target(TargetSummary):
    """All of a target; `stacks_shown` is a page of its stacks in the order of `sort`."""

    now: float
    job: Text
    url: Text
    """Of the profile; "" where it is not known."""
    configured_interval_seconds: Number
    """From scrape to scrape, where the target would not pay too much; null where it is not known."""
    labels: dict[Text, Text]
    process: Process | None
    results: dict[str, int]
    """Scrapes that were a success, and those that failed by reason."""
    watched_since: Number
    """In the present lifetime."""
    block_seconds: float
    blocks_closed: int
    folded_stacks: int
    """Stacks beyond detection.series_limit, with `folded_goroutines` in them: they are not followed."""
    folded_goroutines: int
    sort: Sort
    stacks_found: int
    """Of `stacks`, those with goroutines or a verdict that pass the filter."""
    stacks_shown: list[StackRow]


class StackSeries(Model):
    """One stack of a target over time."""

    service: Text
    target: Text
    stack: Fingerprint
    function: Text
    now: float
    recent: Line
    hours: Line


class Flame(Model):
    """A call in a flame graph: goroutines beneath it, how many more per hour, and the calls it made."""

    name: Text
    value: int
    growth: Number
    own: bool = False
    children: list["Flame"] = Field(default_factory=list)


class FlameGraph(Model):
    """The latest profile of a target, root first; `left_out` goroutines are in stacks too many to show.

    `scraped_at`: when it was taken, null if there has been none.
    """

    service: Text
    target: Text
    scraped_at: Number
    left_out: int
    root: Flame


class ServiceSummary(Model):
    """A service in a list; `leaks` has a number per verdict."""

    service: Text
    targets: int
    up: int
    down: int
    goroutines: int
    restarts: int
    leaks: dict[VerdictWord, int]
    scraped_at: Number
    """Of the target that was scraped last."""
    judged_in_seconds: Number
    """Until a first verdict is possible on each of its targets; null while nothing was scraped."""


class ServiceList(Model):
    """Services, those that leak first, then by name."""

    now: float
    waiting: Text
    """What an installation that knows nothing yet waits for, "" otherwise."""
    services: list[ServiceSummary]


class Service(ServiceSummary):
    """All of a service: its leaks, and the sum of the goroutines of its targets at even steps until now."""

    now: float
    open_leaks: list[LeakSummary]
    sparkline: Annotated[list[Number], Field()]
    sparkline_from: Number
