"""The pages: their paths, the values that each template gets, and error pages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from leakwatch import __version__
from leakwatch.errors import NotFoundError
from leakwatch.web.api.diff import SnapshotSource
from leakwatch.web.api.leaks import find
from leakwatch.web.api.responses import NO_STORE
from leakwatch.web.api.state import AppState
from leakwatch.web.api.status import status
from leakwatch.web.pages.assets import Assets
from leakwatch.web.pages.compare import compare_snapshots
from leakwatch.web.pages.filters import FILTERS
from leakwatch.web.pages.help import help_page
from leakwatch.web.pages.leak import leak_page
from leakwatch.web.pages.overview import overview
from leakwatch.web.pages.source_lines import read_source
from leakwatch.web.pages.sparkline import sparkline
from leakwatch.web.pages.target import target_page
from leakwatch.web.pages.terms import REMEDIES, TERMS
from leakwatch.web.pages.unknown_leak import explanation
from leakwatch.web.path_params import register

log = structlog.get_logger()

TEMPLATES = Path(__file__).parent / "templates"
Values = Mapping[str, object]
"""Name -> value in a template."""
Page = Callable[[AppState, Request], Awaitable[Values]]
"""Passes the parts of the state and of a request that a page needs to its view; raises NotFoundError."""


async def _overview_page(state: AppState, request: Request) -> Values:
    service = request.path_params.get("service", "")
    return overview(state.fleet.view(), state.own.ready(), service, request.query_params)


async def _status_page(state: AppState, _: Request) -> Values:
    return {"active": "status", "status": status(state.fleet.view(), state.own, state.alerts.url)}


async def _help_page(_: AppState, request: Request) -> Values:
    return help_page(request.path_params["name"])


async def _leak_page(state: AppState, request: Request) -> Values:
    view, service, stack = state.fleet.view(), request.path_params["service"], request.path_params["stack"]
    try:
        leak = find(view, service, stack)
    except NotFoundError as error:
        reason = explanation(error, view, state.own.started(), service, stack)
        raise MissingPage(reason.detail, error.reported_as, reason.query) from error
    values, checkouts = leak_page(view, state.alerts, state.evidence, leak), state.checkouts()
    frames = [leak.stack.blamed, *leak.stack.frames]
    lines = await asyncio.to_thread(read_source, checkouts, leak.stack.blamed, frames) if checkouts else None
    return {**values, "source_lines": lines}


class MissingPage(NotFoundError):  # noqa: N818  the reason of a page, not of a failure
    """A page does not exist; `query`: what to ask Prometheus instead."""

    def __init__(self, message: str, reported_as: str, query: str) -> None:
        super().__init__(message, reported_as)
        self.query = query


async def _target_page(state: AppState, request: Request) -> Values:
    view, query = state.fleet.view(), request.query_params
    path = f"{request.path_params['service']}/{request.path_params['target']}"
    values = target_page(view, state.evidence, path, query)
    snapshots = SnapshotSource(view, state.evidence, state.snapshots)
    return {**values, "comparison": await compare_snapshots(snapshots, path, query)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """A page with its path and template.

    `depth`: number of path segments above the page. Links are relative, because only the browser knows the prefix
    that a proxy adds to paths.
    """

    path: str
    template: str
    page: Page
    depth: int


PAGES = (
    PageRoute(path="/", template="overview.html", page=_overview_page, depth=0),
    PageRoute(path="/status", template="status.html", page=_status_page, depth=0),
    PageRoute(path="/docs/{name}", template="help.html", page=_help_page, depth=1),
    PageRoute(path="/services/{service:name}", template="overview.html", page=_overview_page, depth=1),
    PageRoute(path="/leaks/{service:name}/{stack:fingerprint}", template="leak.html", page=_leak_page, depth=2),
    PageRoute(path="/targets/{service:name}/{target:name}", template="target.html", page=_target_page, depth=2),
)


def build_pages(state: AppState) -> ASGIApp:
    """Return the application that answers with pages, and with errors as pages."""
    register()
    assets = Assets()
    renderer = PageRenderer(state, assets)
    routes = [Route(route.path, renderer.endpoint(route)) for route in PAGES]
    routes.append(Route("/static/{version}/{name:path}", assets.answer))
    app = Starlette(exception_handlers={HTTPException: renderer.on_http_exception})
    app.router = Router(routes, redirect_slashes=False)
    return app


def _depth(request: Request) -> int:
    """Return the number of path segments above the requested path, as browsers count them: %2F does not count."""
    path: bytes = request.scope["raw_path"]
    prefix: str = request.scope.get("root_path", "")
    return max(path.count(b"/") - prefix.count("/") - 1, 0)


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


class PageRenderer:
    """Renders templates."""

    def __init__(self, state: AppState, assets: Assets) -> None:
        self._state = state
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= FILTERS
        self._templates.globals |= {
            "version": __version__,
            "assets": assets.version,
            "sparkline": sparkline,
            "terms": TERMS,
            "remedies": REMEDIES,
        }

    def endpoint(self, route: PageRoute) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a page."""

        async def answer(request: Request) -> Response:
            try:
                values = await route.page(self._state, request)
                return await self._render(route.template, route.depth, values)
            except NotFoundError as error:
                query = error.query if isinstance(error, MissingPage) else ""
                return await self._error(404, _sentence(str(error)), _depth(request), error.reported_as, query)
            except Exception:
                log.exception("internal error: a page failed", path=request.url.path)
                return await self._error(500, "Internal error, see leakwatch's log.", route.depth)

        return answer

    async def on_http_exception(self, request: Request, error: Exception) -> Response:
        """Return the page of an HTTP error."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        return await self._error(status, "There is no such page." if status == 404 else "", _depth(request))

    async def _error(self, status: int, detail: str, depth: int, leak: str = "", query: str = "") -> Response:
        values = {"active": "", "title": HTTPStatus(status).phrase, "detail": detail, "leak": leak, "query": query}
        return await self._render("error.html", depth, values, status)

    async def _render(self, template: str, depth: int, values: Values, status: int = 200) -> Response:
        render = self._templates.get_template(template).render
        clock = self._state.fleet.clock
        now = clock.wall(clock.time())
        # In a thread: a long page would delay scrapes.
        text = await asyncio.to_thread(render, values, root="../" * depth, now=now)
        return HTMLResponse(text.encode("utf-8", "replace"), status, NO_STORE)
