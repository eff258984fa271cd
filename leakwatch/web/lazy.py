"""Applications that are imported on the first request, so that a sidecar without visitors saves their memory."""

import asyncio
import re
from collections.abc import Callable

from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from leakwatch.web.api.state import AppState


def api(state: AppState) -> "LazyApp":
    """Return the application below /api."""

    def build() -> ASGIApp:
        from leakwatch.web.api.app import build_api  # noqa: PLC0415  FastAPI is 10 MB

        return build_api(state)

    return LazyApp(build)


def pages(state: AppState) -> "LazyApp":
    """Return the application of the pages."""

    def build() -> ASGIApp:
        from leakwatch.web.pages.app import build_pages  # noqa: PLC0415  Jinja2 is 5 MB

        return build_pages(state)

    return LazyApp(build)


class LazyApp:
    """An ASGI application that `build` returns on the first request."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._app: ASGIApp | None = None
        self._building = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = self._app or await self._built()
        await app(scope, receive, send)

    async def _built(self) -> ASGIApp:
        async with self._building:
            if self._app is None:
                # In a thread: the imports take half a second, which would delay scrapes.
                self._app = await asyncio.to_thread(self._build)
            return self._app


def mount(path: str, app: ASGIApp) -> Mount:
    """Return the route for all paths below `path`, including names with line ends."""
    route = Mount(path, app=app)
    route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
    return route
