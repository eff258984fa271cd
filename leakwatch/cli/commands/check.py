"""Commands that judge: `analyze` for recordings, `check` for running services."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import OwnCode, check_share, errors_exit_with_2, seconds
from leakwatch.errors import UsageError

commands = typer.Typer()


Against = Annotated[
    str | None,
    typer.Option(metavar="[SERVICE=]URL", help="Baseline: fail only if a stack grows more than on it."),
]


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
    MARKDOWN = "markdown"


Block = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Length of a block (default: a 24th of --for).")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file: own_code, series_limit, owners, ignore, causes."),
]
Format = Annotated[
    CheckFormat | None, typer.Option("--format", help="Format of standard output (default: table).")
]
CostLimit = Annotated[
    float, typer.Option(metavar="SHARE", help="Share of one core of a service that scrapes may take.")
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT[=FILE]",
        help="Write this format to standard output or to a file; repeatable; replaces --format.",
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="End the check at the first leak.")]
FullDump = Annotated[
    bool,
    typer.Option(
        "--full-dump/--no-full-dump", help="If a target leaks, fetch one full dump, which shows the creators."
    ),
]
FullDumpLimit = Annotated[
    int,
    typer.Option(metavar="N", help="Largest number of goroutines for a full dump; the service stops meanwhile."),
]


class FailOn(StrEnum):
    """The lowest verdict that fails."""

    SUSPECTED = "suspected"
    LEAKING = "leaking"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch analyze profiles/\n  leakwatch analyze counts.csv --format json\n"
    "  leakwatch analyze monday/ tuesday/ --fail-on leaking\n\n\b\nRecord with:\n"
    "  mkdir -p shop && while sleep 15; do\n"
    "    curl -so shop/$(date +%s).txt 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1'; done\n\n"
    "\b\nExit status: 0 a target was judged, 1 a leak with --fail-on, 2 nothing could be judged."
)
def analyze(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Folders, archives, profiles, logs, CSV files.")
    ],
    *,
    block: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Length of a block (default: 5m, or less for short recordings)."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file, for detection, owners and ignore.")
    ] = None,
    output: Annotated[AnalyzeFormat, typer.Option("--format", help="Output format.")] = AnalyzeFormat.TABLE,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 at this verdict or a higher one.")] = None,
) -> None:
    """Judge recorded profiles as the daemon does."""
    from leakwatch.cli.analyze.report import run

    sys.exit(run(paths, block, config, as_json=output is AnalyzeFormat.JSON, fail_on=fail_on))


@commands.command(
    epilog="\b\nExamples:\n  leakwatch check http://127.0.0.1:6060\n"
    "  leakwatch check shop=http://127.0.0.1:6060 cart=http://127.0.0.1:6061 --for 10m\n"
    "  leakwatch check http://canary:6060 --output junit=leaks.xml --output json=leaks.json\n"
    "  leakwatch check http://127.0.0.1:6060 --for 30s --interval 250ms\n"
    "  leakwatch check http://127.0.0.1:6060 --for 10m --fail-fast --output github\n"
    "  leakwatch check canary=http://canary:6060 --against stable=http://stable:6060 --for 10m\n\n"
    "\b\nExit status: 0 no leak, 1 a leak, 2 no result, such as a target that was not judged.\n"
    "  With --against: 0 no regression, 1 a stack grows more than on the baseline, 2 as above, or no baseline.\n"
    "  A check needs 24 blocks of 5 scrapes: 2m at --interval 1s. Keep the service under load meanwhile."
)
def check(  # noqa: PLR0913  each is an option
    urls: Annotated[list[str], typer.Argument(metavar="[SERVICE=]URL", help="Services to check.")],
    *,
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="Duration of the check.")] = "2m",
    interval: Annotated[str, typer.Option(metavar="DURATION", help="Interval between scrapes.")] = "1s",
    block: Block = None,
    config: ConfigFile = None,
    output: Format = None,
    outputs: Outputs = None,
    fail_on: Annotated[FailOn, typer.Option(help="Exit with 1 at this verdict or a higher one.")] = FailOn.LEAKING,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Timeout of a scrape.")] = "10s",
    cost_limit: CostLimit = 0.05,
    own_code: OwnCode = None,
    against: Against = None,
    fail_fast: FailFast = False,
    full_dump: FullDump = True,
    full_dump_limit: FullDumpLimit = 1000,
) -> None:
    """Scrape services for a limited time, and report leaks."""
    from leakwatch.cli.check.outputs import choose_outputs
    from leakwatch.cli.check.session import CheckOptions, run

    check_share("--cost-limit", cost_limit)
    _check_combination(fail_fast=fail_fast, is_comparison=against is not None, full_dump_limit=full_dump_limit)
    options = CheckOptions(
        span=seconds("--for", span),
        interval=seconds("--interval", interval),
        block=None if block is None else seconds("--block", block),
        timeout=seconds("--timeout", timeout),
        cost_limit=cost_limit,
        config=config,
        outputs=choose_outputs(output.value if output else None, outputs or (), os.environ),
        strict=fail_on is FailOn.SUSPECTED,
        own_code=tuple(own_code or ()),
        against=against,
        fail_fast=fail_fast,
        dump_limit=full_dump_limit if full_dump else None,
    )
    with errors_exit_with_2():
        sys.exit(run(urls, options))


def _check_combination(*, fail_fast: bool, is_comparison: bool, full_dump_limit: int) -> None:
    """Raise UsageError if the options are invalid."""
    if fail_fast and is_comparison:
        raise UsageError("--fail-fast cannot be combined with --against: a comparison needs the whole time")
    if full_dump_limit < 0:
        raise UsageError(f"--full-dump-limit {full_dump_limit}: must be 0 or more")
