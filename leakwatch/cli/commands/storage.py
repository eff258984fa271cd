"""Commands for the stored state."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()
storage = typer.Typer(help="Show, export and import the stored state.", no_args_is_help=True)
commands.add_typer(storage, name="storage")

State = Annotated[Path, typer.Argument(metavar="PATH", help="Folder of --storage.path, or a database.")]


class InfoFormat(StrEnum):
    """Output format of `storage info`."""

    TABLE = "table"
    JSON = "json"


@storage.command(
    epilog="\b\nExamples:\n  leakwatch storage info /var/lib/leakwatch\n"
    "  leakwatch storage info /var/lib/leakwatch --format json"
)
def info(
    path: State,
    *,
    output: Annotated[InfoFormat, typer.Option("--format", help="Output format.")] = InfoFormat.TABLE,
) -> None:
    """Print a summary of the stored state, even while a daemon runs."""
    from leakwatch.cli import storage_info
    from leakwatch.storage import transfer

    summary = transfer.summarize(transfer.database_path(path))
    evidence = storage_info.evidence_beside(summary.path)
    as_text = storage_info.to_json if output is InfoFormat.JSON else storage_info.text
    sys.stdout.write(as_text(summary, evidence))
    for service in summary.services:
        storage_info.warn(service)


@storage.command(
    epilog="\b\nExamples:\n  leakwatch storage export /var/lib/leakwatch backup.db\n"
    "  leakwatch storage export /var/lib/leakwatch shop.db --service 'shop*' --service cart"
)
def export(
    path: State,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")],
    *,
    service: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only these services; repeatable.")
    ] = None,
) -> None:
    """Write a consistent copy to a file, even while a daemon runs."""
    from leakwatch.settings.units import format_size
    from leakwatch.storage import transfer

    names = transfer.export(transfer.database_path(path), file, service or ())
    number = "1 service" if len(names) == 1 else f"{len(names)} services"
    typer.echo(f"{file}: {number}, {format_size(file.stat().st_size)}")


@storage.command("import", epilog="\b\nExamples:\n  leakwatch storage import /var/lib/leakwatch backup.db")
def import_(
    path: State,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `storage export`, or a database.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also replace services that were saved later.")
    ] = False,
) -> None:
    """Copy the services of a file into a folder that no daemon uses.

    If both have a state of a service, the state that was saved later is kept.
    """
    from leakwatch.cli.storage_info import imported_lines
    from leakwatch.clock import Clock
    from leakwatch.storage import transfer
    from leakwatch.storage.database import FILE

    target = path if path.is_file() else path / FILE
    imported = transfer.import_services(target, transfer.database_path(file), Clock().time(), replace=replace)
    for line in imported_lines(imported):
        typer.echo(line)
