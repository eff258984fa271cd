"""Connections of the server: their time limit, their maximum number, and names of client certificates."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from leakwatch.web.server.tls import RotatingContext, names
from leakwatch.web.server.web_config_file import WebFile

log = structlog.get_logger()

GRACE = 1  # seconds that open requests get at shutdown
IDLE_TIME = 5  # seconds between two requests
REQUEST_TIME = 60.0
"""Seconds from the connection, or the first byte of a request, until the client has received the response."""
CONNECTIONS = 512
"""Maximum number of connections, as in Prometheus. A further one replaces the oldest idle one."""


class ServerConfig(uvicorn.Config):
    """Settings of uvicorn and of `Connection`; `request_time` in seconds."""

    def __init__(self, app: ASGIApp, file: WebFile, request_time: float = REQUEST_TIME) -> None:
        self.file = file
        self.request_time = request_time
        super().__init__(
            app,
            http=Connection,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_TIME,
            timeout_graceful_shutdown=GRACE,
            ssl_context_factory=(lambda *_: RotatingContext(file.context)) if file.secure else None,
        )


class Connection(H11Protocol):
    """Closes itself if a request takes too long to arrive, to be answered, or to be received."""

    config: ServerConfig

    _deadline: asyncio.TimerHandle | None = None
    waiting_since = 0.0
    """Time of the event loop at which the latest response was complete, or the connection was made."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Accept the connection if the name of the client certificate is allowed."""
        super().connection_made(transport)
        self._start_deadline()
        self.waiting_since = self.loop.time()
        if self._is_allowed(transport):
            self._make_room()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request."""
        self._start_deadline()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request, start one that has already arrived, or close the connection."""
        self._cancel_deadline()
        self.waiting_since = self.loop.time()
        super().on_response_complete()
        if not self.cycle.response_complete or self.transport.is_closing():
            self._start_deadline()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection without a further request; the rest of a response has a deadline too."""
        super().timeout_keep_alive_handler()
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Close the oldest idle connection if there are too many, so that health checks always get an answer."""
        if len(self.connections) <= CONNECTIONS:
            return
        others = [
            other
            for other in self.connections
            if isinstance(other, Connection) and other is not self and not other.transport.is_closing()
        ]
        if len(others) >= CONNECTIONS:
            oldest = min(others, key=lambda other: (other.is_busy(), other.waiting_since))
            oldest.transport.abort()

    def is_busy(self) -> bool:
        """Return whether a response is being made or sent."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_allowed(self, transport: asyncio.Transport) -> bool:
        tls = self.config.file.policy().settings.tls_server_config
        if tls is None or tls.client_allowed_sans is None:
            return True
        peer: Mapping[str, Any] | None = transport.get_extra_info("peercert")
        if tls.allows(peer):
            return True
        log.warning("client certificate rejected: no name is in client_allowed_sans", names=sorted(names(peer)))
        return False

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.config.request_time, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
