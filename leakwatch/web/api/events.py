"""Live events: server-sent events that report that something changed, without the change itself.

    id: 1700000000-12-340-1700000300120-20    the state behind the event; a browser that reconnects sends it back
    event: changed
    data: {"leaks": 3, "verdict": true}

A listener then requests the data that it shows. A change of a verdict or of a target's health is reported within a
second. Closed blocks are reported less often, because a large fleet closes a block at every moment.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from leakwatch.web.api.fleet import Fleet
from leakwatch.web.api.problems import problem
from leakwatch.web.api.responses import NO_STORE
from leakwatch.web.server.connection import REQUEST_TIME

TICK = 1.0  # seconds between two checks
TICKS_PER_BLOCK_EVENT = 10
"""Ticks at least between two events that report closed blocks only."""
HEARTBEAT = 15.0  # seconds; an empty line keeps proxies from closing the connection
RETRY = 2000  # milliseconds after which a browser reconnects
DURATION = REQUEST_TIME - 10
"""Seconds after which a stream ends, before the server closes the connection. Browsers reconnect by themselves."""
LISTENERS = 64
"""Maximum number of listeners. Each takes one of the server's connections."""

UrgentState = tuple[int, ...]


class EventStream(StreamingResponse):
    """The response to a listener: live events, or status 503 beyond the maximum number of listeners."""

    def __init__(self, live_events: "LiveEvents", last_id: str) -> None:
        headers = {**NO_STORE, "X-Accel-Buffering": "no"}
        super().__init__(live_events.stream(last_id), media_type="text/event-stream", headers=headers)
        self._live_events = live_events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. The listener counts before the first byte is sent, which a slow client can delay."""
        if self._live_events.listeners >= LISTENERS:
            full = problem(503, f"{LISTENERS} clients listen already", {"Retry-After": "10"})
            await full(scope, receive, send)
            return
        self._live_events.listeners += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live_events.listeners -= 1


class LiveEvents:
    """Reports changes of a fleet to listeners. All times in seconds; `started`: the start of the daemon."""

    def __init__(
        self,
        fleet: Fleet,
        started: float,
        stop: asyncio.Event,
        *,
        tick: float = TICK,
        duration: float = DURATION,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self.listeners = 0
        self._fleet = fleet
        self._started = started
        self._stop = stop
        self._tick = tick
        self._duration = duration
        self._heartbeat = heartbeat

    async def stream(self, last_id: str = "") -> AsyncGenerator[bytes]:
        """Yield events until the duration ends or the daemon stops; `last_id`: the last event received."""
        loop = asyncio.get_running_loop()
        begin = sent_at = loop.time()
        sent = self._urgent_state(), self._fleet.pipeline.blocks
        yield f"retry: {RETRY}\n\n".encode()
        if last_id and last_id != self._id(*sent):
            yield self._event(*sent, verdict=True)
        while not await self._is_stopped():
            now, (urgent, blocks) = loop.time(), (self._urgent_state(), self._fleet.pipeline.blocks)
            verdict = urgent != sent[0]
            if verdict or (blocks != sent[1] and now - sent_at >= TICKS_PER_BLOCK_EVENT * self._tick):
                sent, sent_at = (urgent, blocks), now
                yield self._event(urgent, blocks, verdict=verdict)
            elif now - sent_at >= self._heartbeat:
                sent_at = now
                yield b":\n\n"
            if now - begin >= self._duration:
                return

    async def _is_stopped(self) -> bool:
        """Wait for one tick; return whether the daemon stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tick):
                return await self._stop.wait()
        return False

    def _urgent_state(self) -> UrgentState:
        """Return a value that differs after a change of a verdict, of a target's health or of the target set."""
        health = self._fleet.health()
        # A target may go down while another one comes up, so the time of the latest change counts too.
        latest = max((target_health.since for target_health in health.values()), default=0.0)
        return self._fleet.pipeline.revision, len(health), round(1000 * latest)

    def _id(self, urgent: UrgentState, blocks: int) -> str:
        return "-".join(map(str, (int(self._started), *urgent, blocks)))

    def _event(self, urgent: UrgentState, blocks: int, *, verdict: bool) -> bytes:
        data = json.dumps({"leaks": len(self._fleet.pipeline.open_leaks()), "verdict": verdict})
        return f"id: {self._id(urgent, blocks)}\nevent: changed\ndata: {data}\n\n".encode()
