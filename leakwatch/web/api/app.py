"""The API, published as OpenAPI at /api/v1/openapi.json."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp

from leakwatch import __version__
from leakwatch.web.api.events import Changes
from leakwatch.web.api.params import refuse_unknown
from leakwatch.web.api.problems import NoTraceback, publish, say_problems
from leakwatch.web.api.routes import evidence as profile_routes
from leakwatch.web.api.routes import leaks as leak_routes
from leakwatch.web.api.routes import status as status_routes
from leakwatch.web.api.routes import targets as target_routes
from leakwatch.web.api.state import AppState

V1 = "/v1"
ROUTERS: tuple[APIRouter, ...] = (
    leak_routes.router,
    target_routes.router,
    profile_routes.router,
    status_routes.router,
)


class ApiApp(FastAPI):
    """The application, which publishes its errors as what they are."""

    def openapi(self) -> dict[str, Any]:
        """Return what it publishes of itself."""
        if self.openapi_schema is None:
            self.openapi_schema = publish(super().openapi())
        return self.openapi_schema


def make_api(source: AppState, changes: Changes | None = None) -> ASGIApp:
    """Return the API on `source`, for a mount at /api; `changes`: who tells the news."""
    app = ApiApp(
        title="leakwatch",
        version=__version__,
        description="Which Go services leak goroutines, and where. Times are unix seconds, rates per hour.",
        openapi_url=f"{V1}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": f"{source.url.rstrip('/')}/api"}],
        root_path_in_servers=False,
    )
    app.state.source, app.state.changes = source, changes or Changes(source)
    for router in ROUTERS:
        app.include_router(router, prefix=V1, dependencies=[Depends(refuse_unknown)])
    say_problems(app)
    return NoTraceback(app)
