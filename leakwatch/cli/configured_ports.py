"""Ports of the hosts that the discoverers of a configuration find, for `leakwatch discover --config`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from leakwatch.cli.discover import WELL_KNOWN_PORTS, with_ports
from leakwatch.cli.targets import ListedAddress, discover
from leakwatch.discovery.target_builder import PORTS
from leakwatch.discovery.target_group import HOST
from leakwatch.scrape.config import ScrapeJob

ANNOTATION: Final = re.compile(r"__meta_kubernetes_[a-z]+_annotation_(?:\w*_)?port")
"""Label of an annotation with a port, such as that of leakwatch.io/port or prometheus.io/port."""
LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class ConfiguredAddresses:
    """host:port to probe, which of them are targets already, and a message per discoverer without a result."""

    addresses: list[str]
    watched: set[str]
    problems: list[str]


async def configured_addresses(
    jobs: Sequence[ScrapeJob],
    timeout: float,  # noqa: ASYNC109  the discoverers return the results so far when it ends
) -> ConfiguredAddresses:
    """Return the declared, annotated and well-known ports of each host that the discoverers of `jobs` find.

    Relabel rules do not apply, because the hosts that they drop may have services that nothing watches. `timeout`:
    seconds that discovery may take.
    """
    listing = await discover(jobs, timeout)
    rows = [row for rows in listing.jobs.values() for row in rows]
    watched = [address for row in rows if (address := _target_address(row))]
    found = [address for row in rows for address in _addresses(row)]
    return ConfiguredAddresses(list(dict.fromkeys([*watched, *found])), set(watched), listing.problems)


def _target_address(row: ListedAddress) -> str:
    """Return host:port of a target, "" if the row is none or has a unix socket."""
    if row.endpoint is None or row.endpoint.socket is not None:
        return ""
    url = row.endpoint.url
    host = url.netloc.decode("ascii").removesuffix(f":{url.port}")
    return f"{host}:{url.port or PORTS[url.scheme]}"


def _addresses(row: ListedAddress) -> Iterator[str]:
    """Yield host:port of a discovered address: the port in it, then annotated and well-known ones."""
    match = HOST.fullmatch(row.labels["__address__"])
    if match is None:
        return
    host = match[0].removesuffix(f":{match[1]}") if match[1] else match[0]
    declared = [match[1]] if match[1] else []
    annotated = [value for name, value in row.labels.items() if ANNOTATION.fullmatch(name) and value.isdigit()]
    ports = [*map(int, [*declared, *annotated]), *WELL_KNOWN_PORTS]
    yield from with_ports(host, [port for port in ports if 0 < port <= LARGEST_PORT])
