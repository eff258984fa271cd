"""Sparklines of leaks, cached per service. Pure; callers pass the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Fingerprint
from leakwatch.web.api.aggregate import sparkline, summed

SparklineLevels = tuple[list[float], float | None]
"""Levels, and the time of the first level."""


@dataclass(frozen=True, slots=True)
class CachedSparklines:
    """Sparklines of a service, valid until `until`."""

    until: float
    start: float | None
    levels: Mapping[Fingerprint, list[float]]


class SparklineCache:
    """Sparklines of all services, each cached for one to two times `seconds`, so that they expire one by one.

    A cached sparkline never lasts longer than a block, because the last point is the current count and would draw
    a kink after an old level.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._services: dict[str, CachedSparklines] = {}

    def get(
        self, service: str, states: Sequence[TargetState], counts: Mapping[Fingerprint, int], time: float
    ) -> dict[Fingerprint, SparklineLevels]:
        """Return the sparkline of each stack in `counts`, which has the current goroutines of each stack."""
        cached = self._services.get(service)
        if cached is None or time >= cached.until or not counts.keys() <= cached.levels.keys():
            levels, start = sparkline(states, summed(states, list(counts)), list(counts.values()))
            blocks = [state.history.block for state in states]
            until = time + min((self._seconds * (1 + hash(service) % 256 / 256), *blocks))
            cached = CachedSparklines(until, start, dict(zip(counts, levels, strict=True)))
            self._services = {name: lines for name, lines in self._services.items() if time < lines.until}
            self._services[service] = cached
        return {key: ([*cached.levels[key][:-1], float(count)], cached.start) for key, count in counts.items()}
