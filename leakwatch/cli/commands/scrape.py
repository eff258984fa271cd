"""Commands that print profiles: `scrape` and `diff`."""

import contextlib
import sys
from enum import StrEnum
from typing import Annotated

import typer

from leakwatch.cli.options import OwnCode, check_share, errors_exit_with_2, seconds
from leakwatch.errors import UsageError
from leakwatch.profile.grouping import GroupBy

commands = typer.Typer()


class TableOrder(StrEnum):
    """Order of the rows of a live table."""

    GROWTH = "growth"
    COUNT = "count"


class DiffFormat(StrEnum):
    """Output format of `diff`."""

    TEXT = "text"
    JSON = "json"
    FOLDED = "folded"


class ScrapeFormat(StrEnum):
    """Output format of `scrape`."""

    TABLE = "table"
    JSON = "json"
    FOLDED = "folded"
    PPROF = "pprof"


Timeout = Annotated[str, typer.Option(metavar="DURATION", help="Time to wait for a service.")]
FullDump = Annotated[
    bool, typer.Option("--full-dump", help="Fetch a full dump (debug=2), which has wait times and creators.")
]
FullDumpLimit = Annotated[
    int, typer.Option(help="With --full-dump: largest number of goroutines; the service stops meanwhile.")
]
WhichDump = Annotated[str, typer.Option(metavar="N|all|last", help="Dump to print, if a file has several.")]
Span = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="With --watch: duration.")]
CostLimit = Annotated[
    float,
    typer.Option(metavar="SHARE", help="With --watch: share of a core of the service that scrapes may take."),
]


@commands.command(
    epilog="\b\nExamples:\n  leakwatch scrape http://127.0.0.1:6060 --by site\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1' | leakwatch scrape -\n"
    "  leakwatch scrape http://127.0.0.1:6060 --format folded | flamegraph.pl > goroutines.svg\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=2' > dump.txt; leakwatch scrape dump.txt\n"
    "  journalctl -u shop | leakwatch scrape -    # the last dump in a log; --dump all shows each\n"
    "  leakwatch scrape http://127.0.0.1:6060 --full-dump\n"
    "  leakwatch scrape http://127.0.0.1:6060 --watch --sort count\n"
    "  leakwatch scrape old.txt --format pprof > old.pb.gz; go tool pprof -top old.pb.gz"
)
def scrape(  # noqa: PLR0913  each is an option
    source: Annotated[
        str, typer.Argument(metavar="URL|FILE", help="Service, saved profile, dump or log, or - for stdin.")
    ],
    *,
    by: Annotated[GroupBy, typer.Option(help="Grouping of the stacks.")] = GroupBy.STACK,
    output: Annotated[ScrapeFormat, typer.Option("--format", help="Output format.")] = ScrapeFormat.TABLE,
    timeout: Timeout = "10s",
    limit: Annotated[int, typer.Option(help="Rows of the table; 0 for all.")] = 30,
    own_code: OwnCode = None,
    dump: WhichDump = "last",
    full_dump: FullDump = False,
    full_dump_limit: FullDumpLimit = 1000,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Scrape repeatedly, until Ctrl-C.")] = False,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="With --watch: interval.")] = "1s",
    span: Span = None,
    sort: Annotated[TableOrder, typer.Option(help="With --watch: order of the rows.")] = TableOrder.GROWTH,
    cost_limit: CostLimit = 0.05,
) -> None:
    """Print the stacks of a service, or of a dump or log."""
    patience = seconds("--timeout", timeout)
    _check_limit(limit)
    if watch:
        _check_watch(full_dump=full_dump, is_table=output is ScrapeFormat.TABLE and by is GroupBy.STACK)
        _watch(source, span, interval, patience, cost_limit, limit, sort)
        return
    if span is not None:
        raise UsageError("--for needs --watch")
    from leakwatch.cli.scrape_once import ScrapeOptions, printed
    from leakwatch.cli.sources import is_service, load

    if full_dump and not is_service(source):
        raise UsageError("--full-dump needs the URL of a service; a saved dump does not need this option")
    if output is ScrapeFormat.PPROF and sys.stdout.isatty():
        raise UsageError("pprof format is binary: redirect it to a file")
    file = load(source, patience, full_dump_limit if full_dump else None)
    options = ScrapeOptions(by=by, output=output.value, limit=limit, own_code=tuple(own_code or ()))
    sys.stdout.buffer.write(printed(source, file, dump, options))
    sys.stdout.buffer.flush()


