"""What the API says of leakwatch itself. Times are unix seconds of the wall clock."""

from leakwatch.web.api.models.types import Model, Number, Text


class Mechanism(Model):
    """One way in which a job finds targets; `succeeded_at` is null if it never gave a good answer."""

    mechanism: str
    failures: int
    succeeded_at: Number


class Job(Model):
    """What became of the addresses that a job found, and how its mechanisms fare."""

    job: Text
    kept: int
    dropped: int
    """By a rule."""
    invalid: int
    """Left out, because no target could be made of them."""
    mechanisms: list[Mechanism]


class Alertmanager(Model):
    """One that is told; numbers of alerts. `trouble`: why the latest attempt failed, "" if it did not."""

    alertmanager: Text
    due: int
    sent: int
    failed: int
    dropped: int
    requests: int
    seconds: float
    """What the requests took, in all."""
    trouble: Text


class Usage(Model):
    """What leakwatch itself takes. `lag_seconds`: how late its event loop was, in all."""

    memory_bytes: int | None
    cpu_seconds: float
    lag_seconds: float
    series: int
    """Stacks and sites that are followed, over all targets."""


class IgnoreRule(Model):
    """A rule of `ignore`; `hides` leaks now. `matches` is false where it fits no stack of any target."""

    rule: Text
    owner: Text
    reason: Text
    until: Number
    over: bool
    at_most: int | None
    hides: int
    matches: bool


class Reload(Model):
    """When the configuration in force was taken; `mistake`: why the latest reload failed, "" if it did not."""

    at: Number
    mistake: Text


class Status(Model):
    """leakwatch itself. `ready`: "" or what it still waits for; `access`: who is let in."""

    now: float
    version: str
    python: str
    started_at: Number
    uptime_seconds: float
    url: Text
    ready: Text
    access: Text
    configuration: Text
    """As YAML, with all that has a default; secrets are hidden."""
    reload: Reload
    jobs: list[Job]
    alertmanagers: list[Alertmanager]
    ignore: list[IgnoreRule]
    usage: Usage
    services: int
    targets: int
    targets_up: int
    targets_down: int
    leaks: int
