"""Serves the application with uvicorn; the daemon owns the signals and the socket."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from leakwatch.errors import ConfigError
from leakwatch.web.server.connection import Config
from leakwatch.web.server.guard import Guard
from leakwatch.web.server.web_config_file import WebFile

BACKLOG = 128


def bind(listen: str) -> socket.socket:
    """Return a socket that listens on `listen`, host:port; raises ConfigError if it cannot."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not host and socket.has_dualstack_ipv6():
        family = socket.AF_INET6
    # With its protocol named, asyncio knows it for TCP and does not let the end of an answer wait for 40 ms.
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


def address(bound: socket.socket, *, secure: bool) -> str:
    """Return the URL under which a bound socket can be reached from here."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104  compared, not bound
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the daemon stops us."""
        yield


class Web:
    """The application on a socket, behind the guard, from `start` to `stop`; `url` is where that is."""

    def __init__(self, app: Starlette, bound: socket.socket, file: WebFile, url: str) -> None:
        self.url = url
        self._server = Server(Config(Guard(app, file), file))
        self._bound = bound
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to serve."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._bound]))

    async def stop(self) -> None:
        """End within the grace."""
        self._server.should_exit = True
        if self._task:
            await self._task
