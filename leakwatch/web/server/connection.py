"""One connection to us: its limits, and whom its certificate names."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from leakwatch.web.server.tls import Rotating, names
from leakwatch.web.server.web_config_file import WebFile

log = structlog.get_logger()

GRACE = 1  # seconds that open requests get at shutdown
IDLE_TIME = 5  # seconds between two requests
REQUEST_TIME = 60.0
"""Seconds from the connection, or the first byte of a request, until its answer has been taken."""
CONNECTIONS = 512
"""At once; as many as Prometheus takes. One more is closed."""


class Config(uvicorn.Config):
    """uvicorn's settings, and what a connection of ours asks for."""

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
            ssl_context_factory=(lambda *_: Rotating(file.context)) if file.secure else None,
        )


class Connection(H11Protocol):
    """Ends when a request takes too long: one that never comes, comes byte by byte, or is never fetched."""

    config: Config

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin, if there is room and the client's certificate has a name that may come in."""
        super().connection_made(transport)
        self._expect()
        if len(self.connections) > CONNECTIONS or not self._allowed(transport):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in bytes."""
        self._expect()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request, go on with one that is here already, or end."""
        self._relax()
        super().on_response_complete()
        if not self.cycle.response_complete or self.transport.is_closing():
            self._expect()

    def timeout_keep_alive_handler(self) -> None:
        """End, for no request came; what the client has not taken yet has its time too."""
        super().timeout_keep_alive_handler()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._relax()
        super().connection_lost(exc)

    def _allowed(self, transport: asyncio.Transport) -> bool:
        tls = self.config.file.terms().settings.tls_server_config
        if tls is None or tls.client_allowed_sans is None:
            return True
        peer: Mapping[str, Any] | None = transport.get_extra_info("peercert")
        if tls.allows(peer):
            return True
        log.warning("a client certificate has no name of client_allowed_sans", names=sorted(names(peer)))
        return False

    def _expect(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.config.request_time, self.transport.abort)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
