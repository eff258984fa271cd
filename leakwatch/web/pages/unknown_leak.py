"""The page at the address of a leak that this leakwatch does not have. Pure."""

import json
from dataclasses import dataclass
from typing import Final

from leakwatch.errors import NotFoundError
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.leaks import UnknownLeakError
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.targets import judged_in
from leakwatch.web.pages.filters import duration

KEPT: Final = 86_400.0
"""Seconds for which a recovered leak has a page, so that a leakwatch that has run for longer had the leak."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why there is no page; `query`: the history of the stack in Prometheus, "" if it would not help."""

    detail: str
    query: str = ""


def explanation(error: NotFoundError, view: FleetView, started: float, service: str, stack: str) -> Explanation:
    """Return why there is no leak, which may have had an alert from an earlier process of leakwatch.

    `started`: start of leakwatch by the clock of `view`; `service`, `stack`: from the address.
    """
    uptime = view.now - started
    is_restored = bool(view.pauses.since(0.0))  # then the state is older than this process
    if not isinstance(error, UnknownLeakError) or is_restored or uptime >= KEPT:
        return Explanation(str(error))
    ago = duration(max(uptime, 1.0))
    detail = (
        f"there is no history of leak {stack} of service {service!r}: leakwatch started {ago} ago, without stored"
        f" state. {_first_verdict(view, service)}"
    )
    labels = f"service={json.dumps(service, ensure_ascii=False)}, stack={json.dumps(stack)}"
    return Explanation(detail, f"sum by (target) (leakwatch_stack_goroutines{{{labels}}})")


def _first_verdict(view: FleetView, service: str) -> str:
    """Return when the service can be judged, without a full stop."""
    name = next((name for name in view.pipeline.services if valid_text(name) == service), service)
    times = [judged_in(state) for state in view.states(name)]
    seconds = min((time for time in times if time is not None), default=None)
    if seconds is None:
        return "No target of the service has been scraped since then"
    if not seconds:
        return (
            "The service can be judged now. If the stack still grows, it is on the overview once it is suspected"
        )
    return f"If the stack still grows, the first verdict is possible in {duration(seconds)}"
