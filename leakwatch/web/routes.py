"""The routes: metrics, health, reload, and a first page that says what there is."""

import asyncio
import gzip
import html
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from leakwatch import __version__
from leakwatch.errors import ConfigError
from leakwatch.model import Leak
from leakwatch.units import format_duration


class Daemon(Protocol):
    """What the routes ask of the daemon."""

    def ready(self) -> str:
        """Return "" when leakwatch does its work, else what it still waits for."""

    async def reload(self) -> None:
        """Take the configuration from its file anew; raises ConfigError."""

    def leaks(self) -> list[Leak]:
        """Return the leaks, the most urgent first."""

    def targets(self) -> tuple[int, int]:
        """Return how many targets there are and how many of them are up."""

    def time(self) -> float:
        """Return the time that first_seen is to be compared with."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All series as they were, in the shape of a registry."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        """Return them."""
        return self.families


async def exposition(request: Request, registry: CollectorRegistry) -> Response:
    """Return all series in the format that is asked for, gzipped if that is accepted.

    State is read here, at once, so it fits together; writing the text takes longer and is done in a thread, so
    that a large fleet's metrics hold up no scrape.
    """
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    snapshot = Snapshot(list(registry.collect()))
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    body = await asyncio.to_thread(lambda: gzip.compress(encode(snapshot), 1) if zipped else encode(snapshot))
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    return Response(body, headers=headers | ({"Content-Encoding": "gzip"} if zipped else {}))


def make_app(daemon: Daemon, registry: CollectorRegistry) -> Starlette:
    """Return the application."""

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("leakwatch is healthy.\n")

    async def metrics(request: Request) -> Response:
        return await exposition(request, registry)

    async def ready(_: Request) -> Response:
        waiting = daemon.ready()
        if waiting:
            return PlainTextResponse(f"leakwatch is not ready: {waiting}.\n", 503)
        return PlainTextResponse("leakwatch is ready.\n")

    async def reload(_: Request) -> Response:
        try:
            await daemon.reload()
        except ConfigError as error:
            return PlainTextResponse(f"the old configuration stays in force:\n{error}\n", 500)
        return PlainTextResponse("configuration reloaded.\n")

    async def front(_: Request) -> Response:
        return HTMLResponse(front_page(daemon))

    return Starlette(
        routes=[
            Route("/", front),
            Route("/metrics", metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", reload, methods=["POST", "PUT"]),
        ]
    )


def front_page(daemon: Daemon) -> str:
    """Return the page that says what leaks and where the rest is."""
    now = daemon.time()
    rows = "".join(_row(leak, now) for leak in daemon.leaks())
    table = (
        "<table><tr><th>verdict<th>service<th>function<th>wait<th>goroutines<th>per hour<th>since<th>targets</tr>"
        f"{rows}</table>"
        if rows
        else "<p>No leak is known.</p>"
    )
    targets, up = daemon.targets()
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>leakwatch</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }}
  table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
  th, td {{ padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }}
  td.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
  code {{ overflow-wrap: anywhere; }}
  .leaking, .proven {{ color: #d1242f; font-weight: 600; }}
  .suspected {{ color: #b8860b; }}
</style>
<h1>leakwatch</h1>
<p>{up} of {targets} targets up.</p>
{table}
<p><a href="metrics">metrics</a> · <a href="-/healthy">healthy</a> · <a href="-/ready">ready</a></p>
<p><small>leakwatch {__version__}</small></p>
</html>
"""


def _row(leak: Leak, now: float) -> str:
    at = leak.stack.blamed
    place = f"{at.file}:{at.line}" if at.file else ""
    return (
        f'<tr><td class="{leak.verdict.word}">{leak.verdict.word}<td>{html.escape(leak.service)}'
        f"<td><code>{html.escape(at.function)}</code><br><small>{html.escape(place)}</small>"
        f'<td>{html.escape(leak.stack.wait)}<td class="n">{leak.goroutines}'
        f'<td class="n">{leak.growth.rate * 3600:+.1f}<td class="n">{format_duration(now - leak.first_seen)}'
        f"<td>{html.escape(', '.join(leak.targets[:5]))}{' …' if len(leak.targets) > 5 else ''}</tr>"
    )
