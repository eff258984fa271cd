"""Limits the number of responses of one kind that are made at once, so that clients cannot delay scrapes."""

import asyncio

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RUNNING = 2
"""Responses made at once. More threads would compete with the event loop for the interpreter."""
WAITING = 62
"""Requests that may wait for their turn; a further one gets status 503."""


class LimitedApp:
    """Wraps an application that answers one kind of request.

    A turn ends when the response begins, because from then on only its client determines how long it takes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turn = asyncio.Semaphore(RUNNING)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request when it has its turn."""
        if self._waiting >= WAITING:
            await PlainTextResponse("too many requests.\n", 503, {"Retry-After": "1"})(scope, receive, send)
            return
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        has_turn = True

        def end_turn() -> None:
            nonlocal has_turn
            if has_turn:
                has_turn = False
                self._turn.release()

        async def answer(message: Message) -> None:
            end_turn()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            end_turn()
