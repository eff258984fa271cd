"""Live events: their content, their rate, the maximum number of listeners, and the end of a stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
from starlette.types import Message

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.web.api import events
from leakwatch.web.api.events import EventStream, LiveEvents
from leakwatch.web.api.state import AppState
from leakwatch.web.server.connection import REQUEST_TIME
from tests.support.api_world import ONE, app, app_state, get, sample
from tests.support.clock import until
from tests.support.simulated import START, stack

TWO = Target("shop", "two")
HANG = 120  # seconds; only a stream that hangs reaches it


def live_events(
    state: AppState, *, tick: float = 0.01, duration: float = HANG, heartbeat: float = HANG
) -> LiveEvents:
    """Return the live events of a state."""
    return LiveEvents(state.fleet, START, state.stop, tick=tick, duration=duration, heartbeat=heartbeat)


def event(text: bytes) -> dict[str, str]:
    """Return the fields of one event."""
    return dict(line.split(": ", 1) for line in text.decode().splitlines() if line)


async def next_event(stream: AsyncIterator[bytes]) -> dict[str, str]:
    """Return the next event of a stream."""
    return event(await asyncio.wait_for(anext(stream), HANG))


def test_verdicts_and_health_are_reported_at_once() -> None:
    """A change of a verdict or of a target's health is reported at the next check, without its content."""

    async def listen() -> None:
        health = {ONE: TargetHealth(up=True, since=1.0), TWO: TargetHealth(up=False, since=1.0)}
        state = app_state(pipeline=Pipeline(DetectionSettings()), health=lambda: health)
        async with aclosing(live_events(state).stream()) as stream:
            assert await next_event(stream) == {"retry": "2000"}
            health[Target("shop", "new")] = TargetHealth()
            first = await next_event(stream)
            health[ONE].up, health[ONE].since, health[TWO].up, health[TWO].since = False, 2.0, True, 2.0
            second = await next_event(stream)
            state.fleet.pipeline.configure(DetectionSettings(block=60.0))  # counts as a change of verdicts
            third = await next_event(stream)
            assert {fields["event"] for fields in (first, second, third)} == {"changed"}
            assert len({fields["id"] for fields in (first, second, third)}) == 3
            assert json.loads(third["data"]) == {"leaks": 0, "verdict": True}

    asyncio.run(listen())


def test_closed_blocks_are_reported_less_often() -> None:
    """Closed blocks are reported every ten ticks at most, also if a fleet closes a block at every tick."""
    tick, number = 0.01, 3

    def closes_blocks() -> dict[Target, TargetHealth]:
        state.fleet.pipeline.blocks += 1
        return {}

    state = app_state(pipeline=Pipeline(DetectionSettings()), health=closes_blocks)

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with aclosing(live_events(state, tick=tick).stream()) as stream:
            await next_event(stream)
            for _ in range(number):
                fields = await next_event(stream)
                assert json.loads(fields["data"])["verdict"] is False
        assert loop.time() - begin >= number * events.TICKS_PER_BLOCK_EVENT * tick

    asyncio.run(listen())


def test_the_pipeline_counts_blocks_and_changes() -> None:
    """The pipeline counts closed blocks and changes of verdicts."""
    pipeline = Pipeline(DetectionSettings())
    before = pipeline.blocks, pipeline.revision
    assert before == (0, 0)
    for minute in range(150):
        pipeline.observe(pipeline.add_target(ONE), START + 60 * minute, 0, sample(stack("leak"), 9 * minute))
    assert pipeline.blocks == 29
    assert pipeline.revision == 2  # suspected, leaking


def test_a_reconnected_listener_gets_missed_events() -> None:
    """A browser that reconnects sends its last event id, and gets an event if anything changed since."""

    async def lines(last_id: str) -> list[bytes]:
        stream = live_events(app_state(), duration=0.03).stream(last_id)
        return [line async for line in stream]

    (_, missed) = asyncio.run(lines("of another daemon"))
    assert event(missed)["event"] == "changed"
    assert len(asyncio.run(lines(event(missed)["id"]))) == 1


def test_a_stream_ends_before_its_connection() -> None:
    """A stream ends before the server closes its connection."""
    assert events.DURATION < REQUEST_TIME
    response = get("/api/v1/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.text == "retry: 2000\n\n"


def test_a_heartbeat() -> None:
    """A stream without events has empty lines, so that no proxy closes the connection."""

    async def listen() -> None:
        async with aclosing(live_events(app_state(), heartbeat=0.05).stream()) as stream:
            await next_event(stream)
            for _ in range(3):
                assert await asyncio.wait_for(anext(stream), HANG) == b":\n\n"

    asyncio.run(listen())


def test_streams_end_with_the_daemon() -> None:
    """All streams end at once when the daemon stops, not after a tick."""

    async def listen() -> list[bytes]:
        state = app_state()
        async with aclosing(live_events(state, tick=10 * HANG).stream()) as stream:
            await next_event(stream)
            asyncio.get_running_loop().call_soon(state.stop.set)
            return await asyncio.wait_for(_rest(stream), HANG)

    assert asyncio.run(listen()) == []


async def _rest(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [line async for line in stream]


def test_the_number_of_listeners_is_limited() -> None:
    """Listeners beyond the limit get 503, also if all arrive at once; the end of a listener makes room."""

    async def listen() -> None:
        state = app_state()
        full = live_events(state, tick=10 * HANG)
        statuses: list[int] = []

        async def receive() -> Message:
            return await asyncio.Future()  # the client stays

        async def send(message: Message) -> None:
            await asyncio.sleep(0)
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        number = events.LISTENERS + 9
        streams = [EventStream(full, "")({"type": "http"}, receive, send) for _ in range(number)]
        tasks = [asyncio.create_task(stream) for stream in streams]
        await until(lambda: len(statuses) == number)
        assert (statuses.count(200), statuses.count(503), full.listeners) == (
            events.LISTENERS,
            9,
            events.LISTENERS,
        )
        state.stop.set()
        await asyncio.gather(*tasks)
        assert full.listeners == 0

    asyncio.run(listen())


def test_a_listener_beyond_the_limit() -> None:
    """The response is a problem, with the time of the next attempt."""

    async def listen() -> httpx.Response:
        full = live_events(app_state())
        full.listeners = events.LISTENERS
        transport = httpx.ASGITransport(app=app(live_events=full))
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await client.get("/api/v1/events")

    refused = asyncio.run(listen())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    assert refused.headers["content-type"] == "application/problem+json"
