"""Files of judge tests: series of counts, events such as restarts, and expected verdicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, PlainValidator, field_validator, model_validator

from leakwatch.cli.judge_tests.notation import Part, Range, parse_counts, parse_range, parse_share
from leakwatch.errors import quote
from leakwatch.leaks.config import Moment
from leakwatch.model import Frame
from leakwatch.profile.wait_reason import REASONS
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.file import read_settings
from leakwatch.settings.messages import Location, cross_field_error, line_number
from leakwatch.settings.types import ConfigFile, Duration, Listed, NotEmpty, Offset, Text
from leakwatch.settings.units import exact_duration
from leakwatch.settings.yaml_file import load_yaml

START: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Time at which a test starts by default: no date of an ignore rule has passed."""
MAX_REPLICAS: Final = 50
MAX_SCRAPES: Final = 1_000_000
"""Of all replicas; they take some minutes."""
KEYS_OF: Final = {
    "at": ("verdict", "rate", "goroutines", "cause", "owner", "replicas"),
    "never": ("before",),
}
"""The keys of each form of an expectation."""

Expected = Literal["normal", "ignored", "suspected", "leaking", "plateau", "recovered"]
"""A verdict, or `ignored` for a leak that a rule hides."""
Actions = Literal["restart", "stop", "start", "miss"]


def _parse_frame(value: object) -> Frame:
    """Return the frame `FUNCTION [FILE:LINE]`; raises ValueError."""
    if not isinstance(value, str):
        message = f"{quote(str(value))} is not a call; write FUNCTION or FUNCTION FILE:LINE"
        raise ValueError(message)  # noqa: TRY004  pydantic reports a ValueError with its place
    text = value.strip()
    function, _, position = text.rpartition(" ")
    file, _, line = position.rpartition(":")
    if not (function and file and line.isdecimal()):
        function, file, line = text, "", "0"
    if not function or (" " in function.strip() and "[" not in function):
        raise ValueError(f"{quote(text)} is not a call; write FUNCTION or FUNCTION FILE:LINE")
    return Frame(function.strip(), file, int(line))


def _parse_replicas(value: object) -> object:
    if isinstance(value, str) and value != "all":
        raise ValueError(f"{quote(value)} is not a list of replicas; write all or for example [1, 3]")
    return () if value == "all" else value


Call = Annotated[Frame, PlainValidator(_parse_frame)]
Calls = Annotated[tuple[Call, ...], Listed, NotEmpty]
"""A stack, leaf first."""
CountsText = Annotated[tuple[Part, ...], PlainValidator(lambda value: parse_counts(str(value)))]
Share = Annotated[float, PlainValidator(parse_share)]
RangeText = Annotated[Range, PlainValidator(parse_range)]
Numbers = tuple[Annotated[int, Field(ge=1)], ...]
"""Numbers of replicas."""
Replicas = Annotated[Numbers, BeforeValidator(_parse_replicas)]
"""Numbers of replicas; `all`, or none, stands for every replica."""


class SeriesConfig(BaseSettings):
    """The goroutines of one stack."""

    stack: Calls
    """Calls from the innermost to the outermost: functions, with FILE:LINE where it matters."""
    counts: CountsText
    """Goroutines over time, from the start of each process."""
    wait: str = ""
    """Wait reason in the words of debug=2."""
    lifetime: Duration | None = None
    """Mean time after which each goroutine ends. Without one, goroutines end only when the count falls."""
    stuck: Share | None = None
    """Share of the goroutines that never wake up. If any series of a test has it, targets return full dumps."""
    replicas: Replicas = ()
    """The replicas that have the series."""

    @field_validator("wait")
    @classmethod
    def _is_known(cls, wait: str) -> str:
        if wait and wait not in REASONS:
            raise ValueError(f"{quote(wait)} is not a wait reason; valid are: {', '.join(sorted(REASONS))}")
        return wait


