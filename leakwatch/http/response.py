"""Parses one HTTP response from the bytes of a connection, without I/O. llhttp checks its syntax, in strict mode.

Each response has its own parser, so bytes behind a response never become a part of the next.
"""

from typing import Final

import httptools
import httpx

from leakwatch.errors import quote

HEAD_LIMIT: Final = 65_536
"""Bytes of a header section, and of chunk extensions or trailers without a byte of the body between them."""
FIELD_SIZE: Final = 32
"""Bytes that each header counts in addition, as in HTTP/2. httpx takes more than a microsecond for each."""
PIECE_LIMIT: Final = 65_536
"""Bytes of a piece of a body. One read of the socket has up to 256 KiB, and parsing takes a multiple of it."""
CLOSED: Final = "peer closed connection"
"""The beginning of the message for a body that ends early. The other messages are about invalid HTTP."""
SWITCHING_PROTOCOLS: Final = 101
VERSIONS: Final = {"1.0", "1.1"}


class Response:
    """One response, of which bytes arrive. Responses with a status of 1xx before it are skipped.

    `has_body`: false for the response to HEAD.
    """

    def __init__(self, *, has_body: bool = True) -> None:
        self.status = 0
        self.reason = b""
        self.version = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = False
        """Whether the header section is complete."""
        self.is_complete = False
        self.keeps_alive = False
        """Whether the connection can send another request after this response."""
        self.body = bytearray()
        """The part of the body that has arrived and was not taken."""
        self.on_body = self.body.extend  # joins chunks without a call of Python for each: Go sends chunks of 2 KiB
        self._has_body = has_body
        self._is_chunked = False
        self._ends_at_eof = False
        self._overhead = 0
        """Bytes since the latest byte of the body."""
        self._fields = 0
        """Size of the headers or trailers."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Parse the next bytes, and ignore those behind the end; raises httpx.RemoteProtocolError."""
        size = len(self.body)
        try:
            self._parse(data)
        except httpx.RemoteProtocolError:
            if not self.is_complete:
                raise
            self.keeps_alive = False
        if self.is_complete:
            self._parser = None  # it refers to this response; without this, both wait for the garbage collector
            return
        self._overhead = 0 if len(self.body) > size else self._overhead + len(data)
        self._check_size(self._overhead)

    def feed_eof(self, *, is_cut: bool = False) -> None:
        """End the response with its connection; raises httpx.RemoteProtocolError if a part of it is missing.

        `is_cut`: the connection is not the end of a body without a length.
        """
        self._parser = None
        if self.is_complete:
            return
        if not self.has_head:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        if is_cut or not self._ends_at_eof:
            raise httpx.RemoteProtocolError(f"{CLOSED} without sending the complete body")
        self.is_complete = True

    def take(self) -> bytes:
        """Return and remove the beginning of the part of the body that has arrived."""
        piece = bytes(self.body[:PIECE_LIMIT])
        del self.body[:PIECE_LIMIT]
        return piece

    def _check_size(self, size: int) -> None:
        if size > HEAD_LIMIT:
            part = "chunk extension or trailer section" if self.has_head else "header section"
            raise httpx.RemoteProtocolError(f"the {part} is larger than {HEAD_LIMIT} bytes")

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            raise httpx.RemoteProtocolError("the server sent data after the end of the response")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._parser = None
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self._parser = None
            line = data.partition(b"\r\n")[0]
            message = str(error) if self.has_head else f"{error}: {quote(line)}"
            raise httpx.RemoteProtocolError(message) from error

    # Methods that the parser calls.

    def on_message_begin(self) -> None:
        """Begin a response: the first, or the next after a status of 1xx."""
        if self.is_complete:
            raise httpx.RemoteProtocolError("the server sent data after the end of the response")
        self._fields += FIELD_SIZE
        self._check_size(self._fields)
        self.reason, self.headers = b"", []

    def on_status(self, reason: bytes) -> None:
        """Add a part of the reason phrase."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; ignore trailers."""
        self._fields += len(name) + len(value) + FIELD_SIZE
        self._check_size(self._fields)
        if not self.has_head:
            self.headers.append((name, value.strip()))

    def on_headers_complete(self) -> None:
        """Check the header section, and whether the end of the body is known."""
        if self._parser is None:
            return
        self.status, self.version = self._parser.get_status_code(), self._parser.get_http_version()
        if self.version not in VERSIONS:
            raise httpx.RemoteProtocolError(f"the response has HTTP version {self.version}")
        if self.status < 100 or self.status == SWITCHING_PROTOCOLS:
            raise httpx.RemoteProtocolError(f"the response has status {self.status:03}")
        if self.status < 200:
            return
        names = {name.lower() for name, _ in self.headers}
        codings = [value.lower() for name, value in self.headers if name.lower() == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise httpx.RemoteProtocolError(f"Transfer-Encoding is not chunked: {quote(b', '.join(codings))}")
        self._is_chunked = bool(codings)
        self._ends_at_eof = not codings and b"content-length" not in names
        self.has_head, self._fields = True, 0
        if not self._has_body:
            self.is_complete = True
            raise httpx.RemoteProtocolError("the parser would wait for the body of a response to HEAD")

    def on_message_complete(self) -> None:
        """End the response, unless its status is 1xx."""
        if self._parser is not None and self.has_head:
            self.is_complete, self.keeps_alive = True, self._parser.should_keep_alive()
            if self._is_chunked and self.version == "1.0":  # HTTP/1.0 has no chunks: RFC 9112, 6.1
                self.keeps_alive = False
