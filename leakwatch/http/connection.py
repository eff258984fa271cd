"""One connection to an HTTP server: sends requests one after the other, and buffers their responses."""

import asyncio
import select
import ssl
from typing import Final, cast

import httpx

from leakwatch.http.response import Response
from leakwatch.http.tls_session import TlsSession

BUFFER_LIMIT: Final = 131_072
"""The connection does not read while more bytes of a body have not been taken. One read has up to 256 KiB."""


class Connection(asyncio.Protocol):
    """A connection for one request at a time; `tls`: its TLS session, None for plain HTTP.

    Timeouts are in seconds, None for none. Errors are those of httpx; the caller closes the connection after them.
    """

    def __init__(self, tls: TlsSession | None = None) -> None:
        self.is_closed = False
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._is_read = False
        """Whether the body of the response was read to its end."""
        self._is_cut = False
        """Whether the response began before the request was sent."""
        self._error: httpx.TransportError | None = None
        """Why the connection has ended."""
        self._waiter: asyncio.Future[None] | None = None
        self._is_writable = True

    def close(self) -> None:
        """Close the socket at once, without the end of the TLS session."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def is_idle(self) -> bool:
        """Return whether a request can be sent: nothing, not even the end, has arrived since the last response.

        Checks the socket too, because the event loop may not have read it yet.
        """
        if self.is_closed or self._transport is None or self._response is not None:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def handshake(self) -> None:
        """Complete the TLS handshake; raises ssl.SSLError, and httpx.ReadError if the connection ends."""
        if self._tls is None:
            return
        try:
            self._tls.handshake()
            while not self._tls.is_established:
                self._write(b"")
                await self._wait()
                self._tls.handshake()
        finally:
            self._write(b"")  # after an error, this is the alert for the server

    async def send(self, data: bytes, timeout: float | None) -> None:  # noqa: ASYNC109  of each write, as httpx has it
        """Send a part of a request. A server may respond to the first part and close, so errors show at `head`.

        Once the response has begun, do not wait, and ignore further parts: the server may not read them.
        """
        response = self._current()
        if response.has_head:
            self._is_cut = True
            return
        try:
            self._write(data)
        except ssl.SSLError as error:  # such as a new handshake, which the server may request with TLS 1.2
            raise httpx.WriteError(str(error)) from error
        while not self._is_writable and not self.is_closed and not response.has_head:
            await self._wait_until(timeout, httpx.WriteTimeout)
        self._is_cut = not self._is_writable

    async def head(self, timeout: float | None) -> Response:  # noqa: ASYNC109  of each read
        """Return the current response when its header section has arrived."""
        response = self._current()
        while not response.has_head:
            await self._wait_until(timeout, httpx.ReadTimeout)
        return response

    async def read(self, timeout: float | None) -> bytes:  # noqa: ASYNC109  of each read
        """Return the next piece of the body of the current response, b"" at its end."""
        response = self._current()
        while not response.body and not response.is_complete:
            await self._wait_until(timeout, httpx.ReadTimeout)
        piece = response.take()
        if len(response.body) <= BUFFER_LIMIT and not self.is_closed and self._transport is not None:
            self._transport.resume_reading()
        self._is_read = not piece
        return piece

    def begin(self, *, has_body: bool) -> None:
        """Expect the response to a new request; `has_body`: false for HEAD."""
        self._response, self._is_read, self._is_cut = Response(has_body=has_body), False, False

    def end(self) -> None:
        """End the current response; close the connection unless both messages are complete and it stays open."""
        response, self._response = self._response, None
        if response is None or not response.keeps_alive or not self._is_read or self._is_cut:
            self.close()

    def _current(self) -> Response:
        if self._response is None:
            raise httpx.ReadError("the connection has no current request")
        return self._response

    def _write(self, data: bytes) -> None:
        if self._tls is not None:
            if data:
                self._tls.encrypt(data)
            data = self._tls.outgoing()
        if data and not self.is_closed and self._transport is not None:
            self._transport.write(data)

    async def _wait_until(self, timeout: float | None, late: type[httpx.TimeoutException]) -> None:  # noqa: ASYNC109
        """Wait until something has happened; raises the error with which the connection has ended, or `late`."""
        try:
            async with asyncio.timeout(timeout):
                await self._wait()
        except TimeoutError as error:
            raise late(f"no data for {timeout:g} s") from error

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_by(self, error: httpx.TransportError, cause: BaseException | None = None) -> None:
        """End the connection; a response that is complete, or ends with the connection, has no error."""
        if self._error is None:
            error.__cause__ = cause
            self._error = error
        self.close()
        self._wake()

    # Methods that the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)
        if self.is_closed:  # meanwhile
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the server."""
        try:
            if self._tls is None:
                self._receive(data)
            else:
                self._tls.receive(data)
                if self._tls.is_established:
                    for piece in self._tls.decrypted():
                        self._receive(piece)
                    self._write(b"")  # such as the answer to a new key
        except httpx.TransportError as error:
            self._end_by(error)
        except ssl.SSLError as error:
            self._end_by(httpx.ReadError(str(error)), error)
        self._wake()

    def _receive(self, data: bytes) -> None:
        if not data:
            self._receive_eof()
        elif self._response is None or self._response.is_complete:
            self._end_by(httpx.RemoteProtocolError("the server sent data without a request"))
        else:
            self._response.feed(data)
            if len(self._response.body) > BUFFER_LIMIT and self._transport is not None:
                self._transport.pause_reading()

    def eof_received(self) -> None:
        """End the current response with the connection.

        With TLS, a server ends its session first. Anyone between could end the connection.
        """
        self._receive_eof(is_cut=self._tls is not None)

    def _receive_eof(self, *, is_cut: bool = False) -> None:
        try:
            if self._response is not None:
                self._response.feed_eof(is_cut=is_cut)
            self._end_by(httpx.ReadError("the server closed the connection"))
        except httpx.RemoteProtocolError as error:
            self._end_by(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the error of the socket, unless the response is complete."""
        self._end_by(httpx.ReadError(str(exc or "the connection was closed")), exc)

    def pause_writing(self) -> None:
        """Let `send` wait."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Let `send` continue."""
        self._is_writable = True
        self._wake()
