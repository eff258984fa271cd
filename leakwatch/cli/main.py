"""The command line. Each command imports what it needs when it runs: a sidecar pays only for the daemon."""

import contextlib
import sys
from typing import Annotated

import typer

from leakwatch import __version__
from leakwatch.cli.commands import check as judge
from leakwatch.cli.commands import config as files
from leakwatch.cli.commands import run as serve
from leakwatch.cli.commands import scrape as look
from leakwatch.errors import LeakwatchError, UsageError

app = typer.Typer(
    name="leakwatch",
    help="Tells whether a Go service is leaking goroutines, and where.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (serve, look, judge, files):
    app.add_typer(group.commands)


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


def _say(message: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that is closed hears nothing
        for line in message.splitlines():
            typer.echo(f"leakwatch: {line}", err=True)


def main() -> None:
    """Run the command line; an error that is not a mistake of ours is one line, never a traceback.

    Status 2: the command line is wrong; 1: something else is.
    """
    try:
        app()
    except UsageError as error:
        _say(str(error))
        sys.exit(2)
    except LeakwatchError as error:
        _say(str(error))
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, which is its right
        sys.exit(1)
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # what could not be written must not be tried again at the end
        _say(f"{error.filename or 'cannot write the output'}: {error.strerror or error}")
        sys.exit(1)
