"""What judges: recordings, and services for a while."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import check_share, seconds

commands = typer.Typer()


class Answer(StrEnum):
    """How to print what a recording says."""

    TABLE = "table"
    JSON = "json"


class Report(StrEnum):
    """How to print what a check found."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    GITHUB = "github"


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
    from leakwatch.cli.analyze import report

    sys.exit(report.run(paths, block, config, as_json=output is Answer.JSON, fail_on=fail_on))


@commands.command(
    epilog="\b\nExamples:\n  leakwatch check http://127.0.0.1:6060\n"
    "  leakwatch check shop=http://127.0.0.1:6060 cart=http://127.0.0.1:6061 --for 10m\n"
    "  leakwatch check http://canary:6060 --format junit > leaks.xml\n\n"
    "\b\nExit status: 0 no leak, 1 a leak, 2 could not tell.\n"
    "  It takes 24 blocks of 5 scrapes: 2m at --interval 1s. Keep the service under load meanwhile."
)
def check(  # noqa: PLR0913  each is an option
    urls: Annotated[list[str], typer.Argument(metavar="[SERVICE=]URL", help="Services to watch.")],
    *,
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to watch.")] = "2m",
    interval: Annotated[str, typer.Option(metavar="DURATION", help="How often to scrape.")] = "1s",
    block: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Scales every window (default: a 24th of --for).")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Take own_code, owners and ignore from this file.")
    ] = None,
    output: Annotated[Report, typer.Option("--format", help="How to print it.")] = Report.TABLE,
    fail_on: Annotated[FailOn, typer.Option(help="Exit with 1 from this verdict on.")] = FailOn.LEAKING,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for an answer.")] = "10s",
    cost_limit: Annotated[
        float, typer.Option(metavar="SHARE", help="Of one core of a service: scrape less often beyond.")
    ] = 0.05,
) -> None:
    """Watch services for a while and fail if they leak."""
    from leakwatch.cli.check import session as checking

    check_share("--cost-limit", cost_limit)
    wanted = checking.CheckOptions(
        seconds("--for", span),
        seconds("--interval", interval),
        None if block is None else seconds("--block", block),
        seconds("--timeout", timeout),
        cost_limit,
        config,
        output.value,
        fail_on is FailOn.SUSPECTED,
    )
    sys.exit(checking.run(urls, wanted))
