"""Commands for configuration files and rule files."""

from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import shipped

commands = typer.Typer()


@commands.command(epilog="\b\nExamples:\n  leakwatch check-config leakwatch.yml")
def check_config(file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration file.")]) -> None:
    """Check a configuration file.

    A pattern of file_sd_configs that matches no file is a warning: the file may be written later.
    """
    from leakwatch.cli.terminal import print_message
    from leakwatch.config import load

    config = load(file)
    typer.echo(f"{file}: good: {config.summary}")
    for job in config.scrape_configs:
        for pattern in (pattern for files in job.file_sd_configs for pattern in files.unmatched()):
            print_message(f"{file}: warning: job {job.job_name}: file_sd_configs: {pattern} matches no file")


@commands.command(epilog="\b\nExamples:\n  leakwatch check-web-config web.yml")
def check_web_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of --web.config.file.")],
) -> None:
    """Check a web configuration file."""
    from leakwatch.web.server.web_config_file import read

    typer.echo(f"{file}: good: {read(file).settings.summary()}")


@commands.command(epilog="\b\nExamples:\n  leakwatch config-schema > leakwatch.schema.json")
def config_schema() -> None:
    """Print the JSON Schema of the configuration."""
    from leakwatch.config import schema

    typer.echo(schema(), nl=False)


@commands.command(
    epilog="\b\nExamples:\n  leakwatch rules > /etc/prometheus/leakwatch.rules.yml\n"
    "  leakwatch rules --recording > /etc/prometheus/leakwatch.recording.yml"
)
def rules(
    *,
    recording: Annotated[
        bool, typer.Option("--recording", help="Print the recording rules of the fleet dashboard.")
    ] = False,
) -> None:
    """Print the alert rules for Prometheus."""
    typer.echo(shipped(f"leakwatch.{'recording' if recording else 'rules'}.yml").read_text(), nl=False)
