"""The command that tests the judge: `test`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


class JudgeTestFormat(StrEnum):
    """Output format of `test`."""

    TEXT = "text"
    JUNIT = "junit"


@commands.command(
    "test",
    epilog="\b\nExamples:\n  leakwatch test judge/*.yml\n  leakwatch test judge/*.yml --config leakwatch.yml\n\n"
    "\b\nExit status: 0 all tests succeeded, 1 a test failed, 2 a file is invalid.",
)
def run_tests(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files of tests.")],
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration file, for detection, owners, ignore and causes."),
    ] = None,
    output: Annotated[JudgeTestFormat, typer.Option("--format", help="Output format.")] = JudgeTestFormat.TEXT,
) -> None:
    """Test the verdicts on made-up series of counts.

    The files have series of counts, events such as restarts, and expected verdicts. docs/testing.md describes
    them.
    """
    from leakwatch.cli.judge_tests.run import run

    sys.exit(run(files, config, as_junit=output is JudgeTestFormat.JUNIT))
