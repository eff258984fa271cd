"""`http_sd_configs`: target groups that a server lists as JSON, in Prometheus's protocol.

    [{"targets": ["10.0.0.1:6060"], "labels": {"service": "shop"}}, ...]

If a response cannot be used, the last groups stay. Each target has the label `__meta_url`.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, FailFast, PlainSerializer, TypeAdapter, ValidationError

from leakwatch.clock import Clock
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup, Update
from leakwatch.errors import MASK, DiscoveryError, ScrapeError, quote, redacted
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.messages import message
from leakwatch.settings.types import Duration, Size

TIMEOUTS = (10.0, 60.0)  # seconds: the timeout is the refresh interval, but within these bounds
JSON = re.compile(r'application/json(;\s*charset=("utf-8"|utf-8))?', re.IGNORECASE)
GROUPS: TypeAdapter[tuple[TargetGroup, ...]] = TypeAdapter(Annotated[tuple[TargetGroup, ...], FailFast()])


def _url(text: str) -> str:
    shown = repr(redacted(text))
    try:
        parts, url = urlsplit(text), httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"{shown} is not a URL: {error}") from error
    if parts.username or parts.password:
        raise ValueError("a user or password in the URL would be shown in labels: write it in basic_auth")
    if parts.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{shown} must begin with http:// or https:// and a host")
    return text


def _without_query(url: str) -> str:
    """Return `url` with its query hidden, which may contain a token."""
    base, mark, _ = url.partition("?")
    return f"{base}?{MASK}" if mark else url.partition("#")[0]


class HttpConfig(HttpSettings):
    """A URL that lists target groups."""

    url: Annotated[str, AfterValidator(_url), PlainSerializer(_without_query, when_used="json")]
    """Lists target groups in JSON, in the format of `file_sd_configs`. Pages and log never show its query."""
    refresh_interval: Duration = 60.0
    """How often leakwatch requests the list."""
    body_size_limit: Size = 64 * 1024**2
    """Maximum size of a response, decompressed. A larger one is rejected, and the last groups stay."""

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a request; reads the secret files."""
        seconds = f"{self.refresh_interval:g}"
        protocol = [("Accept", "application/json"), ("X-Prometheus-Refresh-Interval-Seconds", seconds)]
        return [*super().headers(), *protocol]

    def discoverer(self, status: DiscoveryStatus, clock: Clock) -> "HttpDiscoverer":
        """Return the discoverer of this URL."""
        return HttpDiscoverer(self, status, clock)


class HttpDiscoverer:
    """Requests the list of one server at each refresh interval."""

    def __init__(self, config: HttpConfig, status: DiscoveryStatus, clock: Clock) -> None:
        self._config = config
        self._status = status
        self._clock = clock
        self._body: bytes | None = None
        self._targets = 0

    async def run(self, update: Update) -> None:
        """Call `update` with the groups after each change of the list; never ends."""
        url = httpx.URL(self._config.url)
        timeout = min(max(self._config.refresh_interval, TIMEOUTS[0]), TIMEOUTS[1])
        client = Client(Tls(self._config.tls_config, secure=url.scheme == "https"), timeout=timeout)
        fetcher = Fetcher(client, url, self._config, timeout=timeout, size_limit=self._config.body_size_limit)
        source = str(url.copy_with(query=None, fragment=None))
        try:
            while True:
                try:
                    groups = await self._fetch_groups(fetcher)
                except DiscoveryError as error:
                    self._status.failed(source, str(error), targets=self._targets)
                else:
                    self._status.works(source)
                    if groups is not None:
                        update(groups)
                await self._clock.sleep(self._config.refresh_interval)
        finally:
            await fetcher.close()

    async def _fetch_groups(self, fetcher: Fetcher) -> Sequence[TargetGroup] | None:
        """Return the groups of the list, or None if the list did not change; raises DiscoveryError."""
        body = bytearray()
        try:
            fetched = await fetcher.fetch(body.extend)
        except ScrapeError as error:
            raise DiscoveryError(f"{error.reason}: {error}") from error
        content_type = fetched.content_type.strip()
        if not JSON.fullmatch(content_type):
            raise DiscoveryError(f"the response has Content-Type {quote(content_type)}, not application/json")
        if bytes(body) == self._body:
            return None
        # In a thread, because parsing a list of 100,000 groups took 1.3 s.
        groups = await asyncio.to_thread(parse, bytes(body), self._config.url)
        self._body, self._targets = bytes(body), sum(len(group.targets) for group in groups)
        return groups


def parse(body: bytes, url: str) -> list[TargetGroup]:
    """Return the groups in the response of the server at `url`.

    Raises DiscoveryError, which names index, key and value.
    """
    try:
        groups = GROUPS.validate_json(body)
    except ValidationError as error:
        raise DiscoveryError(message(error.errors(include_url=False)[0])) from error
    return [group.model_copy(update={"labels": {**group.labels, "__meta_url": url}}) for group in groups]
