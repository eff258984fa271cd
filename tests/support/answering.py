"""A server that sends given bytes on every connection, for responses that no usual server sends."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CLIENT_HELLO = b"\x16\x03"
"""How TLS begins; a server that speaks none answers it at once, as Go does."""

Answer = Callable[[bytes, socket.socket], None]
"""Gets the head of the request and the connection to answer on."""


def http(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> Answer:
    """Answer with a body; `length` lies about its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]

    def answer(_: bytes, connection: socket.socket) -> None:
        connection.sendall("\r\n".join(lines).encode() + body)

    return answer


def endless(piece: bytes, pause: float = 0.0, *headers: str) -> Answer:
    """Answer with pieces for ever."""

    def answer(_: bytes, connection: socket.socket) -> None:
        head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""])
        connection.sendall(head.encode())
        while True:
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(pause)

    return answer


class Server:
    """Listens on loopback or on a unix socket; `requests` keeps the heads of what was asked."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None, path: Path | None = None) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self._context = context
        if path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self._socket.listen()
            self.url = f"unix://{path}"
        else:
            self._socket = socket.create_server(("127.0.0.1", 0))
            self.url = f"{'https' if context else 'http'}://localhost:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections; a socket that is only closed stays open in a thread that waits in accept."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head and not head.startswith(CLIENT_HELLO):
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            self.requests.append(head)
            self.answer(head, connection)
            connection.close()


@contextlib.contextmanager
def answering(answer: Answer, context: ssl.SSLContext | None = None, path: Path | None = None) -> Iterator[Server]:
    """Run a server for a while."""
    server = Server(answer, context, path)
    try:
        yield server
    finally:
        server.close()
