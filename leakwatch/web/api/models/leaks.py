"""What the API says of leaks. Times are unix seconds of the wall clock, rates goroutines per hour."""

from typing import Annotated, Literal

from pydantic import Field

from leakwatch.web.api.models.findings import Findings, MemoryCost
from leakwatch.web.api.models.types import Model, Number, Text

VerdictWord = Literal["normal", "recovered", "plateau", "suspected", "leaking", "proven"]


Levels = list[Number]
Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Rate(Model):
    """Goroutines per hour with the 10-90 % band; null where no band is known."""

    value: Number
    low: Number = None
    high: Number = None


class Transition(Model):
    """A leak had `verdict` from `time` on."""

    verdict: VerdictWord
    time: Number


class StackRef(Model):
    """A stack or a site, and the frame to look at."""

    stack: Fingerprint
    function: Text
    file: Text
    line: int
    wait: Text
    site: bool = False
    goroutines: int
    verdict: VerdictWord = "normal"


class Frame(Model):
    """One call; `own`: neither the standard library nor a dependency; `source`: a link to it, "" if unknown."""

    function: Text
    file: Text
    line: int
    own: bool
    source: Text = ""
    """URL of its source, where the configuration says how to make one."""


class LeakSummary(Model):
    """A leak in a list. `id` is what its address ends in; `site`: all stacks that blame one function."""

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
    goroutines: int
    growth_per_hour: Rate
    confidence: float
    first_seen: Number
    detected_at: Number
    """When leaking was first said; null before."""
    life: list[Transition]
    targets: list[Text]
    """Where it grows or grew; the first of `targets_total`."""
    targets_total: int
    owner: Text
    related: list[Text]
    """Functions that grow in step with it."""
    reason: Text
    memory: MemoryCost | None
    source: Text
    """URL of the source of the blamed function, "" where that is not known."""
    sparkline: Levels
    """Goroutines over all targets at even steps from `sparkline_from` until now."""
    sparkline_from: Number


class LeakList(Model):
    """Leaks, the most urgent first; `total` is how many pass the filter, of `known` in all."""

    now: float
    total: int
    known: int
    services: list[Text]
    """Of all known leaks, for filters; so are `owners` and `verdicts`."""
    owners: list[Text]
    verdicts: list[VerdictWord]
    leaks: list[LeakSummary]


class OnTarget(Model):
    """A leak on one target of its service; `judged` is false where the target alone gives no verdict."""

    target: Text
    goroutines: int
    judged: bool
    verdict: VerdictWord
    growth_per_hour: Rate
    confidence: float
    first_seen: Number
    restarted: bool
    up: bool | None


class Command(Model):
    """A command to look at a leak by oneself."""

    title: str
    command: Text


class Alert(Model):
    """What is sent of a leak, or would be, once it is due."""

    labels: dict[Text, Text]
    annotations: dict[Text, Text]


class Leak(LeakSummary):
    """All of a leak. `targets` is cut as in a list; `on` has the fastest targets, of `on_total`."""

    now: float
    highest: VerdictWord
    grew_per_hour: Rate
    """The rate while it last grew."""
    findings: Findings
    truncated: bool
    """The profile has cut the root of the stack."""
    frames: list[Frame]
    """Leaf first; of a site only the blamed function, whose stacks are in `stacks`."""
    stacks: list[StackRef]
    stacks_total: int
    related_stacks: list[StackRef]
    on: list[OnTarget]
    on_total: int
    ignore: Text
    """YAML that keeps the leak out of sight, to be pasted into the configuration."""
    commands: list[Command]
    alert: Alert


class Line(Model):
    """Goroutines over time: `mean` and `floor` of each column in the middle of which is `times`; null in a gap.

    The last point is the present count.
    """

    seconds: float
    """Of a column."""
    times: list[float]
    mean: Levels
    floor: Levels


class Fit(Model):
    """The growth as it is judged: `before` goroutines until `since`, then `per_hour` more."""

    since: Number
    before: Number
    per_hour: Rate


class TargetSeries(Model):
    """The goroutines of a stack on one target."""

    target: Text
    goroutines: int
    recent: Line
    hours: Line
    fit: Fit | None


class Mark(Model):
    """The leak was first seen, its verdict turned, a target restarted, or did so with another build."""

    time: float
    kind: Literal["first_seen", "verdict", "restart", "deploy"]
    text: Text
    target: Text = ""


class LeakSeries(Model):
    """A leak over time: all targets summed up, and the fastest of them one by one; `others` are not told."""

    service: Text
    stack: Fingerprint
    now: float
    recent: Line
    """The last 24 blocks."""
    hours: Line
    """The last 34 hours, each of 12 blocks."""
    targets: list[TargetSeries]
    others: int
    fit: Fit | None
    marks: list[Mark]
