"""API models of services and targets. Times are unix seconds of the wall clock, rates per hour."""

from typing import Literal

from pydantic import Field

from leakwatch.web.api.models.leaks import Fingerprint, LeakSummary, Rate, SeriesLine, VerdictWord
from leakwatch.web.api.models.types import ApiModel, Levels, Number, Text

Sort = Literal["growth", "count", "name"]


class Process(ApiModel):
    """The process of a target: `start` identifies the run, `build` the binary; "" if unknown."""

    start: Text
    build: Text


class TargetSummary(ApiModel):
    """A target in a list. `up` is null before the first scrape."""

    id: Text
    service: Text
    target: Text
    up: bool | None
    reason: Text
    """Kind of the error if the target is down."""
    error: Text
    since: Number
    """Time of the latest change of `up`."""
    scraped_at: Number
    duration_seconds: float
    body_bytes: int
    interval_seconds: float
    """Time between two scrapes, stretched if scrapes cost too much or leakwatch is overloaded."""
    stretched_by: str
    """Why the interval is stretched, "" if it is not.

    `duration` of the scrapes; `cpu` of leakwatch, `bytes` or `new_stacks`, which would cost leakwatch too
    much; `overload` of leakwatch.
    """
    cost_ratio: Number
    """Share of one core that scrapes take on the target, at most, averaged over minutes. Null if the target could
    not be reached."""
    goroutines: int
    stacks: int
    restarts: int
    mixed: bool
    """Whether several processes answer in turn, so that leakwatch does not judge the target."""
    judged_in_seconds: Number
    """Time until the first verdict is possible: 0 if it is possible now, null before the first scrape."""


class TargetList(ApiModel):
    """Targets, those that are down first; `total`: targets that pass the filter, `known`: all targets."""

    now: float
    total: int
    known: int
    up: int
    down: int
    targets: list[TargetSummary]


class StackRow(ApiModel):
    """One stack of a target; its growth has a band if the stack has a judgement."""

    stack: Fingerprint
    function: Text
    file: Text
    line: int
    origin: Text
    wait: Text
    goroutines: int
    growth_per_hour: Rate
    steady: bool
    """Whether the stack has no judgement, and its count has changed by at most the noise."""
    verdict: VerdictWord
    liveness: Literal["alive", "stuck", "mixed", ""]
    """Whether the goroutines that the stack gained run now and then; "" if unknown.

    The latest full dump of the target, or of another one of its service, shows it.
    """


class Target(TargetSummary):
    """All details of a target; `stacks_shown` is one page of its stacks, ordered by `sort`."""

    now: float
    job: Text
    url: Text
    """URL of the profile; "" if unknown."""
    configured_interval_seconds: Number
    """Configured time between two scrapes; null if unknown."""
    labels: dict[Text, Text]
    process: Process | None
    results: dict[str, int]
    """Number of scrapes: `success`, and failures by reason."""
    watched_since: Number
    """First scrape of the current lifetime."""
    block_seconds: float
    blocks_closed: int
    full_dump_at: Number
    """Time of the latest full dump of this process; null if there was none."""
    full_dump_pause_seconds: Number
    """Longest time for which a full dump may have stopped this process; null if there was none."""
    folded_stacks: int
    """Stacks beyond detection.series_limit, which have no history; `folded_goroutines`: their goroutines."""
    folded_goroutines: int
    sort: Sort
    stacks_found: int
    """Stacks with goroutines or a verdict that pass the filter."""
    stacks_shown: list[StackRow]


class StackSeries(ApiModel):
    """One stack of a target over time."""

    service: Text
    target: Text
    stack: Fingerprint
    function: Text
    now: float
    recent: SeriesLine
    hours: SeriesLine


class FlameNode(ApiModel):
    """A call in a flame graph: its goroutines, their growth per hour or their change, and the calls below it."""

    name: Text
    value: int
    growth: Number
    own: bool = False
    children: list["FlameNode"] = Field(default_factory=list)


class FlameGraph(ApiModel):
    """A profile of a target, root first; `left_out`: goroutines of stacks beyond the limit of a graph.

    `scraped_at`: time of the profile, null if there is none. `since`: time of an earlier profile, from which on
    `growth` is the change; null without one.
    """

    service: Text
    target: Text
    scraped_at: Number
    since: Number = None
    left_out: int
    root: FlameNode


class ServiceSummary(ApiModel):
    """A service in a list; `leaks`: number of leaks by verdict."""

    service: Text
    targets: int
    up: int
    down: int
    goroutines: int
    restarts: int
    leaks: dict[VerdictWord, int]
    scraped_at: Number
    """Time of the latest scrape of any target."""
    judged_in_seconds: Number
    """Time until the first verdict is possible on each target; null before the first scrape."""


class ServiceList(ApiModel):
    """Services, leaking ones first, then by name."""

    now: float
    waiting: Text
    """The reason why no verdict is possible yet, "" if one is possible."""
    services: list[ServiceSummary]


class Service(ServiceSummary):
    """All details of a service: its leaks, and the goroutines of all its targets at even steps until now."""

    now: float
    open_leaks: list[LeakSummary]
    sparkline: Levels
    sparkline_from: Number
