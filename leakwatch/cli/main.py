"""Entry point of the command line. Commands import their modules when they run, which keeps the daemon small."""

import contextlib
import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from leakwatch import __version__
from leakwatch.cli.commands import causes, check, config, discover, run, scrape, storage, targets, testing
from leakwatch.cli.terminal import print_message
from leakwatch.errors import LeakwatchError, UsageError


class _Group(TyperGroup):
    """The commands, with messages about invalid values as in the rest of leakwatch."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; raises BadParameter."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = re.sub("^Input should be", "must be", error.message.removeprefix("Value error, "))
            raise


app = typer.Typer(
    name="leakwatch",
    cls=_Group,
    help="Detects goroutine leaks in Go services, and reports where they are.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (run, scrape, check, testing, discover, targets, causes, config, storage):
    app.add_typer(module.commands)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"leakwatch {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line.

    An expected error prints one line or more, without a traceback. The exit status is 2 if the command line is
    invalid, and 1 after another expected error.
    """
    try:
        app()
    except LeakwatchError as error:
        for line in str(error).splitlines():
            print_message(line)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe, such as head, has exited
        sys.exit(1)
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # otherwise Python writes the rest again at exit
        print_message(f"{error.filename or 'cannot write the output'}: {error.strerror or error}")
        sys.exit(1)
