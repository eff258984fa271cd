"""The API, published as OpenAPI at /api/v1/openapi.json."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp

from leakwatch import __version__
from leakwatch.web.api.events import LiveEvents
from leakwatch.web.api.params import refuse_unknown
from leakwatch.web.api.problems import InternalErrorLog, add_problem_handlers, publish
from leakwatch.web.api.routes import evidence as evidence_routes
from leakwatch.web.api.routes import leaks as leak_routes
from leakwatch.web.api.routes import status as status_routes
from leakwatch.web.api.routes import targets as target_routes
from leakwatch.web.api.state import AppState

V1 = "/v1"
ROUTERS: tuple[APIRouter, ...] = (
    leak_routes.router,
    target_routes.router,
    evidence_routes.router,
    status_routes.router,
)


class ApiApp(FastAPI):
    """The FastAPI application; its OpenAPI schema describes errors as problems."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI schema."""
        if self.openapi_schema is None:
            self.openapi_schema = publish(super().openapi())
        return self.openapi_schema


def build_api(state: AppState, live_events: LiveEvents | None = None) -> ASGIApp:
    """Return the API for a mount at /api; `live_events` replaces those of the fleet."""
    app = ApiApp(
        title="leakwatch",
        version=__version__,
        description="Go services that leak goroutines, and where. Times are unix seconds, rates per hour.",
        openapi_url=f"{V1}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": f"{state.alerts.url.rstrip('/')}/api"}],
        root_path_in_servers=False,
    )
    app.state.app_state = state
    app.state.live_events = live_events or LiveEvents(state.fleet, state.own.started(), state.stop)
    for router in ROUTERS:
        app.include_router(router, prefix=V1, dependencies=[Depends(refuse_unknown)])
    add_problem_handlers(app)
    return InternalErrorLog(app)
