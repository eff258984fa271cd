"""Parts that several commands share: files in the package, and checks of option values."""

import contextlib
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.terminal import print_message
from leakwatch.errors import LeakwatchError, UsageError
from leakwatch.settings.units import parse_duration

OwnCode = Annotated[
    list[str] | None,
    typer.Option("--own-code", metavar="PREFIX", help="Prefix of functions that are own code; repeatable."),
]


@contextlib.contextmanager
def errors_exit_with_2() -> Iterator[None]:
    """Report an expected error and exit with 2: status 1 is a result of the command."""
    try:
        yield
    except UsageError:
        raise  # exits with 2 in any command
    except (LeakwatchError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        for line in str(error).splitlines():
            print_message(line)
        raise typer.Exit(2) from error


def shipped(name: str) -> Path:
    """Return the path of a file of the package, also if leakwatch runs from its source tree."""
    installed = Path(str(resources.files("leakwatch"))) / "shipped" / name
    if installed.exists():
        return installed
    return Path(__file__).parents[2] / "deploy" / {"demo": "demo/service"}.get(name, f"prometheus/{name}")


def check_positive(option: str, value: float) -> None:
    """Raise UsageError unless the value is a number greater than 0."""
    if not 0 < value < math.inf:  # false for nan too
        raise UsageError(f"{option} {value:g}: must be a number greater than 0")


def check_share(option: str, value: float) -> None:
    """Raise UsageError unless the value is above 0 and at most 1."""
    if not 0 < value <= 1:
        raise UsageError(f"{option} {value:g}: must be above 0 and at most 1")


def seconds(option: str, text: str) -> float:
    """Return the seconds of a positive duration; raises UsageError."""
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    check_positive(option, duration)
    return duration
