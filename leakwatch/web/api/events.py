"""News, as they happen: server-sent events that say that something has changed, and never what.

    id: 1700000000-12-340-1700000300120-20    what it was compared with; a browser that comes back says it
    event: changed
    data: {"leaks": 3, "verdict": true}

Whoever listens asks for what it shows. A verdict that turns or a target that goes down is told within a second,
counts of a block that has closed less often: a large fleet closes one at each moment.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

from leakwatch.web.api.state import AppState
from leakwatch.web.server.connection import REQUEST_TIME

TICK = 1.0  # seconds between two looks
CALM = 10  # looks at least between two events that tell of no verdict and no target
HEARTBEAT = 15.0  # seconds after which an empty line says that we are here
AGAIN = 2000  # milliseconds after which a browser comes back
LASTS = REQUEST_TIME - 10
"""Seconds after which a stream ends, before the connection would be cut; browsers come back by themselves."""
LISTENERS = 64
"""At once; each holds one of the connections that there are."""

State = tuple[int, ...]


class Changes:
    """Tells those who listen that something has changed; all times in seconds."""

    def __init__(
        self, source: AppState, tick: float = TICK, lasts: float = LASTS, heartbeat: float = HEARTBEAT
    ) -> None:
        self.listeners = 0
        self._source = source
        self._tick = tick
        self._lasts = lasts
        self._heartbeat = heartbeat

    def full(self) -> bool:
        """Tell whether there are as many listeners as there may be."""
        return self.listeners >= LISTENERS

    async def stream(self, last: str = "") -> AsyncGenerator[bytes]:
        """Yield events until it is time to come back or the daemon ends; `last`: id of the last one heard."""
        self.listeners += 1
        try:
            async with contextlib.aclosing(self._stream(last)) as lines:
                async for line in lines:
                    yield line
        finally:
            self.listeners -= 1

    async def _stream(self, last: str) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        begin = said = loop.time()
        told = self._urgent(), self._source.pipeline.blocks
        yield f"retry: {AGAIN}\n\n".encode()
        if last and last != self._id(*told):
            yield self._event(*told, verdict=True)
        while not await self._ends():
            now, (urgent, blocks) = loop.time(), (self._urgent(), self._source.pipeline.blocks)
            verdict = urgent != told[0]
            if verdict or (blocks != told[1] and now - said >= CALM * self._tick):
                told, said = (urgent, blocks), now
                yield self._event(urgent, blocks, verdict=verdict)
            elif now - said >= self._heartbeat:
                said = now
                yield b":\n\n"
            if now - begin >= self._lasts:
                return

    async def _ends(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tick):
                return await self._source.stop.wait()
        return False

    def _urgent(self) -> State:
        """Return what is another when a verdict has turned, or a target has come, gone, or changed its health."""
        health = self._source.health()
        latest = max((one.since for one in health.values()), default=0.0)  # one may go down while another comes up
        return self._source.pipeline.verdict_changes, len(health), round(1000 * latest)

    def _id(self, urgent: State, blocks: int) -> str:
        return "-".join(map(str, (int(self._source.started), *urgent, blocks)))

    def _event(self, urgent: State, blocks: int, *, verdict: bool) -> bytes:
        data = json.dumps({"leaks": len(self._source.leaks()), "verdict": verdict})
        return f"id: {self._id(urgent, blocks)}\nevent: changed\ndata: {data}\n\n".encode()
