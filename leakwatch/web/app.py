"""The routes: metrics, health, reload; the API has its own, and the pages have all others."""

import asyncio
import gzip
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from leakwatch.errors import ConfigError
from leakwatch.web.lazy import mount


class Daemon(Protocol):
    """What the routes ask of the daemon."""

    def ready(self) -> str:
        """Return "" when leakwatch does its work, else what it still waits for."""

    async def reload(self) -> None:
        """Take the configuration from its file anew; raises ConfigError."""


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


def make_app(
    daemon: Daemon, registry: CollectorRegistry, api: ASGIApp, pages: ASGIApp, prefix: str = ""
) -> Starlette:
    """Return the application; `api` answers below /api, `pages` wherever nothing else does.

    `prefix`: what all its paths begin with, "" or like "/leakwatch".
    """

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

    routes = [
        Route("/metrics", metrics),
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/-/reload", reload, methods=["POST", "PUT"]),
        mount("/api", api),
    ]
    return Starlette(routes=_under(prefix, Router(routes, redirect_slashes=False, default=pages)))


def _under(prefix: str, router: Router) -> list[BaseRoute]:
    """Return `router` with `prefix` before its paths, and the redirects to the front page that it needs."""

    async def to_front(_: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    # A redirect because of a slash would name the address in the Host header, which is wrong behind a proxy.
    mounted = mount(prefix, router)
    return [Route("/", to_front), Route(prefix, to_front), mounted] if prefix else [mounted]