def _check_watch(*, full_dump: bool, is_table: bool) -> None:
    if full_dump:
        raise UsageError("--full-dump cannot be combined with --watch: a full dump is too expensive to repeat")
    if not is_table:
        raise UsageError("--watch shows a table of stacks: it cannot be combined with --by or --format")


def _watch(
    source: str, span: str | None, interval: str, timeout: float, cost_limit: float, limit: int, sort: TableOrder
) -> None:
    """Show a live table; raises UsageError."""
    from leakwatch.cli.scrape_watch import TableOptions, run
    from leakwatch.cli.sources import is_service

    if not is_service(source):
        raise UsageError("--watch needs the URL of a service")
    check_share("--cost-limit", cost_limit)
    options = TableOptions(
        span=None if span is None else seconds("--for", span),
        interval=seconds("--interval", interval),
        timeout=timeout,
        cost_limit=cost_limit,
        rows=limit,
        by_count=sort is TableOrder.COUNT,
    )
    run(source, options)


@commands.command(
    epilog="\b\nExamples:\n  leakwatch diff old.txt new.txt\n"
    "  leakwatch diff yesterday.pb.gz http://127.0.0.1:6060 --by site\n"
    "  leakwatch diff shop/10.0.0.1/    # the first and the last profile in a folder\n"
    "  leakwatch diff vault-debug.tar.gz    # or in an archive, or in a file with several dumps\n"
    "  leakwatch diff old.txt new.txt --format folded | flamegraph.pl > grown.svg\n"
    "  leakwatch diff before.txt after.txt --fail-over 20\n\n"
    "\b\nExit status with --fail-over: 0 nothing grew by more, 1 a stack did, 2 a profile could not be read."
)
def diff(  # noqa: PLR0913  each is an option
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD", help="Service, saved profile, dump or log, folder, archive, or - for stdin."
        ),
    ],
    new: Annotated[
        str | None,
        typer.Argument(metavar="NEW", help="Like OLD; not needed if OLD has several profiles."),
    ] = None,
    *,
    by: Annotated[GroupBy, typer.Option(help="Grouping of the stacks.")] = GroupBy.STACK,
    output: Annotated[DiffFormat, typer.Option("--format", help="Output format.")] = DiffFormat.TEXT,
    timeout: Timeout = "10s",
    limit: Annotated[int, typer.Option(help="Rows of the text; 0 for all.")] = 30,
    own_code: OwnCode = None,
    fail_over: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Exit with 1 if a stack (or group of --by) grew by more than N goroutines."
        ),
    ] = None,
) -> None:
    """Print the changes between two profiles of a service."""
    from leakwatch.cli.diff import DiffOptions, run

    _check_limit(limit)
    if fail_over is not None and fail_over < 0:
        raise UsageError(f"--fail-over {fail_over}: must be 0 or more")
    options = DiffOptions(
        by=by,
        output=output.value,
        limit=limit,
        timeout=seconds("--timeout", timeout),
        own_code=tuple(own_code or ()),
        fail_over=fail_over,
    )
    with errors_exit_with_2() if fail_over is not None else contextlib.nullcontext():
        sys.exit(run((old, new), options))


def _check_limit(limit: int) -> None:
    if limit < 0:
        raise UsageError(f"--limit {limit}: must be 0 or more")
