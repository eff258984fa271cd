"""What is said of a kept body, in a small JSON file beside it. Pure."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leakwatch.model import Verdict

Kind = Literal["suspected", "leaking", "proven", "last"]
"""Why a body is kept: the verdict that a leak came to, or that it is the last one before a restart or an end."""
Kept = Literal["text", "proto", "dump"]
"""`debug=1`, `debug=0`, `debug=2`."""

SUFFIXES: Final[Mapping[Kept, str]] = {"text": ".txt.gz", "proto": ".pb.gz", "dump": ".dump.gz"}
SYMBOLS: Final = ".symbol"
WORDS: Final = {verdict.word: verdict for verdict in Verdict}

Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # the year 10000
Count = Annotated[int, Field(ge=0)]


class RecordedLeak(BaseModel):
    """A leak that a body is evidence for: `verdict` and `growth_per_hour` are the latest that were told."""

    model_config = ConfigDict(frozen=True)  # a later leakwatch may have written more

    stack: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    function: str
    wait: str
    verdict: Literal["normal", "recovered", "plateau", "suspected", "leaking", "proven"]
    growth_per_hour: Annotated[float, Field(allow_inf_nan=False)]
    goroutines: Count
    """In this body."""


class Record(BaseModel):
    """A kept body; `time` in unix seconds, `bytes` as kept, `start` and `build` tell which process it was."""

    model_config = ConfigDict(frozen=True)  # a later leakwatch may have written more

    service: str
    target: str
    time: Time
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)]
    format: Kept
    bytes: Count
    goroutines: Count
    start: str = ""
    build: str = ""
    leaks: tuple[RecordedLeak, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError("a kind is named twice")
        return self

    @property
    def importance(self) -> tuple[int, float]:
        """What is larger for evidence that is to stay longer: the verdict on its worst leak, then its growth."""
        return max(((WORDS[leak.verdict], leak.growth_per_hour) for leak in self.leaks), default=(0, 0.0))

    def without_last(self) -> "Record | None":
        """Return the record of a body that is no longer the last one; None if that was all it was kept for."""
        kinds = tuple(kind for kind in self.kinds if kind != "last")
        return self.model_copy(update={"kinds": kinds}) if kinds else None

    def told(self, stack: str, verdict: Verdict, growth_per_hour: float) -> "Record":
        """Return the record with what is thought now of one of its leaks."""
        now = verdict.word, growth_per_hour
        if all(leak.stack != stack or (leak.verdict, leak.growth_per_hour) == now for leak in self.leaks):
            return self
        changed = {"verdict": verdict.word, "growth_per_hour": growth_per_hour}
        leaks = tuple(leak.model_copy(update=changed) if leak.stack == stack else leak for leak in self.leaks)
        return self.model_copy(update={"leaks": leaks})
