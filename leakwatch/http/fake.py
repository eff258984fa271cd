"""A fetcher without a network, for tests. Only the connection is simulated; limits and errors are real."""

from collections.abc import Callable

import httpx

from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import HttpSettings

URL = httpx.URL("http://127.0.0.1:6060/debug/pprof/goroutine?debug=1")

Respond = Callable[[httpx.Request], tuple[int, bytes]]
"""Returns status and body, or raises the exception of httpx that a failing connection raises."""


class FakeFetcher(Fetcher):
    """A Fetcher with a simulated connection: `respond` returns the response to each request."""

    def __init__(self, respond: Respond, *, timeout: float = 10.0, size_limit: int = 1 << 20) -> None:
        settings = HttpSettings()
        self._transport = _Transport(respond)
        client = Client(Tls(settings.tls_config, secure=False), timeout=timeout, transport=self._transport)
        super().__init__(client, URL, settings, timeout=timeout, size_limit=size_limit)

    def reconnect(self) -> None:
        """Replace the connection. The next response comes over a new one."""
        self._transport.connection = object()


class _Transport(httpx.AsyncBaseTransport):
    """Passes each request to `respond`."""

    def __init__(self, respond: Respond) -> None:
        self.connection = object()
        self._respond = respond

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response to one request."""
        status, body = self._respond(request)
        # httpx.MockTransport does not serve here: its responses are read already, and cannot be streamed raw.
        return httpx.Response(status, stream=httpx.ByteStream(body), extensions={"connection": self.connection})
