"""What is remembered for a while, because who looks at a fleet looks often, and others look too.

Pure; time comes in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.aggregate import sparkline, summed

Line = tuple[list[float], float | None]
"""Levels, and when the first of them was."""


class Recent:
    """The leaks as they were up to `lasts` seconds ago; a verdict that turns is known at once.

    What 500 leaks of 2,000 targets have come to takes a tenth of a second, and as long is nobody else served.
    """

    def __init__(self, lasts: float = 0.0) -> None:
        self._lasts = lasts
        self._leaks: list[Leak] = []
        self._turns = -1
        self._until = float("-inf")

    def leaks(self, pipeline: Pipeline, time: float) -> list[Leak]:
        """Return the leaks, the most urgent first; `time` in seconds on any clock, always the same one."""
        if time >= self._until or pipeline.verdict_changes != self._turns:
            self._leaks, self._turns = pipeline.open_leaks(), pipeline.verdict_changes
            self._until = time + self._lasts
        return self._leaks


@dataclass(frozen=True, slots=True)
class Known:
    """What the sparklines of a service were, to be believed `until` then."""

    until: float
    start: float | None
    lines: Mapping[Fingerprint, list[float]]


class Sparklines:
    """Those of all services, each believed for one to two times `lasts` seconds: they do not all end at once.

    Never for longer than a block: the last point goes on with the count, and would draw a kink.
    """

    def __init__(self, lasts: float = 0.0) -> None:
        self._lasts = lasts
        self._known: dict[str, Known] = {}

    def of(
        self, service: str, states: Sequence[TargetState], counts: Mapping[Fingerprint, int], time: float
    ) -> dict[Fingerprint, Line]:
        """Return the line of each stack in `counts`, which says how many goroutines it has now."""
        known = self._known.get(service)
        if known is None or time >= known.until or not counts.keys() <= known.lines.keys():
            levels, start = sparkline(states, summed(states, list(counts)), list(counts.values()))
            blocks = [state.history.block for state in states]
            until = time + min((self._lasts * (1 + hash(service) % 256 / 256), *blocks))
            known = Known(until, start, dict(zip(counts, levels, strict=True)))
            if self._lasts:
                self._known = {name: one for name, one in self._known.items() if time < one.until}
                self._known[service] = known
        return {key: ([*known.lines[key][:-1], float(count)], known.start) for key, count in counts.items()}