class EventConfig(BaseSettings):
    """A change of some replicas at a time."""

    at: Offset
    restart: Replicas | None = None
    """Replicas with a new process."""
    stop: Replicas | None = None
    """Replicas that discovery no longer returns."""
    start: Replicas | None = None
    """Replicas that discovery returns from now on."""
    miss: Replicas | None = None
    """Replicas with failing scrapes."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """How long scrapes fail; one scrape by default."""
    every: Duration | None = None
    """Time after which the event happens again, until the end of the test."""

    @model_validator(mode="after")
    def _has_one_action(self) -> Self:
        actions = [name for name in get_args(Actions) if getattr(self, name) is not None]
        if len(actions) != 1:
            raise ValueError(f"needs exactly one of {', '.join(get_args(Actions))}")
        if self.for_ is not None and self.miss is None:
            raise ValueError("has `for` without miss")
        return self

    def times(self, end: float) -> list[float]:
        """Return the times of the event until `end`, in seconds since the start of the test."""
        repetitions = int((end - self.at) / self.every) if self.every else 0
        return [self.at + number * (self.every or 0.0) for number in range(repetitions + 1)]

    @property
    def action(self) -> Actions:
        """The key that is given."""
        return next(name for name in get_args(Actions) if getattr(self, name) is not None)

    @property
    def replicas(self) -> tuple[int, ...]:
        """The numbers of the replicas, () for all."""
        chosen: tuple[int, ...] = getattr(self, self.action)
        return chosen


class ExpectationConfig(BaseSettings):
    """A verdict at a time, or a verdict that is never reached."""

    at: Offset | None = None
    never: Literal["suspected", "leaking"] | None = None
    """The lowest verdict that fails the test."""
    before: Offset | None = None
    """Time from which on `never` no longer applies."""
    function: str = ""
    """Glob of the blamed function; "" for any leak."""
    verdict: Expected | None = None
    rate: RangeText | None = None
    """Goroutines per hour."""
    goroutines: RangeText | None = None
    cause: str = ""
    """Id of the likely cause."""
    owner: str = ""
    replicas: Numbers | None = None
    """Replicas on which the leak grows or grew, and no others."""

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.at is None) == (self.never is None):
            raise ValueError("needs either at or never")
        if self.at is not None and self.verdict is None:
            raise ValueError("needs a verdict, because it has at")
        form, other = ("at", "never") if self.never is None else ("never", "at")
        for name in KEYS_OF[other]:
            if name in self.model_fields_set:
                raise ValueError(f"has {form} and {name}, but {name} belongs to {other}")
        return self


class JudgeTest(BaseSettings):
    """One test."""

    name: Annotated[str, Field(min_length=1)]
    for_: Annotated[Duration, Field(alias="for")]
    """How long the test lasts."""
    interval: Duration = 15.0
    """Time between two scrapes."""
    service: Annotated[Text, Field(min_length=1)] = "service"
    labels: dict[str, Text] = Field(default_factory=dict)
    """Labels of all targets."""
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    """Number of targets."""
    start: Moment = START
    """Date or time at which the test starts, for rules with `until`."""
    series: Annotated[tuple[SeriesConfig, ...], NotEmpty]
    events: tuple[EventConfig, ...] = ()
    expect: Annotated[tuple[ExpectationConfig, ...], NotEmpty]

    @model_validator(mode="after")
    def _check_keys_together(self) -> Self:
        if error := cross_field_error(self._conflicts()):
            raise error
        return self

    def _conflicts(self) -> Iterator[tuple[Location, str]]:
        """Yield each key that conflicts with others, and a message."""
        yield from self._too_many()
        yield from self._short_repetitions()
        yield from self._late_times()
        yield from self._unknown_replicas()

    def _too_many(self) -> Iterator[tuple[Location, str]]:
        """Yield a message if the test has more scrapes than anyone waits for."""
        scrapes = self.replicas * self.for_ / self.interval
        if scrapes > MAX_SCRAPES:
            yield ("for",), f"the test has {scrapes:,.0f} scrapes, of at most {MAX_SCRAPES:,}"

    def _short_repetitions(self) -> Iterator[tuple[Location, str]]:
        """Yield each event that happens more often than scrapes, and a message."""
        for number, event in enumerate(self.events):
            if event.every and event.every < self.interval:
                message = f"{exact_duration(event.every)} is shorter than the interval of scrapes"
                yield ("events", number, "every"), f"{message}, {exact_duration(self.interval)}"

    def _late_times(self) -> Iterator[tuple[Location, str]]:
        """Yield each time after the end of the test, and a message."""
        times: Sequence[tuple[Location, float | None]] = [
            *((("events", number, "at"), event.at) for number, event in enumerate(self.events)),
            *((("expect", number, "at"), expected.at) for number, expected in enumerate(self.expect)),
            *((("expect", number, "before"), expected.before) for number, expected in enumerate(self.expect)),
        ]
        for location, time in times:
            if time is not None and time > self.for_:
                yield location, f"{exact_duration(time)} is after the end of the test, {exact_duration(self.for_)}"

    def _unknown_replicas(self) -> Iterator[tuple[Location, str]]:
        """Yield each list with a replica that does not exist, and a message."""
        lists: Sequence[tuple[Location, tuple[int, ...]]] = [
            *((("series", number, "replicas"), series.replicas) for number, series in enumerate(self.series)),
            *((("events", number, event.action), event.replicas) for number, event in enumerate(self.events)),
            *(
                (("expect", number, "replicas"), expected.replicas or ())
                for number, expected in enumerate(self.expect)
            ),
        ]
        for location, replicas in lists:
            if max(replicas, default=0) > self.replicas:
                yield location, f"replica {max(replicas)} does not exist: the test has {self.replicas}"


class JudgeTests(BaseSettings):
    """A whole file."""

    config: ConfigFile | None = None
    """Configuration file with detection, owners, ignore and causes."""
    tests: Annotated[tuple[JudgeTest, ...], NotEmpty]


@dataclass(frozen=True, slots=True)
class PlacedTest:
    """A test, and the place of each of its expectations: FILE:LINE."""

    test: JudgeTest
    places: Sequence[str]


@dataclass(frozen=True, slots=True)
class JudgeTestFile:
    """One file of tests; `config`: the configuration file that it names."""

    path: Path
    config: Path | None
    tests: Sequence[PlacedTest]


def read_tests(path: Path) -> JudgeTestFile:
    """Return the tests in the file at `path`; raises ConfigError with file and line."""
    content = read_settings(path, JudgeTests)
    node, _ = load_yaml(path.read_text(), str(path))
    tests = []
    for number, test in enumerate(content.tests):
        lines = [line_number(("tests", number, "expect", each), node) for each in range(len(test.expect))]
        tests.append(PlacedTest(test, [f"{path}:{line}" for line in lines]))
    return JudgeTestFile(path, content.config, tests)
