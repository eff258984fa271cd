"""The command line. Each command imports what it needs when it runs: a sidecar pays only for the daemon."""

import asyncio
import contextlib
import math
import shlex
import sys
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from leakwatch import __version__
from leakwatch import run_options as options
from leakwatch.errors import LeakwatchError, UsageError
from leakwatch.look import By

app = typer.Typer(
    name="leakwatch",
    help="Tells whether a Go service is leaking goroutines, and where.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Level(StrEnum):
    """How much to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Format(StrEnum):
    """How to print one look."""

    TABLE = "table"
    JSON = "json"
    FOLDED = "folded"
    PPROF = "pprof"


class Answer(StrEnum):
    """How to print what a recording says."""

    TABLE = "table"
    JSON = "json"


class FailOn(StrEnum):
    """The verdict from which on to fail."""

    SUSPECTED = "suspected"
    LEAKING = "leaking"


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


@app.command(
    epilog="\b\nExamples:\n  leakwatch run --target shop=http://127.0.0.1:6060\n"
    "  leakwatch run --target shop=http://10.0.0.1:6060 --target shop=http://10.0.0.2:6060\n"
    "  leakwatch run --config leakwatch.yml --listen 0.0.0.0:9979"
)
def run(  # noqa: PLR0913  each is an option
    *,
    config: options.ConfigFile = None,
    target: options.Targets = None,
    listen: options.Listen = None,
    web_config: options.WebConfig = None,
    external_url: options.ExternalUrl = None,
    route_prefix: options.RoutePrefix = None,
    shard: options.OfShard = None,
    warm_from: options.WarmFrom = None,
    evidence_path: options.EvidencePath = None,
    log_level: Annotated[Level, typer.Option(help="What to log.")] = Level.INFO,
) -> None:
    """Watch services: the daemon."""
    from socket import gethostname

    from leakwatch import logs
    from leakwatch import shard as sharding
    from leakwatch.config import Config, load
    from leakwatch.daemon import Daemon
    from leakwatch.web.web_file import WebFile

    logs.configure(log_level)
    if config is None and not target:
        raise UsageError("nothing to watch: give --config FILE or --target URL")

    def read() -> Config:
        found = load(config, target or ()) if config else Config().with_targets(target or ())
        found = found.warmed(warm_from) if warm_from else found
        found = found.keeping(evidence_path) if evidence_path else found
        return found.serving(listen=listen, route_prefix=route_prefix, external_url=external_url)

    try:
        mine = sharding.shard(shard or "0/1", gethostname())
    except ValueError as error:
        raise UsageError(f"--shard: {error}") from error
    asyncio.run(Daemon(read, WebFile(web_config), mine).run())


@app.command(epilog="\b\nExamples:\n  leakwatch check-config leakwatch.yml")
def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Say what is wrong in a configuration file."""
    from leakwatch.config import load

    config = load(file)
    targets = sum(len(group.targets) for job in config.scrape_configs for group in job.static_configs)
    typer.echo(f"{file}: good: {len(config.scrape_configs)} scrape_configs, {targets} static targets")


@app.command(epilog="\b\nExamples:\n  leakwatch check-web-config web.yml")
def check_web_config(file: Annotated[Path, typer.Argument(help="File for --web.config.file.")]) -> None:
    """Say what is wrong in a web configuration file."""
    from leakwatch.web.web_file import read

    typer.echo(f"{file}: good: {read(file).settings.summary()}")


@app.command(epilog="\b\nExamples:\n  leakwatch config-schema > leakwatch.schema.json")
def config_schema() -> None:
    """Print the configuration's JSON Schema."""
    from leakwatch.config import schema

    typer.echo(schema(), nl=False)


@app.command(
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


@app.command(
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

    _positive("--timeout", timeout)
    if limit < 0:
        raise UsageError(f"--limit {limit}: must be 0 or more")
    profile = show.read(source, timeout)
    if output is Format.PPROF and sys.stdout.isatty():
        raise UsageError("pprof format is binary: redirect it to a file")
    sys.stdout.buffer.write(show.render(profile, by, output.value, limit))
    sys.stdout.buffer.flush()


@app.command(
    epilog="\b\nExamples:\n  leakwatch analyze profiles/\n  leakwatch analyze counts.csv --format json\n"
    "  leakwatch analyze monday/ tuesday/ --fail-on leaking\n\n\b\nRecord with:\n"
    "  mkdir -p shop && while sleep 15; do\n"
    "    curl -so shop/$(date +%s).txt 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=1'; done"
)
def analyze(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Folders of profiles, profiles, CSV files.")],
    *,
    block: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Scales every window (default: 5m, or what fits).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Take detection, owners, links and ignore from this file."),
    ] = None,
    output: Annotated[Answer, typer.Option("--format", help="How to print it.")] = Answer.TABLE,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 if there is such a leak.")] = None,
) -> None:
    """Judge recorded profiles as the daemon would have."""
    from leakwatch import report

    sys.exit(report.run(paths, block, config, as_json=output is Answer.JSON, fail_on=fail_on))


@app.command(epilog="\b\nExamples:\n  leakwatch demo\n  leakwatch demo --rate 20 --once")
def demo(
    *,
    rate: Annotated[float, typer.Option(help="Goroutines to leak per second.")] = 5.0,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to serve metrics.")] = "127.0.0.1:9979",
    once: Annotated[bool, typer.Option("--once", help="End when the leak is named.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Save the last table as SVG.", hidden=True)] = None,
) -> None:
    """Run a leaking Go service and watch it; needs Go."""
    from leakwatch.demo import play

    _positive("--rate", rate)
    playing = play(
        shipped("demo"), rate=rate, listen=listen, once=once, picture=picture, command=shlex.join(_started())
    )
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(playing)


def _started() -> list[str]:
    """Return the words that start leakwatch the way it was started."""
    by_module = Path(sys.argv[0]).name == "__main__.py"
    return [sys.executable, "-m", "leakwatch"] if by_module else [sys.argv[0]]


def shipped(name: str) -> Path:
    """Return a file that comes with leakwatch, from an installed package or from the source tree."""
    installed = Path(str(files("leakwatch"))) / "shipped" / name
    if installed.exists():
        return installed
    return Path(__file__).parents[1] / "deploy" / {"demo": "demo/service"}.get(name, f"prometheus/{name}")


def _positive(option: str, value: float) -> None:
    if not 0 < value < math.inf:  # no comparison is true of nan
        raise UsageError(f"{option} {value:g}: must be a number greater than 0")


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
