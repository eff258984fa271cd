"""Addresses in alerts: the page of a leak, the docs about it, and the dashboard of its service. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from leakwatch.leaks.labels import leak_url
from leakwatch.leaks.model import Leak

ANCHORS: Final = {
    "chan send": "chan-send",
    "chan receive": "chan-receive",
    "select": "select",
    "IO wait": "io-wait",
    "sync.Mutex.Lock": "locks",
    "sync.RWMutex.Lock": "locks",
    "sync.RWMutex.RLock": "locks",
    "semacquire": "locks",
    "sync.WaitGroup.Wait": "waitgroup",
    "sync.Cond.Wait": "cond",
    "sleep": "tickers-and-loops",
}
"""Wait reason -> section of docs/fixing.md. The alert rules derive the same sections."""
ALL_WAITS: Final = "what-a-wait-reason-means"
TARGET_DOWN: Final = "docs/troubleshooting#a-target-is-down"
SERVICE: Final = "{service}"
"""The field of the template of a dashboard's URL."""


def wait_help(wait: str) -> str:
    """Return the path of the docs about a wait reason."""
    return f"docs/fixing#{ANCHORS.get(wait, ALL_WAITS)}"


def leak_help(leak: Leak) -> str:
    """Return the path of the docs about the likely cause of a leak, else about its wait reason."""
    return leak.cause.docs if leak.cause and leak.cause.docs else wait_help(leak.stack.wait)


@dataclass(frozen=True, slots=True)
class AlertLinks:
    """The addresses that alerts link to.

    `url`: of leakwatch's first page; `dashboard`: template of the URL of a dashboard with the field {service}, ""
    if it is not configured.
    """

    url: str = ""
    dashboard: str = ""

    def first_page(self) -> str:
        """Return the URL of the first page, with a slash at its end."""
        return f"{self.url.rstrip('/')}/"

    def page(self, leak: Leak) -> str:
        """Return the URL of the page of a leak."""
        return leak_url(self.url, leak)

    def docs(self, path: str) -> str:
        """Return the URL of a page of the docs."""
        return self.first_page() + path

    def dashboard_of(self, service: str) -> str:
        """Return the URL of the dashboard of a service, "" if it is not configured."""
        return self.dashboard.replace(SERVICE, quote(service, safe="", errors="replace"))
