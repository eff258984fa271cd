"""HTTP clients: the only place that makes them. Settings as in Prometheus's scrape configuration."""

import os
import socket
import ssl

import httpx

from leakwatch import __version__
from leakwatch.http.settings import TlsConfig

USER_AGENT = f"leakwatch/{__version__}"


class TlsError(OSError):
    """A certificate or key cannot be used as it is now."""


class Tls:
    """The TLS context of a job, shared by its clients; made anew when one of its files has changed.

    Without `secure` it is one that never speaks TLS: the world's certificates are a megabyte of memory.
    """

    def __init__(self, settings: TlsConfig, *, secure: bool) -> None:
        self._settings = settings
        self._secure = secure
        self._version: tuple[int, ...] | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for the files as they are now; raises TlsError."""
        try:
            version = tuple(file.stat().st_mtime_ns for file in self._settings.files()) if self._secure else ()
            if self._context is None or version != self._version:
                self._context = (
                    self._settings.context() if self._secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                )
                self._version = version
        except OSError as error:
            raise TlsError(str(error)) from error
        return self._context


class Client:
    """The HTTP client of one address: one connection, kept open; `socket`: path of a unix socket.

    One small client per address, because a shared pool is searched whole at every request. Proxies of the
    environment are for the outside world, not for what we watch.
    """

    def __init__(self, tls: Tls, *, timeout: float, socket: str | None = None) -> None:
        self._tls = tls
        self._timeout = timeout
        self._socket = socket
        self._context: ssl.SSLContext | None = None
        self._client: httpx.AsyncClient | None = None
        self._closed = False

    async def get(self) -> httpx.AsyncClient:
        """Return the client, a new one if its certificates have changed.

        Raises TlsError, and ConnectError if it was closed.
        """
        context = self._tls.context()
        if context is not self._context:
            await self._drop()
        if self._closed:  # meanwhile, perhaps
            raise httpx.ConnectError("the client has been closed")
        if self._client is None:
            self._client, self._context = self._make(context), context
        return self._client

    async def close(self) -> None:
        """Close the connection, for good."""
        self._closed = True
        await self._drop()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.aclose()

    def _make(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        transport = httpx.AsyncHTTPTransport(verify=context, limits=limits, uds=self._socket, trust_env=False)
        return httpx.AsyncClient(
            transport=transport,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            timeout=httpx.Timeout(self._timeout, connect=self._timeout / 2),
            trust_env=False,
        )


def refusal(error: BaseException | None) -> str:
    """Return what the system said, "Connection refused" for example, "" if it said nothing."""
    if isinstance(error, socket.gaierror):
        return f"{error.strerror or error}"
    if isinstance(error, ssl.SSLError):  # its numbers are OpenSSL's, not the system's
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, BaseExceptionGroup):  # one for each address of the host
        return next(filter(None, map(refusal, error.exceptions)), "")
    return refusal(error.__cause__ or error.__context__) if error else ""
