"""What the API may read: the state of a daemon, or of a pipeline that somebody else feeds."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from leakwatch.clock import Clock, Lag
from leakwatch.config import Config
from leakwatch.evidence.store import Store
from leakwatch.leaks.model import Leak
from leakwatch.model import Target, TargetHealth
from leakwatch.notify.alertmanager import AlertmanagerClient
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.target_set import TargetSet
from leakwatch.web.api.cache import Recent, Sparklines
from leakwatch.web.api.snapshots import Moments
from leakwatch.web.server.web_config_file import WebFile


def _loaded() -> tuple[str, float]:
    return "", 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """Read access to all that is known; nothing of it is ever written.

    `health`, `config`, `reloaded` (why the latest reload failed, "" if it did not, and when the configuration in
    force was taken) and `ready` ("" or what is waited for) are asked each time; `url`: of our first page; `stop`
    is set when the daemon ends.
    """

    pipeline: Pipeline
    clock: Clock = field(default_factory=Clock)
    health: Callable[[], Mapping[Target, TargetHealth]] = dict
    config: Callable[[], Config] = Config
    targets: TargetSet | None = None
    senders: Mapping[str, AlertmanagerClient] = field(default_factory=dict)
    lag: Lag = field(default_factory=Lag)
    reloaded: Callable[[], tuple[str, float]] = _loaded
    ready: Callable[[], str] = str
    started: float = 0.0
    url: str = ""
    web_file: WebFile | None = None
    recent: Recent = field(default_factory=Recent)
    sparklines: Sparklines = field(default_factory=Sparklines)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    evidence: Store | None = None
    moments: Moments = field(default_factory=Moments)

    known: Callable[[], list[Leak]] | None = None

    def leaks(self) -> list[Leak]:
        """Return the leaks, the most urgent first; their numbers may be a moment old."""
        return self.known() if self.known else self.recent.leaks(self.pipeline, self.clock.stopwatch())

    def at_once(self) -> "AppState":
        """Return the same for one answer: it looks the leaks up once, however often they are asked for."""
        return replace(self, known=cache(self.leaks))

    def now(self) -> float:
        """Return the daemon's time, which all times of the pipeline are to be compared with, in unix seconds."""
        return self.clock.time()

    def wall(self, moment: float) -> float:
        """Return a time of the pipeline as the wall clock shows it, in unix seconds."""
        return self.clock.wall(moment)
