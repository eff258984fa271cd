"""The options of `leakwatch run`."""

from pathlib import Path
from typing import Annotated

import typer

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
