"""A look at profiles."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from leakwatch.commands import check_positive
from leakwatch.errors import UsageError
from leakwatch.look import By

commands = typer.Typer()


class Format(StrEnum):
    """How to print one look."""

    TABLE = "table"
    JSON = "json"
    FOLDED = "folded"
    PPROF = "pprof"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch scrape http://127.0.0.1:6060 --by site\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1' | leakwatch scrape -\n"
    "  leakwatch scrape http://127.0.0.1:6060 --format folded | flamegraph.pl > goroutines.svg\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=2' > dump.txt; leakwatch scrape dump.txt\n"
    "  leakwatch scrape old.txt --format pprof > old.pb.gz; go tool pprof -top old.pb.gz"
)
def scrape(
    source: Annotated[str, typer.Argument(metavar="URL|FILE", help="A service, a saved body, or - for stdin.")],
    *,
    by: Annotated[By, typer.Option(help="What to group by.")] = By.STACK,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a service.")] = 10.0,
    limit: Annotated[int, typer.Option(help="Rows of the table; 0 for all.")] = 30,
) -> None:
    """Take one look at a service, a saved profile or a dump."""
    from leakwatch import show

    check_positive("--timeout", timeout)
    if limit < 0:
        raise UsageError(f"--limit {limit}: must be 0 or more")
    profile = show.read(source, timeout)
    if output is Format.PPROF and sys.stdout.isatty():
        raise UsageError("pprof format is binary: redirect it to a file")
    sys.stdout.buffer.write(show.render(profile, by, output.value, limit))
    sys.stdout.buffer.flush()
