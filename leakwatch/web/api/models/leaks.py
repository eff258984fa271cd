"""API models of leaks. Times are unix seconds of the wall clock, rates goroutines per hour."""

from typing import Annotated, Literal

from pydantic import Field

from leakwatch.web.api.models.findings import Findings, MemoryCost
from leakwatch.web.api.models.types import ApiModel, Levels, Number, Text

VerdictWord = Literal["normal", "recovered", "plateau", "suspected", "leaking", "proven"]


SeverityWord = Literal["page", "ticket", ""]
"""Severity of a leak; "" for a stack that was never leaking."""

Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Rate(ApiModel):
    """Goroutines per hour with the 10-90 % band; null without a band."""

    value: Number
    low: Number = None
    high: Number = None


class Transition(ApiModel):
    """A change of the verdict of a leak to `verdict` at `time`."""

    verdict: VerdictWord
    time: Number


class StackRef(ApiModel):
    """A stack or site with its blamed frame.

    `caller`: the function that calls the blamed one, "" if none does; `origin`: the function started with go.
    """

    stack: Fingerprint
    function: Text
    file: Text
    line: int
    wait: Text
    caller: Text
    origin: Text
    site: bool = False
    goroutines: int
    verdict: VerdictWord = "normal"


class RelatedStack(StackRef):
    """A stack that belongs to a leak beside its head, with the rate of its latest growth."""

    growth_per_hour: Rate


class FixedIn(ApiModel):
    """The version of a module that fixes a cause, and where this is documented."""

    version: Text
    reference: Text


class Cause(ApiModel):
    """A likely cause of a leak: what looks to be wrong, which calls to look for, and what fixes it."""

    id: Text
    title: Text
    explanation: Text
    look_for: list[Text]
    fix: Text
    code: Text
    """Lines of Go."""
    fixed_in: dict[Text, FixedIn]
    """Module -> version."""
    references: list[Text]


class Caller(ApiModel):
    """The own code that opens what a leak holds, or a label of its goroutines. `share`: from 0 to 1."""

    way: Literal["ancestors", "creator", "heap", "seen", "labels"]
    """Where the caller was found: in a full dump, the heap profile, other stacks, or labels."""
    certainty: Literal["certain", "likely", "possible"]
    function: Text
    file: Text
    line: int
    label: Text
    value: Text
    share: Number


class Frame(ApiModel):
    """One frame of a stack; `own`: whether the function is own code."""

    function: Text
    file: Text
    line: int
    own: bool
    source: Text = ""
    """URL of the source, "" if no link is configured."""


class LeakSummary(ApiModel):
    """A leak in a list. `id`: the last part of the leak's path; `site`: whether the leak is a site."""

    id: Text
    service: Text
    stack: Fingerprint
    site: bool
    function: Text
    file: Text
    line: int
    origin: Text
    wait: Text
    verdict: VerdictWord
    severity: SeverityWord
    goroutines: int
    growth_per_hour: Rate
    confidence: float
    first_seen: Number
    detected_at: Number
    """Time of the first verdict `leaking`; null before."""
    life: list[Transition]
    targets: list[Text]
    """Targets where the leak grows or grew, up to 20 of `targets_total`."""
    targets_total: int
    owner: Text
    related: list[Text]
    """Functions of related stacks."""
    reason: Text
    cause: Cause | None = None
    caller: Text = ""
    """The own code that opens a leak without own code, as a sentence; "" if unknown."""
    memory: MemoryCost | None
    source: Text
    """URL of the source of the blamed function, "" if no link is configured."""
    sparkline: Levels
    """Goroutines over all targets at even steps from `sparkline_from` until now."""
    sparkline_from: Number


class LeakList(ApiModel):
    """Leaks, most urgent first; `total`: leaks that pass the filter, `known`: all leaks."""

    now: float
    total: int
    known: int
    services: list[Text]
    """Services of all leaks, for a filter; likewise `owners` and `verdicts`."""
    owners: list[Text]
    verdicts: list[VerdictWord]
    leaks: list[LeakSummary]


class OnTarget(ApiModel):
    """A leak on one target of its service; `judged`: whether this target alone has a judgement."""

    target: Text
    goroutines: int
    judged: bool
    verdict: VerdictWord
    growth_per_hour: Rate
    confidence: float
    first_seen: Number
    restarted: bool
    up: bool | None
    build: Text
    """Build of the process, "" if unknown."""
    uptime_seconds: Number
    """Age of the process, at least; null before the first scrape."""


class Command(ApiModel):
    """A shell command that shows the leak on a target."""

    title: str
    command: Text


class Alert(ApiModel):
    """The alert of a leak as leakwatch sends it."""

    labels: dict[Text, Text]
    annotations: dict[Text, Text]


class Period(ApiModel):
    """A time in which leakwatch did not run."""

    start: float
    end: float


class Leak(LeakSummary):
    """All details of a leak. `targets` has at most 20 names; `on` has the fastest targets, of `on_total`."""

    now: float
    highest: VerdictWord
    grew_per_hour: Rate
    """The rate of the latest growth."""
    findings: Findings
    truncated: bool
    """Whether the profile cut the root of the stack."""
    frames: list[Frame]
    """Leaf first. A site has only the blamed function; its stacks are in `stacks`."""
    stacks: list[StackRef]
    stacks_total: int
    related_stacks: list[RelatedStack]
    holders: list[StackRef]
    """The stacks that the goroutines probably wait for: holders of a lock, or receivers that stall."""
    callers: list[Caller]
    """The own code that opens a leak without own code, the most certain first."""
    in_step: list[StackRef]
    """Other leaks of the service that grow in step."""
    on: list[OnTarget]
    on_total: int
    ignore: Text
    """YAML of a rule for `ignore` that hides the leak."""
    commands: list[Command]
    alert: Alert
    unobserved: list[Period]
    """The times since the growth began in which leakwatch did not run, the latest last."""


class SeriesLine(ApiModel):
    """Goroutines over time: `mean` and `floor` of each column; `times` are the middles of the columns.

    Levels are null in a gap. The last point is the current count.
    """

    seconds: float
    """Length of a column."""
    times: list[float]
    mean: Levels
    floor: Levels


class Fit(ApiModel):
    """The fitted growth: a line from `before` goroutines at `since` to the end of the growth, `per_hour` more."""

    since: Number
    until: Number
    """End of the growth, null if it has not ended."""
    before: Number
    per_hour: Rate


class Forecast(ApiModel):
    """The growth of a leak if it continues from now on, and when the first target reaches its memory limit."""

    text: Text
    soonest: Number
    """Earliest and latest time of the limit; null if unknown."""
    latest: Number
    per_hour: Rate


class TargetSeries(ApiModel):
    """The goroutines of a leak on one target."""

    target: Text
    goroutines: int
    recent: SeriesLine
    hours: SeriesLine
    fit: Fit | None


class Mark(ApiModel):
    """An event in a plot: start of growth, change of the verdict, restart, new build, or start of leakwatch."""

    time: float
    kind: Literal["first_seen", "verdict", "restart", "deploy", "pause"]
    text: Text
    target: Text = ""


class LeakSeries(ApiModel):
    """A leak over time: the sum of all targets, and the fastest targets; `others`: number of further targets."""

    service: Text
    stack: Fingerprint
    now: float
    recent: SeriesLine
    """The last 24 blocks."""
    hours: SeriesLine
    """The last 34 hours of 12 blocks each."""
    targets: list[TargetSeries]
    others: int
    fit: Fit | None
    forecast: Forecast | None
    """Null if the leak does not grow, or no memory limit is known."""
    marks: list[Mark]
