"""Fetches a body over HTTP within limits of time and size.

A fetch sends one request at a time, does not retry (the service would pay twice), limits the body while it
arrives, and follows redirects only within the same origin. The timeout covers the whole response. Each failure
has one reason.
"""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from leakwatch.clock import Turns
from leakwatch.errors import MASK, QUOTE_LIMIT, FetcherClosed, NotAProfile, ScrapeError, quote
from leakwatch.http.client import Client, TlsError
from leakwatch.http.response import CLOSED
from leakwatch.http.settings import HttpSettings
from leakwatch.http.sockets import system_message

MAX_REDIRECTS = 3
PIECE_SIZE = 65_536
"""Smallest piece of a body. A Go service sends chunks of 2 KiB, and parsing each alone takes twice as long."""
QUOTED_BODY_SIZE = 200
NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
"""Reasons of OpenSSL for a response that is not TLS."""
GZIP_WINDOW = 16 + zlib.MAX_WBITS


Feed = Callable[[bytes], Iterable[object] | None]
"""Receives a body in pieces, and may return the steps of its work on a piece; may raise ScrapeError."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a successful fetch."""

    body_bytes: int
    """Size of the body, decompressed."""
    new_connection: bool
    """Whether the response came over another connection than the previous one."""
    content_type: str
    """The header `Content-Type`, "" if it is missing."""


class _Transfer:
    """The state of one fetch: the part of the response that has arrived."""

    def __init__(self) -> None:
        self.body_bytes = 0
        self.new_connection = False
        self.content_type: str | None = None
        """None until the header of a successful response has arrived."""


class Fetcher:
    """Fetches the body of one URL with `client`.

    `timeout`: seconds until the response is complete; `size_limit`: bytes of the body after decompression.
    """

    def __init__(
        self, client: Client, url: httpx.URL, settings: HttpSettings, *, timeout: float, size_limit: int
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.size_limit = size_limit
        self._client = client
        self._settings = settings
        self._connection: object = None
        """The connection of the latest response."""
        self._extensions = (
            {"sni_hostname": settings.tls_config.server_name} if settings.tls_config.server_name else {}
        )

    def with_profile(self, name: str, size_limit: int, **params: str) -> "Fetcher":
        """Return a fetcher of another profile of the same process, over the same connection.

        `params` replace the parameter `debug`; the other parameters stay.
        """
        path = self.url.path.removesuffix("goroutine") + name
        query = self.url.params.remove("debug").merge(params)
        return self._with_url(self.url.copy_with(path=path, params=query or None), size_limit)

    def with_path(self, path: str, size_limit: int) -> "Fetcher":
        """Return a fetcher of another path of the same address, over the same connection."""
        return self._with_url(self.url.copy_with(path=path, query=None), size_limit)

    def _with_url(self, url: httpx.URL, size_limit: int) -> "Fetcher":
        return Fetcher(self._client, url, self._settings, timeout=self.timeout, size_limit=size_limit)

    async def fetch(self, feed: Feed, *, query: bytes | None = None) -> Fetched:
        """Pass the body to `feed` in pieces; `query` is placed before the query of the URL.

        Raises ScrapeError, and FetcherClosed if the fetcher is closed.
        """
        url = (
            self.url
            if query is None
            else self.url.copy_with(query=b"&".join(filter(None, (query, self.url.query))))
        )
        transfer = _Transfer()
        try:
            return await self._fetch(url, feed, transfer)
        except ScrapeError as error:
            error.body_bytes = transfer.body_bytes
            raise

    async def _fetch(self, url: httpx.URL, feed: Feed, transfer: _Transfer) -> Fetched:
        try:
            async with asyncio.timeout(self.timeout):
                await self._follow(url, feed, transfer)
        except TimeoutError as error:
            raise ScrapeError("timeout", f"no complete response within {self.timeout:g} s") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError, zlib.error) as error:
            if self._client.is_closed:
                raise FetcherClosed("the fetcher was closed before the response was complete") from error
            raise self._scrape_error(error, transfer) from error
        return Fetched(transfer.body_bytes, transfer.new_connection, transfer.content_type or "")

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _follow(self, url: httpx.URL, feed: Feed, transfer: _Transfer) -> None:
        """Send the request, and follow redirects within the origin of `url`."""
        origin = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._response(url, transfer) as response:
                if response.next_request is None:
                    await self._read(response, feed, transfer)
                    return
                url = response.next_request.url
                if not self._settings.follow_redirects:
                    raise ScrapeError(
                        "status", f"HTTP {response.status_code}: redirects to {without_secrets(url)}"
                    )
                if _origin(url) != origin:
                    raise ScrapeError("status", f"redirects to another host, {without_secrets(url)}: not followed")
        raise ScrapeError("status", f"redirects more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _response(self, url: httpx.URL, transfer: _Transfer) -> AsyncIterator[httpx.Response]:
        headers = self._settings.headers()
        client = await self._client.get()
        request = client.build_request("GET", url, headers=headers, extensions=self._extensions)
        response = await client.send(request, stream=True, follow_redirects=False)
        connection = response.extensions["connection"]
        transfer.new_connection |= connection is not self._connection
        self._connection = connection
        try:
            yield response
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response, feed: Feed, transfer: _Transfer) -> None:
        if response.status_code != httpx.codes.OK:
            body = await _quoted_body(response)
            raise ScrapeError(
                "status",
                f"HTTP {response.status_code} for {response.url.path}{body}",
                status=response.status_code,
            )
        transfer.content_type = response.headers.get("Content-Type", "")
        turns, joined = Turns(), bytearray()
        async for piece in _pieces(response, turns):
            transfer.body_bytes += len(piece)
            if transfer.body_bytes > self.size_limit:
                raise ScrapeError(
                    "too_large", f"the body is larger than {self.size_limit} bytes (body_size_limit)"
                )
            joined += piece
            if len(joined) >= PIECE_SIZE:
                await turns.run(feed(bytes(joined)) or ())
                joined.clear()
        if joined:
            await turns.run(feed(bytes(joined)) or ())

    def _scrape_error(self, error: Exception, transfer: _Transfer) -> ScrapeError:
        """Return the ScrapeError for an error of httpx, the system or zlib."""
        message = str(error) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            return ScrapeError("timeout", f"no connection within {self.timeout / 2:g} s", charged=False)
        if isinstance(error, httpx.TimeoutException):
            return ScrapeError("timeout", f"no complete response within {self.timeout:g} s")
        tls_error = error if isinstance(error, TlsError) else _tls_error(error)
        if tls_error is not None:
            return ScrapeError("tls", _tls_message(tls_error), charged=False)
        if isinstance(error, zlib.error):
            return ScrapeError("malformed", f"the body is not the gzip that its header announces: {message}")
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and transfer.content_type is not None:
            return _body_error(error, transfer.body_bytes)
        unconnected = isinstance(error, httpx.ConnectError)
        if unconnected:
            message = system_message(error) or message
        return ScrapeError("connection", message, charged=not unconnected)


