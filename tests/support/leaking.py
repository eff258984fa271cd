"""Leaks for tests, and the alerts that follow from them."""

from collections.abc import Iterable, Mapping

from leakwatch.leaks.model import Leak, Severity
from leakwatch.model import Frame, Growth, Stack, Target, TargetHealth, Verdict
from leakwatch.notify.alerts import Alert, Alerts
from leakwatch.notify.links import AlertLinks
from leakwatch.notify.rules import AlertRules
from leakwatch.profile.fingerprint import fingerprint_of

START = 1_700_000_000.0


def leak(
    verdict: Verdict = Verdict.LEAKING,
    *,
    service: str = "shop",
    function: str = "example.com/shop/pipeline.Filter",
    wait: str = "chan send",
    owner: str = "team-shop",
    frames: tuple[Frame, ...] = (),
    targets: tuple[str, ...] = ("10.0.0.1:6060", "10.0.0.2:6060"),
    detected_at: float | None = START,
    goroutines: int = 340,
    severity: Severity = "ticket",
    target_labels: Mapping[str, str] | None = None,
) -> Leak:
    """Return a leak of `function`, called by main.main unless `frames` are given."""
    frames = frames or (Frame(function, "/src/pipeline.go", 42), Frame("main.main", "/src/main.go", 7))
    stack = Stack(
        fingerprint=fingerprint_of([function]), frames=frames, blamed=frames[0], origin="main.main", wait=wait
    )
    growth = Growth(152 / 3600, 140 / 3600, 163 / 3600)
    return Leak(
        service=service,
        stack=stack,
        verdict=verdict,
        goroutines=goroutines,
        growth=growth,
        confidence=0.97,
        first_seen=START - 7200,
        detected_at=detected_at,
        targets=targets,
        owner=owner,
        highest=verdict,
        grew=growth,
        transitions=(),
        related=(),
        reason="grew from 5 to 340 in 2h without departures; +152/h (140 to 163)",
        severity=severity,
        target_labels=target_labels or {},
    )


class Play:
    """Alert rules and alerts in virtual time."""

    def __init__(self, resend: float = 60.0) -> None:
        self.rules = AlertRules(lambda time: time)
        self.rules.links = AlertLinks("https://leakwatch.example.com")
        self.alerts = Alerts(resend)

    def at(
        self, after: float, leaks: Iterable[Leak] = (), health: Mapping[Target, TargetHealth] | None = None
    ) -> list[Alert]:
        """Return the alerts that are sent `after` seconds after START, with these leaks and this target health."""
        time = START + after
        return self.alerts.update(self.rules.evaluate(leaks, health or {}, time), time)
