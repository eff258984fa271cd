"""News by server-sent events: what is told, how often, to how many, and that they end when the daemon does."""

import asyncio
import json
from contextlib import aclosing
from itertools import pairwise

import httpx

from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.web.api import events as changing
from leakwatch.web.api.events import Changes
from leakwatch.web.server.connection import REQUEST_TIME
from tests.support.api_world import ONE, app, get, sample, source
from tests.support.simulated import START, stack

TWO = Target("shop", "two")


def event(text: bytes) -> dict[str, str]:
    """Return the fields of one event."""
    return dict(line.split(": ", 1) for line in text.decode().splitlines() if line)


def test_verdicts_and_health_are_told_at_once() -> None:
    """A verdict that turns and a target that goes down are told at the next look; what changed is not told."""

    async def listen() -> None:
        health = {ONE: TargetHealth(up=True, since=1.0), TWO: TargetHealth(up=False, since=1.0)}
        known = source(pipeline=Pipeline(DetectionSettings()), health=lambda: health)
        async with aclosing(Changes(known, tick=0.01).stream()) as stream:
            assert event(await anext(stream)) == {"retry": "2000"}
            health[Target("shop", "new")] = TargetHealth()
            first = event(await anext(stream))
            health[ONE].up, health[ONE].since, health[TWO].up, health[TWO].since = False, 2.0, True, 2.0
            second = event(await anext(stream))
            known.pipeline.configure(DetectionSettings(block=60.0))  # counts as a change of verdicts
            third = event(await anext(stream))
            assert {one["event"] for one in (first, second, third)} == {"changed"}
            assert len({one["id"] for one in (first, second, third)}) == 3
            assert json.loads(third["data"]) == {"leaks": 0, "verdict": True}

    asyncio.run(listen())


def test_blocks_are_told_seldom() -> None:
    """A block that has closed is told too, but a fleet that closes one at each look is no storm."""

    async def listen() -> None:
        known = source(pipeline=Pipeline(DetectionSettings()), health=dict)
        loop, times = asyncio.get_running_loop(), []
        async with aclosing(Changes(known, tick=0.01).stream()) as stream:
            await anext(stream)
            for _ in range(3):
                known.pipeline.blocks += 1
                found = event(await anext(stream))
                times.append(loop.time())
                assert json.loads(found["data"])["verdict"] is False
        assert all(after - before >= 0.09 for before, after in pairwise(times))

    asyncio.run(listen())


def test_the_pipeline_counts_what_is_told() -> None:
    """A block that closes and a verdict that turns are counted where they happen."""
    fed = Pipeline(DetectionSettings())
    before = fed.blocks, fed.verdict_changes
    assert before == (0, 0)
    for minute in range(150):
        fed.observe(fed.add_target(ONE), START + 60 * minute, 0, sample(stack("leak"), 9 * minute))
    assert fed.blocks == 29
    assert fed.verdict_changes == 2  # suspected, leaking


def test_who_comes_back_is_told_what_it_missed() -> None:
    """A browser says the last event that it heard: if something has changed since, it is told first."""

    async def first(last: str) -> list[bytes]:
        return [line async for line in Changes(source(), tick=0.01, lasts=0.03).stream(last)]

    (_, told) = asyncio.run(first("of another daemon"))
    assert event(told)["event"] == "changed"
    assert len(asyncio.run(first(event(told)["id"]))) == 1


def test_a_stream_ends_before_its_connection_is_cut() -> None:
    """It ends by itself, while heartbeats say that it lives."""
    assert changing.LASTS < REQUEST_TIME
    response = get("/api/v1/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.text == "retry: 2000\n\n"


def test_a_heartbeat() -> None:
    """When nothing happens a line says that we are here, so that nobody in between cuts the connection."""

    async def listen() -> list[bytes]:
        return [line async for line in Changes(source(), tick=0.01, lasts=0.3, heartbeat=0.05).stream()]

    beats = asyncio.run(listen())[1:]
    assert set(beats) == {b":\n\n"}
    assert 2 <= len(beats) <= 6


def test_streams_end_with_the_daemon() -> None:
    """When the daemon stops, who listens is let go at once, not after a tick."""

    async def listen() -> float:
        known = source()
        loop = asyncio.get_running_loop()
        async with aclosing(Changes(known, tick=60).stream()) as stream:
            await anext(stream)
            loop.call_later(0.05, known.stop.set)
            begin = loop.time()
            assert [line async for line in stream] == []
            return loop.time() - begin

    assert asyncio.run(listen()) < 30


def test_only_so_many_listen() -> None:
    """One more than there may be is told to come later; who goes away makes room."""

    async def listen() -> None:
        known = source()
        changes = Changes(known, tick=60)
        changes.listeners = changing.LISTENERS - 1
        transport = httpx.ASGITransport(app=app(known, changes=changes))
        async with aclosing(changes.stream()) as stream:
            await anext(stream)
            async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
                refused = await client.get("/api/v1/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.headers["content-type"] == "application/problem+json"
        assert not changes.full()

    asyncio.run(listen())