def without_secrets(url: httpx.URL) -> str:
    """Return `url` without user, password and query, which may contain the token of a login."""
    shown = str(url.copy_with(userinfo=b"", query=None, fragment=None))
    return f"{shown}?{MASK}" if url.query else shown


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _body_error(error: httpx.RemoteProtocolError | httpx.ReadError, body_bytes: int) -> ScrapeError:
    """Return the error of a connection that failed within the body."""
    place = f"after {body_bytes} bytes of the body"
    if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(CLOSED):
        return ScrapeError("malformed", f"invalid HTTP {place}: {str(error)[:QUOTE_LIMIT]}")
    return ScrapeError("truncated", f"the connection closed {place}")


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the error of OpenSSL behind `error`, None if there is none."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _tls_message(error: TlsError | ssl.SSLError) -> str:
    message = str(error) or "the server closed the connection during the TLS handshake"
    is_plain = isinstance(error, ssl.SSLError) and error.reason in NOT_TLS
    return f"the response is not TLS, the server may use http: {message}" if is_plain else message


async def _quoted_body(response: httpx.Response) -> str:
    """Return ": " and the quoted first line of the body of an error response, "" if the line is empty."""
    body = b""
    async for piece in _pieces(response, Turns()):
        body += piece
        if len(body) >= QUOTED_BODY_SIZE:
            break
    line = body[:QUOTED_BODY_SIZE].strip().partition(b"\n")[0]
    return f": {quote(line)}" if line else ""


async def _pieces(response: httpx.Response, turns: Turns) -> AsyncIterator[bytes]:
    """Yield the body; decompress gzip in pieces of at most PIECE_SIZE bytes, because a gzip bomb is large."""
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding not in {"identity", "gzip", "x-gzip"}:
        raise NotAProfile(f"the body has Content-Encoding {quote(coding)}, which leakwatch does not accept")
    unzip = zlib.decompressobj(GZIP_WINDOW) if coding != "identity" else None
    async for data in response.aiter_raw():  # many pieces may have arrived: httpx then does not wait
        for piece in _decompressed(data, unzip):
            yield piece
            await turns.pause()
    if unzip is not None and not unzip.eof:
        raise ScrapeError("truncated", "the gzip of the body ends early")


def _decompressed(data: bytes, unzip: "zlib._Decompress | None") -> Iterator[bytes]:
    if unzip is None:
        yield data
        return
    while data and not unzip.eof:
        yield unzip.decompress(data, PIECE_SIZE)
        data = unzip.unconsumed_tail
