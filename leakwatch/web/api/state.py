"""Everything that pages and API read, in parts: each endpoint and page gets the parts that it needs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leakwatch.clock import Lag
from leakwatch.discovery.status import DiscovererStatus
from leakwatch.discovery.target_builder import RelabeledTargets
from leakwatch.evidence.store import Store
from leakwatch.notify.alertmanager import AlertmanagerClient
from leakwatch.notify.links import AlertLinks
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.storage.storage import StorageStatus
from leakwatch.web.api.fleet import Fleet
from leakwatch.web.api.snapshots import SnapshotReader


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertContext:
    """Settings of alerts. Functions return the current values."""

    url: str
    """URL of the overview."""
    external_labels: Callable[[], Mapping[str, str]]
    alertmanager: Callable[[], str]
    """URL of Alertmanager's pages, "" if it is not configured."""
    dashboard: Callable[[], str]
    """Template of the URL of the dashboard of a service, "" if it is not configured."""

    @property
    def links(self) -> AlertLinks:
        """The addresses that alerts link to."""
        return AlertLinks(self.url, self.dashboard())


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnState:
    """State of leakwatch itself. Functions return the current values."""

    started: Callable[[], float]
    """Time of the start by the pipeline's clock, in unix seconds."""
    lag: Lag
    starts: StartQueue
    configuration_yaml: Callable[[], str]
    """The configuration in force, without secrets."""
    last_reload: Callable[[], tuple[str, float]]
    """Error of the latest reload, "" without one, and the time of the latest successful load."""
    ready: Callable[[], str]
    """The reason why leakwatch is not ready, "" if it is ready."""
    access: Callable[[], str]
    """A summary of TLS and users."""
    built_targets: Callable[[], Mapping[str, RelabeledTargets]]
    """Targets by job."""
    discoverers: Callable[[], Sequence[DiscovererStatus]]
    alertmanagers: Mapping[str, AlertmanagerClient]
    storage: StorageStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """The state behind pages and API, which change nothing. `stop` is set when the daemon stops."""

    fleet: Fleet
    own: OwnState
    alerts: AlertContext
    evidence: Store
    checkouts: Callable[[], Mapping[str, Path]]
    """Module -> directory of its source on this machine."""
    stop: asyncio.Event
    snapshots: SnapshotReader = field(default_factory=SnapshotReader, init=False)
