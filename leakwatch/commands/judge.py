"""What judges: recordings, and services for a while."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


class Answer(StrEnum):
    """How to print what a recording says."""

    TABLE = "table"
    JSON = "json"


class FailOn(StrEnum):
    """The verdict from which on to fail."""

    SUSPECTED = "suspected"
    LEAKING = "leaking"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch analyze profiles/\n  leakwatch analyze counts.csv --format json\n"
    "  leakwatch analyze monday/ tuesday/ --fail-on leaking\n\n\b\nRecord with:\n"
    "  mkdir -p shop && while sleep 15; do\n"
    "    curl -so shop/$(date +%s).txt 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1'; done"
)
def analyze(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Folders of profiles, profiles, CSV files.")],
    *,
    block: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Scales every window (default: 5m, or what fits).")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Take detection, owners and ignore from this file.")
    ] = None,
    output: Annotated[Answer, typer.Option("--format", help="How to print it.")] = Answer.TABLE,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 if there is such a leak.")] = None,
) -> None:
    """Judge recorded profiles as the daemon would have."""
    from leakwatch import report

    sys.exit(report.run(paths, block, config, as_json=output is Answer.JSON, fail_on=fail_on))
