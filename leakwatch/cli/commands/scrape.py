"""A look at profiles."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from leakwatch.cli.options import check_positive, check_share, seconds
from leakwatch.errors import UsageError
from leakwatch.profile.grouping import By

commands = typer.Typer()


class Sort(StrEnum):
    """What comes first in a live table."""

    GROWTH = "growth"
    COUNT = "count"


class Changes(StrEnum):
    """How to print a difference."""

    TEXT = "text"
    JSON = "json"
    FOLDED = "folded"


class Format(StrEnum):
    """How to print one look."""

    TABLE = "table"
    JSON = "json"
    FOLDED = "folded"
    PPROF = "pprof"


FullDump = Annotated[
    bool, typer.Option("--full-dump", help="Ask for debug=2: how long each waits, created by whom.")
]
FullDumpLimit = Annotated[
    int, typer.Option(help="With --full-dump: the most goroutines; the service stands still.")
]
CostLimit = Annotated[
    float, typer.Option(metavar="SHARE", help="With --watch: of one core of the service, at most.")
]


@commands.command(
    epilog="\b\nExamples:\n  leakwatch scrape http://127.0.0.1:6060 --by site\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1' | leakwatch scrape -\n"
    "  leakwatch scrape http://127.0.0.1:6060 --format folded | flamegraph.pl > goroutines.svg\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=2' > dump.txt; leakwatch scrape dump.txt\n"
    "  leakwatch scrape http://127.0.0.1:6060 --full-dump\n"
    "  leakwatch scrape http://127.0.0.1:6060 --watch --sort count\n"
    "  leakwatch scrape old.txt --format pprof > old.pb.gz; go tool pprof -top old.pb.gz"
)
def scrape(  # noqa: PLR0913  each is an option
    source: Annotated[str, typer.Argument(metavar="URL|FILE", help="A service, a saved body, or - for stdin.")],
    *,
    by: Annotated[By, typer.Option(help="What to group by.")] = By.STACK,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a service.")] = 10.0,
    limit: Annotated[int, typer.Option(help="Rows of the table; 0 for all.")] = 30,
    full_dump: FullDump = False,
    full_dump_limit: FullDumpLimit = 1000,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="With --watch: how often.")] = "1s",
    span: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="With --watch: how long.")] = None,
    sort: Annotated[Sort, typer.Option(help="With --watch: what comes first.")] = Sort.GROWTH,
    cost_limit: CostLimit = 0.05,
) -> None:
    """Take one look at a service, a saved profile or a dump."""
    check_positive("--timeout", timeout)
    _check_limit(limit)
    if watch:
        if full_dump:
            raise UsageError("--full-dump goes without --watch: it is too dear to take often")
        if output is not Format.TABLE or by is not By.STACK:
            raise UsageError("--watch shows a table of stacks: it goes with neither --by nor --format")
        _watch(source, span, interval, timeout, cost_limit, limit, sort)
        return
    if span is not None:
        raise UsageError("--for goes with --watch")
    from leakwatch.cli import scrape_once as show

    if full_dump and not show.is_service(source):
        raise UsageError("--full-dump takes the URL of a service; a saved dump needs no option")
    profile = show.read(source, timeout, full_dump_limit if full_dump else None)
    if output is Format.PPROF and sys.stdout.isatty():
        raise UsageError("pprof format is binary: redirect it to a file")
    sys.stdout.buffer.write(show.render(profile, by, output.value, limit))
    sys.stdout.buffer.flush()


def _watch(
    source: str, span: str | None, interval: str, timeout: float, cost_limit: float, limit: int, sort: Sort
) -> None:
    """Show a live table; raises UsageError."""
    from leakwatch.cli import scrape_once as show
    from leakwatch.cli import scrape_watch as top

    if not show.is_service(source):
        raise UsageError("--watch takes the URL of a service")
    check_share("--cost-limit", cost_limit)
    lasting = None if span is None else seconds("--for", span)
    every = seconds("--interval", interval)
    top.run(source, top.TableOptions(lasting, every, timeout, cost_limit, limit, sort is Sort.COUNT))


@commands.command(
    epilog="\b\nExamples:\n  leakwatch diff old.txt new.txt\n"
    "  leakwatch diff yesterday.pb.gz http://127.0.0.1:6060 --by site\n"
    "  leakwatch diff shop/10.0.0.1/    # of a folder of profiles the first and the last\n"
    "  leakwatch diff old.txt new.txt --format folded | flamegraph.pl > grown.svg"
)
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A service, a saved body, a folder of them, or -.")],
    new: Annotated[str | None, typer.Argument(metavar="NEW", help="Another; or none after a folder.")] = None,
    *,
    by: Annotated[By, typer.Option(help="What to group by.")] = By.STACK,
    output: Annotated[Changes, typer.Option("--format", help="How to print it.")] = Changes.TEXT,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a service.")] = 10.0,
    limit: Annotated[int, typer.Option(help="Rows of the text; 0 for all.")] = 30,
) -> None:
    """Say what grew between two profiles of a service."""
    from leakwatch.cli import diff as difference

    check_positive("--timeout", timeout)
    _check_limit(limit)
    difference.run((old, new), by, output.value, limit, timeout)


def _check_limit(limit: int) -> None:
    if limit < 0:
        raise UsageError(f"--limit {limit}: must be 0 or more")
