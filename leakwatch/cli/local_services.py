"""Finds the services of this host or pod for `leakwatch run` without a target: one GET per listening port."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from leakwatch.cli.discover import DiscoveredAddress, local_addresses, probe_all
from leakwatch.errors import UsageError
from leakwatch.scrape.local_sockets import ListeningSocket

log = structlog.get_logger()

PATIENCE = 30.0  # seconds; a native sidecar starts before the service
PAUSE = 1.0  # seconds between two reads of the sockets
TIMEOUT = 2.0  # seconds of a request
ADVICE = "use --target URL or --config FILE"

Sockets = Callable[[], Iterable[ListeningSocket]]


async def local_targets(own_port: int, sockets: Sockets, patience: float = PATIENCE) -> list[str]:
    """Return the URLs of the services with pprof at listening ports, other than leakwatch's own port.

    Until a service is found, new ports are probed for up to `patience` seconds; no port is probed twice.
    Raises UsageError if no service is found.
    """
    clock, found, probed = asyncio.get_running_loop(), list[DiscoveredAddress](), {own_port}
    end = clock.time() + patience
    log.info("probing the listening ports for services with pprof", seconds=patience)
    while True:
        addresses = local_addresses(socket for socket in sockets() if socket.port not in probed)
        probed |= {int(address.rpartition(":")[2]) for address in addresses}
        found += await probe_all(addresses, TIMEOUT)
        urls = [f"{each.scheme}://{each.address}" for each in found if each.finding == "pprof"]
        if urls:
            log.info("services found", targets=urls)
            return urls
        if clock.time() >= end:
            raise UsageError(_reason(found))
        await asyncio.sleep(PAUSE)


def _reason(found: Iterable[DiscoveredAddress]) -> str:
    results = [f"{each.address}: {each.finding if each.finding != 'none' else each.detail}" for each in found]
    if not results:
        return f"nothing to watch: no process listens on a port of this host or pod: {ADVICE}"
    return f"nothing to watch: no listening port serves net/http/pprof ({'; '.join(results)}): {ADVICE}"
