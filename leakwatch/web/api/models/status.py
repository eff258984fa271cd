"""API models of leakwatch itself. Times are unix seconds of the wall clock."""

from leakwatch.web.api.models.types import ApiModel, Number, Text


class MechanismStatus(ApiModel):
    """One discovery mechanism of a job; `succeeded_at`: time of the last success, null if there was none."""

    mechanism: str
    failures: int
    succeeded_at: Number


class JobStatus(ApiModel):
    """The addresses of a job, and its discovery mechanisms; `kept`: number of targets."""

    job: Text
    kept: int
    dropped: int
    """Addresses that a relabel rule dropped."""
    invalid: int
    """Addresses that are not valid targets."""
    mechanisms: list[MechanismStatus]


class AlertmanagerStatus(ApiModel):
    """Delivery to one Alertmanager, in alerts. `trouble`: error of the latest attempt, "" if it succeeded."""

    alertmanager: Text
    due: int
    sent: int
    failed: int
    dropped: int
    requests: int
    seconds: float
    """Total duration of the requests."""
    trouble: Text


class OwnUsage(ApiModel):
    """Resources that leakwatch uses.

    `lag_seconds`: seconds by which the event loop was late, or waited for a core.
    """

    memory_bytes: int | None
    cpu_seconds: float
    lag_seconds: float
    overloaded: bool
    """Whether leakwatch has more targets than it can scrape at their intervals."""
    missed_scrapes: int
    """Due scrapes that were skipped so far, because leakwatch was overloaded."""
    series: int
    """Stacks and sites of all targets."""


class StorageStatus(ApiModel):
    """Where the state is kept over restarts.

    `path`: null if it is in memory only; `error`: why it is not saved, or "".
    """

    path: Text | None
    error: Text
    bytes: int
    saved_at: Number
    """Time of the latest successful save, null if there was none."""
    full: bool
    """Whether the size limit was reached, so that targets without a leak are not saved."""


class IgnoreRule(ApiModel):
    """A rule of `ignore`. `hides`: leaks that it hides now; `matches`: whether any stack matches it."""

    rule: Text
    owner: Text
    reason: Text
    until: Number
    over: bool
    at_most: int | None
    hides: int
    matches: bool


class Reload(ApiModel):
    """The latest successful load of the configuration; `mistake`: error of the latest reload, "" without one."""

    at: Number
    mistake: Text


class Status(ApiModel):
    """leakwatch itself. `ready`: the reason why it is not ready, or ""; `access`: a summary of TLS and users."""

    now: float
    version: str
    python: str
    started_at: Number
    uptime_seconds: float
    url: Text
    ready: Text
    access: Text
    configuration: Text
    """YAML with all defaults and without secrets."""
    reload: Reload
    jobs: list[JobStatus]
    alertmanagers: list[AlertmanagerStatus]
    ignore: list[IgnoreRule]
    usage: OwnUsage
    storage: StorageStatus
    services: int
    targets: int
    targets_up: int
    targets_down: int
    leaks: int
