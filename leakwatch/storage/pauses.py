"""When leakwatch did not run, so that pages can show what it did not observe. Pure."""

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from leakwatch.errors import StateError

KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Pause:
    """A time without leakwatch, from the last save of one process to the start of the next, in unix seconds."""

    start: float
    end: float


ADAPTER: Final = TypeAdapter(list[Pause])


class Pauses:
    """The latest pauses, oldest first."""

    def __init__(self) -> None:
        self._pauses: deque[Pause] = deque(maxlen=KEPT)

    def add(self, start: float, end: float) -> None:
        """Add a pause."""
        self._pauses.append(Pause(start, end))

    def since(self, time: float) -> list[Pause]:
        """Return the pauses that ended after `time`."""
        return [pause for pause in self._pauses if pause.end > time]

    def to_plain(self) -> list[dict[str, float]]:
        """Return the pauses as plain values."""
        return [asdict(pause) for pause in self._pauses]

    def restore(self, plain: Any) -> None:
        """Add the pauses of earlier processes; raise StateError."""
        try:
            self._pauses.extend(ADAPTER.validate_python(plain))
        except ValidationError as error:
            raise StateError(f"pauses: {error.errors()[0]['msg']}") from error
