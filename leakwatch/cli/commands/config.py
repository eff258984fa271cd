"""What is written and read as files: the configuration and the alert rules."""

from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import shipped

commands = typer.Typer()


@commands.command(epilog="\b\nExamples:\n  leakwatch check-config leakwatch.yml")
def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Say what is wrong in a configuration file."""
    from leakwatch.config import load

    typer.echo(f"{file}: good: {load(file).summary}")


@commands.command(epilog="\b\nExamples:\n  leakwatch check-web-config web.yml")
def check_web_config(file: Annotated[Path, typer.Argument(help="File for --web.config.file.")]) -> None:
    """Say what is wrong in a web configuration file."""
    from leakwatch.web.server.web_config_file import read

    typer.echo(f"{file}: good: {read(file).settings.summary()}")


@commands.command(epilog="\b\nExamples:\n  leakwatch config-schema > leakwatch.schema.json")
def config_schema() -> None:
    """Print the configuration's JSON Schema."""
    from leakwatch.config import schema

    typer.echo(schema(), nl=False)


@commands.command(
    epilog="\b\nExamples:\n  leakwatch rules > /etc/prometheus/leakwatch.rules.yml\n"
    "  leakwatch rules --recording > /etc/prometheus/leakwatch.recording.yml"
)
def rules(
    *,
    recording: Annotated[
        bool, typer.Option("--recording", help="Print the recording rules, which the fleet dashboard needs.")
    ] = False,
) -> None:
    """Print the alert rules for Prometheus."""
    typer.echo(shipped(f"leakwatch.{'recording' if recording else 'rules'}.yml").read_text(), nl=False)
