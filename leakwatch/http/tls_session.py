"""One TLS session of a connection, without I/O.

asyncio's own TLS holds a buffer of 256 KiB per connection, so 1,000 targets would take 256 MB.
"""

import ssl
from collections.abc import Iterator
from typing import Final

READ_SIZE: Final = 65_536


class TlsSession:
    """The session of a client with the server `name`. Errors are ssl.SSLError; ValueError for an invalid name."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.is_established = False

    def handshake(self) -> None:
        """Continue the handshake with the bytes received so far; sets `is_established` at its end."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_established = True

    def receive(self, data: bytes) -> None:
        """Add bytes from the server."""
        self._incoming.write(data)

    def decrypted(self) -> Iterator[bytes]:
        """Yield the data in the bytes received so far, b"" at the end of the session."""
        while True:
            try:
                data = self._object.read(READ_SIZE)
            except ssl.SSLWantReadError:
                return
            yield data
            if not data:
                return

    def encrypt(self, data: bytes) -> None:
        """Add data for the server to `outgoing`."""
        self._object.write(data)

    def outgoing(self) -> bytes:
        """Return and remove the bytes that are to be sent."""
        return self._outgoing.read()
