"""Endpoints of leakwatch itself: its status, and news."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.responses import Response, StreamingResponse

from leakwatch.web.api.events import LISTENERS, Changes
from leakwatch.web.api.models import status as models
from leakwatch.web.api.params import Known, problems
from leakwatch.web.api.problems import problem
from leakwatch.web.api.responses import NO_STORE, answer
from leakwatch.web.api.status import status

router = APIRouter(tags=["leakwatch"], responses=problems(422))

EVENT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"const": "changed"}, "data": {"type": "string"}},
    "required": ["id", "event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": EVENT}}}}


@router.get("/status", response_model=models.Status)
async def own_status(source: Known) -> Response:
    """Tell how leakwatch itself fares."""
    return answer(status(source))


@router.get("/events", response_class=StreamingResponse, responses=STREAM | problems(503))
async def events(request: Request, last_event_id: Annotated[str, Header()] = "") -> Response:
    """Tell at once when something has changed; a stream ends within a minute, browsers come back by themselves."""
    changes: Changes = request.app.state.changes
    if changes.full():
        return problem(503, f"{LISTENERS} listen already", {"Retry-After": "10"})
    headers = {**NO_STORE, "X-Accel-Buffering": "no"}
    return StreamingResponse(changes.stream(last_event_id), media_type="text/event-stream", headers=headers)
