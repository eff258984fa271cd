"""The pages: their addresses, and how errors look. What they show is what the API answers."""

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
from leakwatch.web.api.responses import NO_STORE
from leakwatch.web.api.state import AppState
from leakwatch.web.api.status import status
from leakwatch.web.pages.assets import Assets
from leakwatch.web.pages.compare import target_difference
from leakwatch.web.pages.filters import FILTERS
from leakwatch.web.pages.leak import leak_page
from leakwatch.web.pages.overview import overview
from leakwatch.web.pages.sparkline import sparkline
from leakwatch.web.pages.target import target_page
from leakwatch.web.path_params import register

log = structlog.get_logger()

TEMPLATES = Path(__file__).parent / "templates"
View = Callable[[AppState, Request], Mapping[str, object]]
"""From state to what a template shows; raises NotFoundError. Runs in the loop: what it reads fits together."""

Reading = Callable[[AppState, Request], Awaitable[Mapping[str, object]]]
"""The same, of what takes a while to read."""


async def nothing(_: AppState, __: Request) -> Mapping[str, object]:
    """Return that a page reads nothing more."""
    return {}


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown at a path; `depth`: how many levels below the front page its address is.

    Links are relative, for only the browser knows what proxies put before our paths.
    """

    path: str
    template: str
    view: View
    depth: int = 0
    more: Reading = nothing


def status_page(source: AppState, _: Request) -> Mapping[str, object]:
    """Return how leakwatch itself fares."""
    return {"active": "status", "status": status(source)}


PAGES = (
    Page("/", "overview.html", overview),
    Page("/status", "status.html", status_page),
    Page("/services/{service:anything}", "overview.html", overview, depth=1),
    Page("/leaks/{service:anything}/{stack:hash}", "leak.html", leak_page, depth=2),
    Page(
        "/targets/{service:anything}/{target:anything}",
        "target.html",
        target_page,
        depth=2,
        more=target_difference,
    ),
)


def make_pages(source: AppState) -> ASGIApp:
    """Return the application that answers with pages, and with errors as pages."""
    register()
    assets = Assets()
    show = Show(source, assets)
    routes = [Route(page.path, show.page(page)) for page in PAGES]
    routes.append(Route("/static/{version}/{name:path}", assets.answer))
    app = Starlette(exception_handlers={HTTPException: show.refused})
    app.router = Router(routes, redirect_slashes=False)
    return app


class Show:
    """Fills in templates."""

    def __init__(self, source: AppState, assets: Assets) -> None:
        self._source = source
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= FILTERS
        self._templates.globals |= {"version": __version__, "assets": assets.version, "sparkline": sparkline}

    def page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers at the path of a page."""

        async def answer(request: Request) -> Response:
            try:
                source = self._source.at_once()
                shown = {**page.view(source, request), **await page.more(source, request)}
                return await self._html(page.template, page.depth, shown)
            except NotFoundError as error:
                return await self._error(404, str(error), page.depth, error.reported_as)
            except Exception:
                log.exception("a page broke, by a mistake of ours", path=request.url.path)
                return await self._error(500, "leakwatch made a mistake; its log has more.", page.depth)

        return answer

    async def refused(self, request: Request, error: Exception) -> Response:
        """Answer what is asked for in vain."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        below = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        depth = max(below.count("/") - 1, 0)
        return await self._error(status, "There is no such page." if status == 404 else "", depth)

    async def _error(self, status: int, detail: str, depth: int, told_as: str = "") -> Response:
        shown = {"active": "", "title": HTTPStatus(status).phrase, "detail": detail, "told_as": told_as}
        return await self._html("error.html", depth, shown, status)

    async def _html(self, template: str, depth: int, shown: Mapping[str, object], status: int = 200) -> Response:
        """Return a page; written in a thread, for a long one takes longer than a scrape may wait."""
        fill = self._templates.get_template(template).render
        now = self._source.wall(self._source.now())
        text = await asyncio.to_thread(fill, shown, root="../" * depth, now=now)
        return HTMLResponse(text.encode("utf-8", "replace"), status, NO_STORE)
