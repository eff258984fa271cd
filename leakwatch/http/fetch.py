"""Scrapes one target: one request, one reason for each way to fail, and never more than the target agreed to.

A guest's manners: one request in flight, no retry within an interval (the service would pay again), a limit on
the body as it streams in, the timeout over the whole answer, redirects only within the host.
"""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from leakwatch.errors import NotAProfile, ScrapeError, quote
from leakwatch.http.client import Client, TlsError, refusal
from leakwatch.http.settings import HttpSettings

REDIRECTS = 3
PIECE = 65_536
SHOWN_BODY = 200
GZIP = 16 + zlib.MAX_WBITS


Feed = Callable[[bytes], None]
"""Where the pieces of a body go; raises ProfileError."""


class Fetcher:
    """Fetches the goroutine profile of one address, the same way each time.

    `client`: gives the client to use; `url`: of the profile; `timeout`: seconds over the whole answer;
    `size_limit`: bytes after decompression.
    """

    def __init__(
        self, client: Client, url: httpx.URL, settings: HttpSettings, *, timeout: float, size_limit: int
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.body_bytes = 0
        """Of the latest answer."""
        self.paid = False
        """Whether the target has, or may have, done work for the latest request."""
        self.fresh = False
        """Whether the latest answer came over a connection that is new."""
        self.content_type = ""
        """Of the latest answer, as its header says."""
        self._answered = False
        self._socket: object = None
        self._client = client
        self._settings = settings
        self.size_limit = size_limit
        self._extensions = (
            {"sni_hostname": settings.tls_config.server_name} if settings.tls_config.server_name else {}
        )

    def beside(self, profile: str, size_limit: int, **params: str) -> "Fetcher":
        """Return a scraper of another profile of the same process, over the same connection."""
        url = self.url.copy_with(path=self.url.path.removesuffix("goroutine") + profile, params=params)
        return Fetcher(self._client, url, self._settings, timeout=self.timeout, size_limit=size_limit)

    def at(self, path: str, size_limit: int) -> "Fetcher":
        """Return a scraper of another path of the same address, over the same connection."""
        url = self.url.copy_with(path=path, query=None)
        return Fetcher(self._client, url, self._settings, timeout=self.timeout, size_limit=size_limit)

    async def fetch(self, feed: Feed) -> None:
        """Give the body of one answer to `feed` piece by piece; raises ScrapeError."""
        self.body_bytes = 0
        self.paid = True
        self.fresh = self._answered = False
        try:
            async with asyncio.timeout(self.timeout):
                await self._fetch(feed)
        except TimeoutError as error:
            raise ScrapeError("timeout", f"no whole answer within {self.timeout:g} s") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError, zlib.error) as error:
            raise self._translated(error) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _fetch(self, feed: Feed) -> None:
        url = self.url
        for _ in range(REDIRECTS + 1):
            async with self._answer(url) as response:
                following = response.next_request
                if following is None:
                    await self._read(response, feed)
                    return
                if not self._settings.follow_redirects:
                    raise ScrapeError("status", f"HTTP {response.status_code}: redirects to {following.url}")
                if _origin(following.url) != _origin(self.url):
                    raise ScrapeError("status", f"redirects to another host, {following.url}: not followed")
                url = following.url
        raise ScrapeError("status", f"redirects more than {REDIRECTS} times")

    @asynccontextmanager
    async def _answer(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        headers = self._settings.headers()
        client = await self._client.get()
        request = client.build_request("GET", url, headers=headers, extensions=self._extensions)
        response = await client.send(request, stream=True, follow_redirects=False)
        socket = response.extensions["network_stream"].get_extra_info("socket")
        self.fresh, self._socket = self.fresh or socket is not self._socket, socket
        try:
            yield response
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response, feed: Feed) -> None:
        if response.status_code != httpx.codes.OK:
            asked = f"HTTP {response.status_code} for {response.url.path}"
            raise ScrapeError("status", f"{asked}{await _said(response)}")
        self._answered = True
        self.content_type = response.headers.get("Content-Type", "")
        async for piece in _pieces(response):
            self.body_bytes += len(piece)
            if self.body_bytes > self.size_limit:
                raise ScrapeError(
                    "too_large", f"the body is larger than {self.size_limit} bytes (body_size_limit)"
                )
            feed(piece)

    def _translated(self, error: Exception) -> ScrapeError:
        """Return what a foreign error means to us; says in `paid` whether the target was spared."""
        message = str(error) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            self.paid = False
            return ScrapeError("timeout", f"no connection within {self.timeout / 2:g} s")
        if isinstance(error, httpx.TimeoutException):
            return ScrapeError("timeout", f"no whole answer within {self.timeout:g} s")
        if isinstance(error, TlsError) or _is_tls(error):
            self.paid = False
            return ScrapeError("tls", message)
        if isinstance(error, zlib.error):
            return ScrapeError("malformed", f"the body is not the gzip that its header promises: {message}")
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and self._answered:
            return ScrapeError("truncated", f"the connection closed after {self.body_bytes} bytes of the body")
        if isinstance(error, httpx.ConnectError):
            self.paid = False
            message = refusal(error) or message
        return ScrapeError("connection", message)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def _said(response: httpx.Response) -> str:
    """Return the beginning of what an error answer says, for the message."""
    said = b""
    async for piece in _pieces(response):
        said += piece
        if len(said) >= SHOWN_BODY:
            break
    line = said[:SHOWN_BODY].strip().partition(b"\n")[0]
    return f": {quote(line)}" if line else ""


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body, decompressed, in pieces of bounded size: a gzip bomb goes off in slices."""
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding not in {"identity", "gzip", "x-gzip"}:
        raise NotAProfile(f"the body has Content-Encoding {quote(coding)}, which was not asked for")
    unzip = zlib.decompressobj(GZIP) if coding != "identity" else None
    async for data in response.aiter_raw():
        if unzip is None:
            yield data
            continue
        rest = data
        while rest and not unzip.eof:
            yield unzip.decompress(rest, PIECE)
            rest = unzip.unconsumed_tail
            await asyncio.sleep(0)  # a small body may hold a large one: let others run, and the timeout too
    if unzip is not None and not unzip.eof:
        raise ScrapeError("truncated", "the gzip of the body ends early")
