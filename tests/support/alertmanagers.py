"""Receivers of alerts: a server that records the requests, and a real Alertmanager."""

import contextlib
import json
import queue
import re
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from leakwatch.http.client import Client
from tests.support.running import Process, get
from tests.support.waiting import wait_for

Answer = tuple[int, str, bytes]
"""Status, content type (for a redirect the location) and body."""

ACCEPTED: Answer = (200, "", b"")

CONFIG = """
route:
  receiver: test
  group_by: [alertname, service]
  group_wait: 100ms
  group_interval: 200ms
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


class Reopened(Client):
    """A client that connects again after `close`, because each step of a test has its own event loop."""

    async def close(self) -> None:
        """Close the connection; the next request opens another."""
        await self._drop()


class Receiver:
    """Records decoded JSON, path and headers of each request; `answer` returns the response to it."""

    def __init__(self, answer: Callable[[Any], Answer], context: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.posted: list[Any] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.posted.append(body)
                receiver.paths.append(self.path)
                receiver.headers.append(dict(self.headers))
                status, content_type, response = receiver.answer(body)
                with contextlib.suppress(OSError):  # the client may have disconnected
                    self.send_response(status)
                    self.send_header("Location" if 300 <= status < 400 else "Content-Type", content_type)
                    self.send_header("Content-Length", str(len(response)))
                    self.end_headers()
                    self.wfile.write(response)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust the certificate
        self.address = f"localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def receiving(
    answer: Answer | Callable[[Any], Answer] = ACCEPTED, context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Run a receiver that gives one answer, or the answer of a function, to each request."""
    receiver = Receiver(answer if callable(answer) else lambda _: answer, context)
    try:
        yield receiver
    finally:
        receiver.close()


class Alertmanager(Process):
    """A real Alertmanager that notifies `webhook`, on a free port or on the port of one that was stopped.

    `flags`: command line options; by default it does not join a cluster.
    """

    def __init__(
        self, folder: Path, webhook: str, port: int = 0, flags: Sequence[str] = ("--cluster.listen-address=",)
    ) -> None:
        program = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
        assert program, "no Alertmanager on PATH: run `make setup`"
        folder.mkdir(exist_ok=True)
        (folder / "alertmanager.yml").write_text(CONFIG.format(url=webhook))
        super().__init__(
            [
                program,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *flags,
            ]
        )
        self.port = self._listening()
        self.address = f"127.0.0.1:{self.port}"

    def _listening(self) -> int:
        while True:
            try:
                line = self.line()
            except queue.Empty:
                raise AssertionError("".join(self.said)) from None
            if found := re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', line):
                return int(found[1])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the firing alerts."""

        def fetch() -> httpx.Response | None:
            with contextlib.suppress(httpx.TransportError):
                response = get(f"http://{self.address}/api/v2/alerts")
                return response if response.is_success else None
            return None

        response = wait_for(fetch, show=lambda: self.said)
        return list(response.json()) if response else []
