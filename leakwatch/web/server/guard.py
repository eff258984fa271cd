"""Access to the whole application, and headers of all responses."""

import base64
import binascii

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leakwatch.web.server.origin import OriginCheck
from leakwatch.web.server.passwords import PasswordChecksBusy, Passwords
from leakwatch.web.server.web_config_file import WebFile, WebPolicy

LONGEST, DEEPEST = 8192, 100
"""Maximum characters and slashes of a path. A lookup tries a split at each slash, as names may contain slashes."""
CHUNK = 65536
"""Bytes of a body that are passed to the server at once, so that a slow client does not fill its buffers."""


def credentials(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """Return user and password of basic authorization, None without valid credentials."""
    value = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except binascii.Error:
        return None
    return (user, password) if colon else None


class Guard:
    """Wraps an application. All paths require the password, including health checks, as in Prometheus."""

    def __init__(self, app: ASGIApp, file: WebFile, origins: OriginCheck) -> None:
        self._app = app
        self._file = file
        self._origins = origins
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        policy = self._file.policy()
        if _is_too_long(scope):
            await PlainTextResponse("the path is too long.\n", 414)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send({**message, "headers": [*message["headers"], *policy.headers]})
                return
            body = message.get("body", b"")
            for start in range(0, len(body) - CHUNK, CHUNK):
                await send({**message, "body": body[start : start + CHUNK], "more_body": True})
            await send({**message, "body": body[max(len(body) - 1, 0) // CHUNK * CHUNK :]})

        app = await self._refusal(scope, policy) or self._app
        await app(scope, receive, answer)

    async def _refusal(self, scope: Scope, policy: WebPolicy) -> Response | None:
        """Return the response to a foreign page or a client without valid credentials, None for all others."""
        headers, is_open = Headers(scope=scope), not (policy.context or policy.hashes)
        reason = await self._origins.refusal(scope["method"], scope["path"], headers, check_host=is_open)
        if reason:
            return PlainTextResponse(f"{reason}.\n", 403)
        if not policy.hashes:
            return None
        user_and_password = credentials(scope["headers"])
        try:
            if user_and_password and await self._passwords.are_valid(policy.hashes, *user_and_password):
                return None
        except PasswordChecksBusy:
            return PlainTextResponse("too many login attempts.\n", 429, {"Retry-After": "1"})
        return PlainTextResponse("unauthorized.\n", 401, {"WWW-Authenticate": 'Basic realm="leakwatch"'})


def _is_too_long(scope: Scope) -> bool:
    path: str = scope.get("path", "")
    return len(path) > LONGEST or path.count("/") > DEEPEST
