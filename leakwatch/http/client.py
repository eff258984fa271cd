"""HTTP clients with one connection per address, and TLS contexts that follow changed files.

No other module makes HTTP clients, except the demo.
"""

import ssl

import httpx

from leakwatch import __version__
from leakwatch.http.settings import TlsConfig
from leakwatch.http.transport import Transport

USER_AGENT = f"leakwatch/{__version__}"


class TlsError(OSError):
    """A certificate or key file cannot be used now."""


class Tls:
    """The TLS context of a job, shared by the clients of its targets. A changed file replaces it.

    If `secure` is false, do not load CA certificates, which take about 1 MB.
    """

    def __init__(self, settings: TlsConfig, *, secure: bool) -> None:
        self._settings = settings
        self._secure = secure
        self._modified: tuple[int, ...] | None = None
        """Modification times of the files when `_context` was made."""
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for the current files; raises TlsError."""
        try:
            modified = tuple(file.stat().st_mtime_ns for file in self._settings.files()) if self._secure else ()
            if self._context is None or modified != self._modified:
                self._context = (
                    self._settings.context() if self._secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                )
                self._modified = modified
        except OSError as error:
            raise TlsError(str(error)) from error
        return self._context


class Client:
    """The HTTP client of one address. It has one connection, which it keeps open.

    `socket`: path of a unix socket; `transport`: replaces the network in tests. The addresses do not share a pool,
    because each request would search the whole pool. Proxies of the environment do not apply: they are for
    addresses outside the network, not for targets.
    """

    def __init__(
        self,
        tls: Tls,
        *,
        timeout: float,
        socket: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._tls = tls
        self._timeout = timeout
        self._socket = socket
        self._transport = transport
        self._context: ssl.SSLContext | None = None
        self._client: httpx.AsyncClient | None = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def get(self) -> httpx.AsyncClient:
        """Return the client, a new one if certificates have changed.

        Raises TlsError, and ConnectError after `close`.
        """
        context = self._tls.context()
        if context is not self._context:
            await self._drop()
        if self._closed:  # maybe during _drop
            raise httpx.ConnectError("the client has been closed")
        if self._client is None:
            self._client, self._context = self._new_client(context), context
        return self._client

    async def close(self) -> None:
        """Close the connection. The client does not connect again."""
        self._closed = True
        await self._drop()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.aclose()

    def _new_client(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._transport or Transport(context, socket=self._socket),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            timeout=httpx.Timeout(self._timeout, connect=self._timeout / 2),
            trust_env=False,
        )
