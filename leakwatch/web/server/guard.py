"""Stands before the application: lets in who may come in, and adds headers to every answer."""

import base64
import binascii

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leakwatch.web.server.passwords import Busy, Passwords
from leakwatch.web.server.web_config_file import WebFile, WebPolicy


def credentials(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """Return user and password of basic authorization; None if there are none."""
    value = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except binascii.Error:
        return None
    return (user, password) if colon else None


LONGEST, DEEPEST = 8192, 100
"""Bytes and slashes of a path: names may have slashes in them, so each is a place where one could end."""
PIECE = 65536
"""Of a body, in bytes: the next one waits until the client has taken some of those before."""


class Guard:
    """Wraps an application. Every path wants the password, health too, as in Prometheus."""

    def __init__(self, app: ASGIApp, file: WebFile) -> None:
        self._app = app
        self._file = file
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        terms = self._file.terms()
        if _absurd(scope):
            await PlainTextResponse("no address here is so long.\n", 414)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send({**message, "headers": [*message["headers"], *terms.headers]})
                return
            body = message.get("body", b"")
            for start in range(0, len(body) - PIECE, PIECE):
                await send({**message, "body": body[start : start + PIECE], "more_body": True})
            await send({**message, "body": body[max(len(body) - 1, 0) // PIECE * PIECE :]})

        app = await self._refuse(scope, terms) or self._app
        await app(scope, receive, answer)

    async def _refuse(self, scope: Scope, terms: WebPolicy) -> Response | None:
        """Return what somebody gets who may not come in; None if they may."""
        if not terms.hashes:
            return None
        given = credentials(scope["headers"])
        try:
            if given and await self._passwords.admits(terms.hashes, *given):
                return None
        except Busy:
            return PlainTextResponse("too many passwords to check.\n", 429, {"Retry-After": "1"})
        return PlainTextResponse("unauthorized.\n", 401, {"WWW-Authenticate": 'Basic realm="leakwatch"'})


def _absurd(scope: Scope) -> bool:
    path: str = scope.get("path", "")
    return len(path) > LONGEST or path.count("/") > DEEPEST
