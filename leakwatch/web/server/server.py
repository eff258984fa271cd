"""The HTTP server of pages, API and metrics: uvicorn on a socket that leakwatch opened."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from leakwatch.errors import ConfigError
from leakwatch.web.server.connection import ServerConfig
from leakwatch.web.server.guard import Guard
from leakwatch.web.server.web_config_file import WebFile

BACKLOG = 128


def bind(listen: str) -> socket.socket:
    """Return a socket that listens on `listen`, host:port; raise ConfigError if it cannot."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not host and socket.has_dualstack_ipv6():
        family = socket.AF_INET6
    # asyncio sets TCP_NODELAY only if the protocol is named. Without it, the end of a response waits for 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not host:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((host, int(port)))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"cannot listen on {listen} (--listen, web.listen): {error.strerror or error}"
        ) from error
    return bound


def local_url(bound: socket.socket, *, secure: bool) -> str:
    """Return the URL of a bound socket for clients on this host."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104  compared, not bound
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class UvicornServer(uvicorn.Server):
    """A uvicorn server without signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the daemon handles signals and stops the server."""
        yield


class WebServer:
    """Serves a guarded application, from `start` to `stop`.

    `url`: the URL of the overview for browsers; `address`: the URL for clients on this host.
    """

    def __init__(self, app: Guard, bound: socket.socket, file: WebFile, *, url: str, address: str) -> None:
        self.url = url
        self.address = address
        self._server = UvicornServer(ServerConfig(app, file))
        self._bound = bound
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to serve."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._bound]))

    async def stop(self) -> None:
        """Stop; open requests get the grace period."""
        self._server.should_exit = True
        if self._task:
            await self._task
