"""Commands that judge: `analyze` for recordings, `check` for running services."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import OwnCode, check_share, seconds

commands = typer.Typer()


class AnalyzeFormat(StrEnum):
    """Output format of `analyze`."""

    TABLE = "table"
    JSON = "json"


class CheckFormat(StrEnum):
    """Output format of `check`."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    GITHUB = "github"


class FailOn(StrEnum):
    """The lowest verdict that fails."""

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
        str | None, typer.Option(metavar="DURATION", help="Unit of all windows (default: 5m, or what fits).")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="File with detection, owners and ignore.")
    ] = None,
    output: Annotated[AnalyzeFormat, typer.Option("--format", help="Output format.")] = AnalyzeFormat.TABLE,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 from this verdict on.")] = None,
) -> None:
    """Judge recorded profiles as the daemon does."""
    from leakwatch.cli.analyze.report import run

    sys.exit(run(paths, block, config, as_json=output is AnalyzeFormat.JSON, fail_on=fail_on))


@commands.command(
    epilog="\b\nExamples:\n  leakwatch check http://127.0.0.1:6060\n"
    "  leakwatch check shop=http://127.0.0.1:6060 cart=http://127.0.0.1:6061 --for 10m\n"
    "  leakwatch check http://canary:6060 --format junit > leaks.xml\n\n"
    "\b\nExit status: 0 no leak, 1 a leak, 2 a target was not judged.\n"
    "  A check needs 24 blocks of 5 scrapes: 2m at --interval 1s. Keep the service under load meanwhile."
)
def check(  # noqa: PLR0913  each is an option
    urls: Annotated[list[str], typer.Argument(metavar="[SERVICE=]URL", help="Services to check.")],
    *,
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="Duration of the check.")] = "2m",
    interval: Annotated[str, typer.Option(metavar="DURATION", help="Interval between scrapes.")] = "1s",
    block: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Unit of all windows (default: a 24th of --for).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="File with own_code, series_limit, owners, ignore and causes."),
    ] = None,
    output: Annotated[CheckFormat, typer.Option("--format", help="Output format.")] = CheckFormat.TABLE,
    fail_on: Annotated[FailOn, typer.Option(help="Exit with 1 from this verdict on.")] = FailOn.LEAKING,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Timeout of a scrape.")] = "10s",
    cost_limit: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of one core of a service that scrapes may take.")
    ] = 0.05,
    own_code: OwnCode = None,
) -> None:
    """Check for some minutes whether services leak."""
    from leakwatch.cli.check.session import CheckOptions, run

    check_share("--cost-limit", cost_limit)
    options = CheckOptions(
        span=seconds("--for", span),
        interval=seconds("--interval", interval),
        block=None if block is None else seconds("--block", block),
        timeout=seconds("--timeout", timeout),
        cost_limit=cost_limit,
        config=config,
        output=output.value,
        strict=fail_on is FailOn.SUSPECTED,
        own_code=tuple(own_code or ()),
    )
    sys.exit(run(urls, options))
