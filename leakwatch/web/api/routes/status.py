"""Endpoints of leakwatch itself: status and live events."""

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import Response, StreamingResponse

from leakwatch.web.api.dependencies import Alerts, Events, Own, View
from leakwatch.web.api.events import EventStream
from leakwatch.web.api.models import status as models
from leakwatch.web.api.params import problems
from leakwatch.web.api.responses import answer
from leakwatch.web.api.status import status

router = APIRouter(tags=["leakwatch"], responses=problems(422))

EVENT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"const": "changed"}, "data": {"type": "string"}},
    "required": ["id", "event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": EVENT}}}}


@router.get("/status", response_model=models.Status)
async def own_status(view: View, own: Own, alerts: Alerts) -> Response:
    """Return the status of leakwatch itself."""
    return answer(status(view, own, alerts.url))


@router.get("/events", response_class=StreamingResponse, responses=STREAM | problems(503))
async def events(live_events: Events, last_event_id: Annotated[str, Header()] = "") -> Response:
    """Stream an event after each change. A stream ends within a minute; browsers reconnect by themselves."""
    return EventStream(live_events, last_event_id)
