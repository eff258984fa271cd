"""What keeps running: the daemon and the demo."""

import asyncio
import contextlib
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leakwatch.cli.options import check_positive, shipped
from leakwatch.errors import UsageError

commands = typer.Typer()

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", "-t", metavar="[SERVICE=]URL", help="Also watch this one.")
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        envvar="LEAKWATCH_LISTEN",
        help="Where to serve metrics (default 127.0.0.1:9979).",
    ),
]
WebConfig = Annotated[
    Path | None, typer.Option("--web.config.file", metavar="FILE", help="TLS, users and headers.")
]
ExternalUrl = Annotated[str | None, typer.Option("--web.external-url", metavar="URL", help="How others reach us.")]
RoutePrefix = Annotated[
    str | None,
    typer.Option("--web.route-prefix", metavar="PATH", help="Path before ours (default: the URL's)."),
]
EvidencePath = Annotated[
    str | None, typer.Option("--evidence.path", metavar="DIR", help="Where to keep profiles of what leaks.")
]
OfShard = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Watch the I-th of N shares of the services, from 0; or auto/N."),
]
WarmFrom = Annotated[
    str | None,
    typer.Option("--warm-from", metavar="URL", help="Prometheus that knows what was exported before."),
]


class Level(StrEnum):
    """How much to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch run --target shop=http://127.0.0.1:6060\n"
    "  leakwatch run --target shop=http://10.0.0.1:6060 --target shop=http://10.0.0.2:6060\n"
    "  leakwatch run --config leakwatch.yml --listen 0.0.0.0:9979"
)
def run(  # noqa: PLR0913  each is an option
    *,
    config: ConfigFile = None,
    target: Targets = None,
    listen: Listen = None,
    web_config: WebConfig = None,
    external_url: ExternalUrl = None,
    route_prefix: RoutePrefix = None,
    shard: OfShard = None,
    warm_from: WarmFrom = None,
    evidence_path: EvidencePath = None,
    log_level: Annotated[Level, typer.Option(help="What to log.")] = Level.INFO,
) -> None:
    """Watch services: the daemon."""
    from socket import gethostname

    from leakwatch.cli import logging as logs
    from leakwatch.config import Config, load
    from leakwatch.daemon import Daemon
    from leakwatch.discovery import shard as sharding
    from leakwatch.web.server.web_config_file import WebFile

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


@commands.command(epilog="\b\nExamples:\n  leakwatch demo\n  leakwatch demo --rate 20 --once")
def demo(
    *,
    rate: Annotated[float, typer.Option(help="Goroutines to leak per second.")] = 5.0,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to serve metrics.")] = "127.0.0.1:9979",
    once: Annotated[bool, typer.Option("--once", help="End when the leak is named.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Save the last table as SVG.", hidden=True)] = None,
) -> None:
    """Run a leaking Go service and watch it; needs Go."""
    from leakwatch.cli.demo import play

    check_positive("--rate", rate)
    playing = play(
        shipped("demo"), rate=rate, listen=listen, once=once, picture=picture, command=shlex.join(_started())
    )
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(playing)


def _started() -> list[str]:
    """Return the words that start leakwatch the way it was started."""
    by_module = Path(sys.argv[0]).name == "__main__.py"
    return [sys.executable, "-m", "leakwatch"] if by_module else [sys.argv[0]]
