"""From target groups to what is scraped: labels become a target and its URL."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx
import structlog

from leakwatch.discovery import TargetGroup
from leakwatch.model import Target

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a target's profile is; `socket` is the path of a unix socket, if it is behind one."""

    target: Target
    url: httpx.URL
    socket: str | None = None


def resolve(groups: Iterable[TargetGroup], *, job: str, scheme: str, path: str) -> list[Endpoint]:
    """Return the endpoints of `groups`; one that makes no URL is left out and said.

    The labels `__scheme__` and `__profile_path__` go before the job's own; `service` defaults to the job's name.
    """
    found = []
    for group in groups:
        for address in group.targets:
            try:
                found.append(endpoint(address, group.labels, job=job, scheme=scheme, path=path))
            except (httpx.InvalidURL, UnicodeError) as error:
                log.error("target left out: its address makes no URL", job=job, target=address, error=str(error))  # noqa: TRY400  a traceback says less
    return found


def endpoint(address: str, labels: Mapping[str, str], *, job: str, scheme: str, path: str) -> Endpoint:
    """Return the endpoint of one address; raises httpx.InvalidURL and UnicodeError."""
    shown = {name: value for name, value in labels.items() if not name.startswith("__")}
    target = Target(shown.get("service") or job, address, shown)
    scheme = labels.get("__scheme__", scheme)
    path = labels.get("__profile_path__", path).rstrip("/")
    socket = address.removeprefix("unix://") if address.startswith("unix://") else None
    host = "localhost" if socket else address
    url = httpx.URL(f"{scheme}://{host}{path}/goroutine", params={"debug": "1"})
    if not url.host:  # asked here, because an international name is only decoded when it is asked for
        raise httpx.InvalidURL("no host")
    return Endpoint(target, url, socket)
