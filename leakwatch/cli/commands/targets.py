"""Command that lists the discovered targets: `targets`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import seconds

commands = typer.Typer()


class TargetsFormat(StrEnum):
    """Output format of `targets`."""

    TEXT = "text"
    JSON = "json"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch targets --config leakwatch.yml\n"
    "  leakwatch targets --config leakwatch.yml --format json | jq '.[] | select(.status == \"dropped\")'"
)
def targets(
    *,
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")],
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Time to wait for discovery.")] = "30s",
    output: Annotated[TargetsFormat, typer.Option("--format", help="Output format.")] = TargetsFormat.TEXT,
) -> None:
    """List discovered targets and dropped addresses.

    Nothing is scraped. The exit status is 1 if a discoverer fails or does not answer in time.
    """
    import asyncio

    from leakwatch.cli import targets as listing
    from leakwatch.cli.logging import configure
    from leakwatch.cli.terminal import print_message
    from leakwatch.config import load

    configure("error")
    jobs = load(config).jobs()
    listed = asyncio.run(listing.discover(jobs, seconds("--timeout", timeout)))
    sys.stdout.write(listing.to_json(listed) if output is TargetsFormat.JSON else listing.text(listed))
    for problem in listed.problems:
        print_message(problem)
    if listed.problems:
        raise typer.Exit(1)
