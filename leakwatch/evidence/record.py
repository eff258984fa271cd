"""The record of a stored body, a small JSON file beside it. Pure."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leakwatch.model import Verdict

Kind = Literal["suspected", "leaking", "proven", "last"]
"""The reason to store a body: a new verdict of a leak, or the last body of a process."""
BodyFormat = Literal["text", "proto", "dump"]
"""The format of a body: `debug=1`, `debug=0`, `debug=2`."""

SUFFIXES: Final[Mapping[BodyFormat, str]] = {"text": ".txt.gz", "proto": ".pb.gz", "dump": ".dump.gz"}
SYMBOLS: Final = ".symbol"
VERDICTS: Final = {verdict.word: verdict for verdict in Verdict}

Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # the year 10000
Count = Annotated[int, Field(ge=0)]


class RecordedLeak(BaseModel):
    """A leak in a body; `verdict` and `growth_per_hour` are the last reported values."""

    model_config = ConfigDict(frozen=True)  # without extra="forbid": a later version may add fields

    stack: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    function: str
    wait: str
    verdict: Literal["normal", "recovered", "plateau", "suspected", "leaking", "proven"]
    growth_per_hour: Annotated[float, Field(allow_inf_nan=False)]
    goroutines: Count
    """The number of goroutines in this body."""


class Record(BaseModel):
    """The record of a body; `time` in unix seconds, `bytes` as stored, `start` and `build` of the process."""

    model_config = ConfigDict(frozen=True)  # without extra="forbid": a later version may add fields

    service: str
    target: str
    time: Time
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)]
    format: BodyFormat
    bytes: Count
    goroutines: Count
    start: str = ""
    build: str = ""
    leaks: tuple[RecordedLeak, ...] = ()

    @model_validator(mode="after")
    def _has_distinct_kinds(self) -> Self:
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError("a kind is repeated")
        return self

    @property
    def importance(self) -> tuple[int, float]:
        """The highest verdict of a leak in the body and the growth of that leak; larger values stay longer."""
        return max(((VERDICTS[leak.verdict], leak.growth_per_hour) for leak in self.leaks), default=(0, 0.0))

    def without_last(self) -> "Record | None":
        """Return the record without the kind `last`; None if the body has no other kind."""
        kinds = tuple(kind for kind in self.kinds if kind != "last")
        return self.model_copy(update={"kinds": kinds}) if kinds else None

    def with_verdict(self, stack: str, verdict: Verdict, growth_per_hour: float) -> "Record":
        """Return the record with the current verdict and growth of the leak `stack`."""
        current = verdict.word, growth_per_hour
        if all(leak.stack != stack or (leak.verdict, leak.growth_per_hour) == current for leak in self.leaks):
            return self
        update = {"verdict": verdict.word, "growth_per_hour": growth_per_hour}
        leaks = tuple(leak.model_copy(update=update) if leak.stack == stack else leak for leak in self.leaks)
        return self.model_copy(update={"leaks": leaks})
