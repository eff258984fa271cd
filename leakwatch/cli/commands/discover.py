"""Command that finds services with net/http/pprof: `discover`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from leakwatch.cli.options import seconds
from leakwatch.errors import UsageError

commands = typer.Typer()

DISCOVERY_TIMEOUT: Final = 30.0  # seconds for the discoverers of a configuration


class DiscoverFormat(StrEnum):
    """Output format of `discover`."""

    TEXT = "text"
    JSON = "json"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch discover\n  leakwatch discover 10.0.0.1 10.0.0.2:8080\n"
    "  kubectl exec shop-0 -c leakwatch -- leakwatch discover\n  leakwatch discover --config leakwatch.yml"
)
def discover(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST[:PORT]]...", help="Default: all listening ports of this host or pod."),
    ] = None,
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Probe the hosts that these scrape_configs discover.")
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Time for one response.")] = "2s",
    output: Annotated[DiscoverFormat, typer.Option("--format", help="Output format.")] = DiscoverFormat.TEXT,
) -> None:
    """Find services that serve net/http/pprof.

    The output ends with the configuration of these services. Each address receives one GET request for
    /debug/pprof/, which is logged. A host without a port is probed at the ports 6060, 8080, 8081, 8082 and 9090.
    With --config, all discovered hosts are probed at these ports and at their declared and annotated ports,
    without credentials. This includes hosts that relabel rules drop. The exit status is 1 if no service is found.
    """
    import asyncio

    from leakwatch.cli import discover as discovery
    from leakwatch.cli.logging import configure

    configure("info")
    wait = seconds("--timeout", timeout)
    probed, watched = _addresses(addresses or [], config)
    found = asyncio.run(discovery.probe_all(probed, wait))
    sys.stdout.write(discovery.to_json(found) if output is DiscoverFormat.JSON else discovery.text(found, watched))
    if not any(each.finding == "pprof" for each in found):
        raise typer.Exit(1)


def _addresses(given: list[str], config: Path | None) -> tuple[list[str], set[str]]:
    """Return the addresses to probe, and which of them are targets already; raises ConfigError."""
    import asyncio

    from leakwatch.cli.configured_ports import configured_addresses
    from leakwatch.cli.discover import given_addresses, local_addresses
    from leakwatch.cli.terminal import print_message
    from leakwatch.config import load
    from leakwatch.scrape.local_sockets import listening_sockets

    if config is None:
        return given_addresses(given) if given else local_addresses(listening_sockets()), set()
    if given:
        raise UsageError("--config cannot be combined with addresses")
    configured = asyncio.run(configured_addresses(load(config).jobs(), DISCOVERY_TIMEOUT))
    for problem in configured.problems:
        print_message(problem)
    return configured.addresses, configured.watched
