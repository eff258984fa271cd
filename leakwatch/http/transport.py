"""A transport of httpx for one address: one connection, which stays open, and no retries.

The transport of httpx itself takes four times the CPU, because it works on each chunk in Python (docs/cost.md).
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import httpx

from leakwatch.http.connection import Connection
from leakwatch.http.sockets import system_message, tcp_socket, unix_socket
from leakwatch.http.tls_session import TlsSession

TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TARGET: Final = re.compile(rb"[!-~]+")
VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")


class Transport(httpx.AsyncBaseTransport):
    """Sends requests to one address, one at a time.

    `context`: for https; `socket`: path of a unix socket. A request waits for the end of the previous response, up
    to the pool timeout. A connection to another address, or that the server has closed meanwhile, is replaced
    before a request is sent. The extension `connection` of a response is the same object for all responses over
    one connection.
    """

    def __init__(self, context: ssl.SSLContext, *, socket: str | None = None) -> None:
        self._context = context
        self._socket = socket
        self._slot = asyncio.Lock()
        self._connection: Connection | None = None
        self._origin: tuple[str, bytes, int | None] | None = None
        """Scheme, host and port of the connection."""
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response is complete when its stream ends."""
        timeouts = request.extensions.get("timeout", {})
        head = encoded_head(request)
        await self._acquire(timeouts.get("pool"))
        try:
            connection = await self._connected(request, timeouts.get("connect"))
            connection.begin(has_body=request.method != "HEAD")
            await _send(connection, head, request, timeouts.get("write"))
            response = await connection.head(timeouts.get("read"))
        except BaseException:
            self._drop()
            self._slot.release()
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(connection, timeouts.get("read"), self._slot),
            extensions={
                "http_version": f"HTTP/{response.version}".encode(),
                "reason_phrase": response.reason,
                "connection": connection,
            },
        )

    async def aclose(self) -> None:
        """Close the connection. Requests fail from now on."""
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _acquire(self, timeout: float | None) -> None:  # noqa: ASYNC109  as httpx has it
        try:
            async with asyncio.timeout(timeout):
                await self._slot.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout(f"another request has lasted for {timeout:g} s") from error

    async def _connected(self, request: httpx.Request, timeout: float | None) -> Connection:  # noqa: ASYNC109
        """Return the open connection, or a new one; raises ConnectError with the error of the system behind it."""
        origin = request.url.scheme, request.url.raw_host, request.url.port
        if self._connection is not None and origin == self._origin and self._connection.is_idle():
            return self._connection
        self._drop()
        if self._is_closed:
            raise httpx.ConnectError("the client has been closed")
        try:
            connection, self._origin = Connection(self._tls_session(request)), origin
            self._connection = connection
            async with asyncio.timeout(timeout):
                await self._connect(connection, request.url)
                await connection.handshake()
        except httpx.TransportError as error:
            raise httpx.ConnectError("the server closed the connection during the TLS handshake") from error
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and not error.errno:  # with a number, it is the error of the system
                raise httpx.ConnectTimeout(f"no connection within {timeout:g} s") from error
            raise httpx.ConnectError(system_message(error) or str(error)) from error
        return connection

    def _tls_session(self, request: httpx.Request) -> TlsSession | None:
        if request.url.scheme != "https":
            return None
        self._context.set_alpn_protocols(["http/1.1"])
        name = request.extensions.get("sni_hostname") or _host(request.url)
        return TlsSession(self._context, name.removesuffix("."))  # certificates and SNI have no dot at the end

    async def _connect(self, connection: Connection, url: httpx.URL) -> None:
        loop = asyncio.get_running_loop()
        if self._socket is not None:
            await loop.create_unix_connection(lambda: connection, sock=unix_socket(self._socket))
        else:
            port = url.port if url.port is not None else 443 if url.scheme == "https" else 80
            await loop.create_connection(lambda: connection, sock=await tcp_socket(_host(url), port))


class _Body(httpx.AsyncByteStream):
    """The body of a response. If it is not read to its end, the connection is closed."""

    def __init__(self, connection: Connection, timeout: float | None, slot: asyncio.Lock) -> None:
        self._connection = connection
        self._timeout = timeout
        self._slot: asyncio.Lock | None = slot

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._connection.read(self._timeout):
                yield piece
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._connection.end()
            slot.release()


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def encoded_head(request: httpx.Request) -> bytes:
    """Return the request line and the headers; raises LocalProtocolError for characters that would end a line."""
    method, target = request.method.encode("ascii", "replace"), request.url.raw_path
    if not TOKEN.fullmatch(method) or not TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("the method or the target of the request has invalid characters")
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    for name, value in request.headers.raw:
        if not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise httpx.LocalProtocolError(f"header {name!r} of the request has invalid characters")
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])


async def _send(
    connection: Connection,
    head: bytes,
    request: httpx.Request,
    timeout: float | None,  # noqa: ASYNC109  as httpx has it
) -> None:
    """Send a request; its body is in chunks if httpx does not know its length."""
    is_chunked = "Transfer-Encoding" in request.headers
    data = head
    async for piece in cast(Any, request.stream):
        if piece:
            data += b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
            await connection.send(data, timeout)
            data = b""
    if is_chunked:
        data += b"0\r\n\r\n"
    if data:
        await connection.send(data, timeout)
