"""The web application: metrics, health checks, reload, the API and the pages."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from leakwatch.errors import ConfigError
from leakwatch.evidence.metrics import EvidenceCollector
from leakwatch.notify.metrics import NotificationCollector
from leakwatch.web import lazy
from leakwatch.web.api.state import AppState
from leakwatch.web.metrics import DaemonCollector, make_registry
from leakwatch.web.server.config import WebConfig
from leakwatch.web.server.guard import Guard
from leakwatch.web.server.origin import OriginCheck, is_local
from leakwatch.web.server.server import WebServer, bind, local_url
from leakwatch.web.server.turns import LimitedApp
from leakwatch.web.server.web_config_file import WebFile

NO_LIFECYCLE = (
    "only a client on the host of leakwatch may reload the configuration; --web.enable-lifecycle"
    " (web.enable_lifecycle) permits it to all. SIGHUP also reloads.\n"
)
Encode = Callable[[Collector], bytes]
"""Returns the text of all series."""
Reload = Callable[[], Awaitable[None]]
"""Loads the configuration file again; raises ConfigError."""


def build_web(
    config: WebConfig,
    file: WebFile,
    state_at: Callable[[str], AppState],
    collectors: Sequence[Collector],
    reload: Reload,
) -> WebServer:
    """Bind the configured address and return the server; raise ConfigError if it cannot listen there.

    `state_at`: returns the state for the URL of the overview; `collectors`: metrics of targets and discovery.
    """
    bound, prefix = bind(config.listen), config.prefix()
    address = local_url(bound, secure=file.secure) + prefix
    url = config.external_url or address
    state = state_at(url)

    def last_reload() -> tuple[bool, float]:
        error, time = state.own.last_reload()
        return not error, state.fleet.clock.wall(time)

    own_collectors = (
        EvidenceCollector(state.evidence),
        NotificationCollector(state.own.alertmanagers),
        DaemonCollector(lambda: state.alerts.links, last_reload, file.is_in_force),
    )
    registry = make_registry(*collectors, *own_collectors)
    endpoints = Endpoints(Exposition(registry), state.own.ready, reload, config.enable_lifecycle)
    app = build_app(endpoints, lazy.api(state), lazy.pages(state), prefix)
    return WebServer(Guard(app, file, OriginCheck(config)), bound, file, url=url, address=address)


@dataclass(frozen=True, slots=True)
class CollectedMetrics:
    """Metrics at one time, in the shape of a registry."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        """Return the metrics."""
        return self.families


class Exposition:
    """The text of all series. Requests share the text that is being made when they arrive."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._turn = asyncio.Lock()
        self._texts: dict[tuple[str, bool], asyncio.Task[bytes]] = {}
        """Content type and whether it is gzipped -> the text that is being made."""

    async def answer(self, request: Request) -> Response:
        """Return all series in the requested format, gzipped if the client accepts it."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        key = content_type, zipped
        if key not in self._texts:
            self._texts[key] = asyncio.create_task(self._text(encode, zipped=zipped))
            self._texts[key].add_done_callback(lambda _: self._texts.pop(key))
        body = await asyncio.shield(self._texts[key])
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        return Response(body, headers=headers | ({"Content-Encoding": "gzip"} if zipped else {}))

    async def _text(self, encode: Encode, *, zipped: bool) -> bytes:
        """Return the text. One is made at a time.

        The values are collected here, so that they are consistent. A thread formats them, because the text of a
        large fleet would delay scrapes.
        """
        async with self._turn:
            metrics = CollectedMetrics(list(self._registry.collect()))
            text = await asyncio.to_thread(encode, metrics)
            return await asyncio.to_thread(gzip.compress, text, 1) if zipped else text


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Metrics, health checks and reload."""

    exposition: Exposition
    not_ready: Callable[[], str]
    """Returns the reason why leakwatch is not ready, "" if it is ready."""
    reload_configuration: Reload
    reload_from_anywhere: bool = False
    """Whether other hosts may reload the configuration."""

    async def metrics(self, request: Request) -> Response:
        """Answer `/metrics`."""
        return await self.exposition.answer(request)

    async def healthy(self, _: Request) -> Response:
        """Answer `/-/healthy`."""
        return PlainTextResponse("leakwatch is healthy.\n")

    async def ready(self, _: Request) -> Response:
        """Answer `/-/ready`."""
        reason = self.not_ready()
        if reason:
            return PlainTextResponse(f"leakwatch is not ready: {reason}.\n", 503)
        return PlainTextResponse("leakwatch is ready.\n")

    async def reload(self, request: Request) -> Response:
        """Answer `/-/reload`."""
        if not (self.reload_from_anywhere or is_local(request.client, request.headers)):
            return PlainTextResponse(NO_LIFECYCLE, 403)
        try:
            await self.reload_configuration()
        except ConfigError as error:
            return PlainTextResponse(f"the old configuration stays in force:\n{error}\n", 500)
        return PlainTextResponse("configuration reloaded.\n")


def build_app(endpoints: Endpoints, api: ASGIApp, pages: ASGIApp, prefix: str = "") -> Starlette:
    """Return the application: `api` below /api, `pages` at all other paths; `prefix`: "" or like "/leakwatch"."""
    routes = [
        Route("/metrics", endpoints.metrics),
        Route("/-/healthy", endpoints.healthy),
        Route("/-/ready", endpoints.ready),
        Route("/-/reload", endpoints.reload, methods=["POST", "PUT"]),
        lazy.mount("/api", LimitedApp(api)),
    ]
    return Starlette(routes=_below(prefix, Router(routes, redirect_slashes=False, default=LimitedApp(pages))))


def _below(prefix: str, router: Router) -> list[BaseRoute]:
    """Return `router` below `prefix`, with redirects to the overview."""

    async def redirect(_: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    # Starlette's redirect of slashes would use the Host header, which is wrong behind a proxy.
    mounted = lazy.mount(prefix, router)
    return [Route("/", redirect), Route(prefix, redirect), mounted] if prefix else [mounted]
