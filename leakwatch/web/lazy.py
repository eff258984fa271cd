"""Applications that are made when somebody first asks for them: a sidecar that nobody looks at pays no memory."""

import asyncio
import re
from collections.abc import Callable

from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from leakwatch.web.api.state import AppState


def api(source: AppState) -> "LazyApp":
    """Return what answers below /api."""

    def make() -> ASGIApp:
        from leakwatch.web.api.app import make_api  # noqa: PLC0415  FastAPI is 10 MB

        return make_api(source)

    return LazyApp(make)


def pages(source: AppState) -> "LazyApp":
    """Return what answers with pages."""

    def make() -> ASGIApp:
        from leakwatch.web.pages.app import make_pages  # noqa: PLC0415  Jinja2 is 5 MB

        return make_pages(source)

    return LazyApp(make)


class LazyApp:
    """Answers as the application that `make` returns; imports that it needs are its own business."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = self._app or await self._made()
        await app(scope, receive, send)

    async def _made(self) -> ASGIApp:
        async with self._making:  # in a thread: half a second of imports must not hold up scrapes
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
            return self._app


def mount(path: str, app: ASGIApp) -> Mount:
    """Return the route for all paths below `path`, also those with a line end in them, as names may have."""
    found = Mount(path, app=app)
    found.path_regex = re.compile(found.path_regex.pattern, re.DOTALL)
    return found
