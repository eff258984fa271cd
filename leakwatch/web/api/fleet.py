"""The fleet: all targets and services with their leaks, read only. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from leakwatch.clock import Clock
from leakwatch.leaks.model import Leak
from leakwatch.leaks.target_state import TargetState
from leakwatch.model import Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.target_set import ScrapeTarget
from leakwatch.storage.pauses import Pauses
from leakwatch.web.api.sparklines import SparklineCache

SPARKLINE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All targets, services and leaks.

    `health` and `scrape_targets` return the current values by target.
    """

    pipeline: Pipeline
    clock: Clock
    health: Callable[[], Mapping[Target, TargetHealth]]
    scrape_targets: Callable[[], Mapping[Target, ScrapeTarget]]
    pauses: Pauses = field(default_factory=Pauses)
    """When leakwatch did not run."""
    sparklines: SparklineCache = field(default_factory=lambda: SparklineCache(SPARKLINE_SECONDS), init=False)

    def view(self) -> "FleetView":
        """Return the fleet as of now, for one request."""
        return FleetView(self)


class FleetView:
    """The fleet at the time of one request: health and leaks are computed at most once."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.pipeline = fleet.pipeline
        self.sparklines = fleet.sparklines
        self.pauses = fleet.pauses
        self.now = fleet.clock.time()
        """Time of the pipeline, in unix seconds."""
        self._wall_offset = fleet.clock.wall(0.0)

    @cached_property
    def health(self) -> Mapping[Target, TargetHealth]:
        """The health of each target."""
        return self._fleet.health()

    @cached_property
    def scrape_targets(self) -> Mapping[Target, ScrapeTarget]:
        """How each target is scraped."""
        return self._fleet.scrape_targets()

    @cached_property
    def leaks(self) -> list[Leak]:
        """The open leaks, most urgent first."""
        return self.pipeline.open_leaks()

    def states(self, service: str) -> list[TargetState]:
        """Return the states of all targets of a service."""
        service_state = self.pipeline.service(service)
        return list(service_state.targets.values()) if service_state else []

    def wall(self, time: float) -> float:
        """Return a time of the pipeline as unix seconds of the wall clock."""
        return time + self._wall_offset
