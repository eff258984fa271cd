"""Commands for the catalogue of likely causes."""

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()
causes = typer.Typer(help="Show and test the catalogue of likely causes.", no_args_is_help=True)
commands.add_typer(causes, name="causes")

Added = Annotated[
    list[Path] | None, typer.Option("--file", metavar="FILE", help="Add the causes of this file; repeatable.")
]


@causes.command("list", epilog="\b\nExamples:\n  leakwatch causes list\n  leakwatch causes list --file own.yml")
def list_causes(*, file: Added = None) -> None:
    """Print the id and the title of each cause."""
    from leakwatch.causes.catalogue import read
    from leakwatch.cli.cause_text import table

    typer.echo(table(read(file or ()).causes), nl=False)


@causes.command(epilog="\b\nExamples:\n  leakwatch causes show grpc-client-connection")
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="The id of a cause.")], *, file: Added = None
) -> None:
    """Print one cause with its rules and its fix."""
    from leakwatch.causes.catalogue import read
    from leakwatch.cli.cause_text import described, find

    typer.echo(described(find(read(file or ()), name)), nl=False)


@causes.command(
    "test",
    epilog="\b\nExamples:\n  leakwatch causes test own.yml goroutines.txt\n"
    "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1' | leakwatch causes test own.yml -",
)
def run_test(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of causes.")],
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="Saved profile or URL, or - for stdin.")],
    *,
    least: Annotated[int, typer.Option(min=1, help="Smallest number of goroutines of a stack.")] = 1,
) -> None:
    """Print the stacks that the causes of a file match.

    Other causes that match the same stacks are printed too. The exit status is 1 if no cause of the file matches.
    """
    from leakwatch.cli.cause_text import tested
    from leakwatch.cli.sources import read

    text, has_match = tested(file, read(profile, timeout=10.0), least)
    typer.echo(text, nl=False)
    raise typer.Exit(0 if has_match else 1)
