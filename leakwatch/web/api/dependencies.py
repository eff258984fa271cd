"""FastAPI dependencies: the parts of the application state that an endpoint gets."""

from typing import Annotated

from fastapi import Depends, Request

from leakwatch.evidence.store import Store
from leakwatch.web.api.diff import SnapshotSource
from leakwatch.web.api.events import LiveEvents
from leakwatch.web.api.fleet import FleetView
from leakwatch.web.api.state import AlertContext, AppState, OwnState


def _state(request: Request) -> AppState:
    state: AppState = request.app.state.app_state
    return state


async def _fleet_view(request: Request) -> FleetView:
    return _state(request).fleet.view()


async def _own_state(request: Request) -> OwnState:
    return _state(request).own


async def _alert_context(request: Request) -> AlertContext:
    return _state(request).alerts


async def _evidence(request: Request) -> Store:
    return _state(request).evidence


async def _snapshot_source(request: Request) -> SnapshotSource:
    state = _state(request)
    return SnapshotSource(state.fleet.view(), state.evidence, state.snapshots)


async def _live_events(request: Request) -> LiveEvents:
    live_events: LiveEvents = request.app.state.live_events
    return live_events


View = Annotated[FleetView, Depends(_fleet_view)]
Own = Annotated[OwnState, Depends(_own_state)]
Alerts = Annotated[AlertContext, Depends(_alert_context)]
Evidence = Annotated[Store, Depends(_evidence)]
Snapshots = Annotated[SnapshotSource, Depends(_snapshot_source)]
Events = Annotated[LiveEvents, Depends(_live_events)]
