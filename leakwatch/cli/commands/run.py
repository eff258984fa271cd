"""Commands that run until they are stopped: `run` and `demo`."""

import contextlib
import gc
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakwatch.cli.options import check_positive, shipped
from leakwatch.errors import UsageError

if TYPE_CHECKING:
    from leakwatch.config import Value
    from leakwatch.discovery.shard import Shard

commands = typer.Typer()

GC_THRESHOLDS = (5_000, 5, 100)
"""Objects until a garbage collection, and collections until one of the next generation; Python has 700, 10, 10.

A full collection visits each cached stack, and blocked the event loop for 0.17 s after a body of 60 MB. It also
frees closed connections, which are cycles of references. With 1,000 in place of 100, it would have come after 2.7
hours at 50 times the normal rate, while closed connections left 5,000 objects in 7 minutes.
"""

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", "-t", metavar="[SERVICE=]URL", help="Additional target.")
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        envvar="LEAKWATCH_LISTEN",
        help="Address of metrics, pages and API (default 127.0.0.1:9979).",
    ),
]
WebConfigFile = Annotated[
    Path | None, typer.Option("--web.config.file", metavar="FILE", help="File with TLS, users and headers.")
]
ExternalUrl = Annotated[
    str | None, typer.Option("--web.external-url", metavar="URL", help="URL at which browsers reach leakwatch.")
]
RoutePrefix = Annotated[
    str | None,
    typer.Option(
        "--web.route-prefix", metavar="PATH", help="Prefix of all paths (default: the path of the external URL)."
    ),
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option("--web.allowed-host", metavar="NAME", help="Additional host name in URLs of leakwatch."),
]
EnableLifecycle = Annotated[
    bool, typer.Option("--web.enable-lifecycle", help="Let other hosts reload the configuration over HTTP.")
]
EvidencePath = Annotated[
    str | None, typer.Option("--evidence.path", metavar="DIR", help="Folder for profiles of leaking targets.")
]
StoragePath = Annotated[
    str | None,
    typer.Option(
        "--storage.path",
        metavar="DIR",
        envvar="LEAKWATCH_STORAGE_PATH",
        help='Folder in which the state is saved; "" keeps it in memory.',
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Scrape only the I-th of N shards, from 0; or auto/N."),
]
WarmFrom = Annotated[
    str | None,
    typer.Option("--warm-from", metavar="URL", help="Prometheus from which to load the histories."),
]


class Level(StrEnum):
    """Lowest level of the logged events."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@commands.command(
    epilog="\b\nExamples:\n  leakwatch run --target shop=http://127.0.0.1:6060\n"
    "  leakwatch run --target shop=http://10.0.0.1:6060 --target shop=http://10.0.0.2:6060\n"
    "  leakwatch run --config leakwatch.yml --listen 0.0.0.0:9979\n"
    "  leakwatch run    # in a sidecar: the services of the pod"
)
def run(  # noqa: PLR0913  each is an option
    *,
    config: ConfigFile = None,
    target: Targets = None,
    listen: Listen = None,
    web_config: WebConfigFile = None,
    external_url: ExternalUrl = None,
    route_prefix: RoutePrefix = None,
    allowed_hosts: AllowedHosts = None,
    enable_lifecycle: EnableLifecycle = False,
    shard: ShardOption = None,
    warm_from: WarmFrom = None,
    evidence_path: EvidencePath = None,
    storage_path: StoragePath = None,
    log_level: Annotated[Level, typer.Option(help="Lowest level of events that are logged.")] = Level.INFO,
) -> None:
    """Run the daemon.

    Without --config and --target, the daemon probes the listening ports of this host or pod with one GET request
    each, and watches the services with net/http/pprof that respond.
    """
    values: dict[tuple[str, str], str | bool | list[str] | None] = {
        ("web", "listen"): listen,
        ("web", "external_url"): external_url,
        ("web", "route_prefix"): route_prefix,
        ("web", "allowed_hosts"): allowed_hosts or None,
        ("web", "enable_lifecycle"): enable_lifecycle or None,
        ("warm_from", "url"): warm_from or None,
        ("evidence", "path"): evidence_path or None,
        ("storage", "path"): storage_path,
    }
    _serve(config, target or [], values, web_config, shard, log_level)


def _serve(
    file: Path | None,
    targets: Sequence[str],
    values: "Mapping[tuple[str, str], Value | None]",
    web_config: Path | None,
    shard: str | None,
    level: Level,
) -> None:
    import asyncio

    with absent("pygments", "rich"):  # httpx and structlog import them for commands of their own: 4 MB
        from leakwatch.cli.logging import configure
        from leakwatch.config import Config, Overrides, load
        from leakwatch.daemon import Daemon
        from leakwatch.settings.file_changes import FileChanges
        from leakwatch.web.server.web_config_file import WebFile

    configure(level)
    if file is None and not targets:
        targets = _local_targets(values["web", "listen"])
    options = Overrides(targets, values)

    def read_config() -> Config:
        return load(file, options) if file else Config().override(options).with_storage(None)

    gc.set_threshold(*GC_THRESHOLDS)
    changes = FileChanges(file)  # before the file is read
    daemon = Daemon(read_config, WebFile(web_config), _own_shard(shard))
    daemon.reload_when_changed(changes)
    asyncio.run(daemon.run())


def _local_targets(listen: "Value | None") -> list[str]:
    """Return the URLs of the services at the listening ports; raises UsageError if there is none."""
    import asyncio

    from leakwatch.cli.local_services import local_targets
    from leakwatch.scrape.local_sockets import listening_sockets
    from leakwatch.web.server.config import WebConfig

    port = str(listen or WebConfig().listen).rpartition(":")[2]
    return asyncio.run(local_targets(int(port) if port.isdigit() else 0, listening_sockets))


@contextlib.contextmanager
def absent(*packages: str) -> Iterator[None]:
    """Let imports of `packages` fail inside the block, as if they were not installed."""
    present = {name: sys.modules.pop(name) for name in packages if name in sys.modules}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]
        sys.modules.update(present)


def _own_shard(text: str | None) -> "Shard":
    """Return the shard of this process; raises UsageError."""
    from socket import gethostname

    from leakwatch.discovery.shard import shard

    try:
        return shard(text or "0/1", gethostname())
    except ValueError as error:
        raise UsageError(f"--shard: {error}") from error


@commands.command(epilog="\b\nExamples:\n  leakwatch demo\n  leakwatch demo --rate 20 --once")
def demo(
    *,
    rate: Annotated[float, typer.Option(help="Goroutines to leak per second.")] = 5.0,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address of metrics, pages and API.")
    ] = "127.0.0.1:9979",
    once: Annotated[bool, typer.Option("--once", help="Exit as soon as the leak is reported.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Save the last table as SVG.", hidden=True)] = None,
) -> None:
    """Run a leaking Go service and leakwatch beside it. Requires Go."""
    import asyncio

    from leakwatch.cli.demo import DemoOptions, play

    check_positive("--rate", rate)
    command = shlex.join(_command())
    options = DemoOptions(rate=rate, listen=listen, once=once, picture=picture, command=command)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(play(shipped("demo"), options))


def _command() -> list[str]:
    """Return the command that starts leakwatch in the way this process was started."""
    by_module = Path(sys.argv[0]).name == "__main__.py"
    return [sys.executable, "-m", "leakwatch"] if by_module else [sys.argv[0]]
