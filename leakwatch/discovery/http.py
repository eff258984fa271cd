"""`http_sd_configs`: target groups that a server lists as JSON, as Prometheus asks for them.

    [{"targets": ["10.0.0.1:6060"], "labels": {"service": "shop"}}, ...]

What cannot be used is said, and the last list stays. Each target has the label `__meta_url`.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, FailFast, PlainSerializer, TypeAdapter, ValidationError

from leakwatch.discovery.status import progress
from leakwatch.discovery.target_group import TargetGroup, Update
from leakwatch.errors import DiscoveryError, ScrapeError, quote, without_credentials
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import MASK, HttpSettings
from leakwatch.settings.messages import message
from leakwatch.settings.types import Duration, Size

PATIENCE = (10.0, 60.0)  # seconds for an answer, at least and at most; between them it is the refresh interval
JSON = re.compile(r'application/json(;\s*charset=("utf-8"|utf-8))?', re.IGNORECASE)
GROUPS: TypeAdapter[tuple[TargetGroup, ...]] = TypeAdapter(Annotated[tuple[TargetGroup, ...], FailFast()])


def _url(text: str) -> str:
    shown = repr(without_credentials(text))
    try:
        parts, url = urlsplit(text), httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"{shown} is no URL: {error}") from error
    if parts.username or parts.password:
        raise ValueError("a user or password in the URL would be shown in labels: write it in basic_auth")
    if parts.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{shown} must begin with http:// or https:// and a host")
    return text


def _without_query(url: str) -> str:
    """Return `url` as it may be shown: a token may stand in what follows the path."""
    base, mark, _ = url.partition("?")
    return f"{base}?{MASK}" if mark else url.partition("#")[0]


class HttpConfig(HttpSettings):
    """Which URL to ask, how often and how."""

    url: Annotated[str, AfterValidator(_url), PlainSerializer(_without_query, when_used="json")]
    """Lists target groups in JSON, in the form of `file_sd_configs`; what follows ? is never shown."""
    refresh_interval: Duration = 60.0
    """How often it is asked."""
    body_size_limit: Size = 64 * 1024**2
    """Of its answer, decompressed; a larger one is refused, and the last list stays."""

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a request; reads the secret files."""
        seconds = f"{self.refresh_interval:g}"
        asked = [("Accept", "application/json"), ("X-Prometheus-Refresh-Interval-Seconds", seconds)]
        return [*super().headers(), *asked]

    async def run(self, update: Update) -> None:
        """Tell the groups whenever the list has changed; never ends."""
        lister = Lister(self)
        told, shown = progress(), str(httpx.URL(self.url).copy_with(query=None, fragment=None))
        try:
            while True:
                try:
                    groups = await lister.groups()
                except DiscoveryError as error:
                    told.failed(shown, str(error), kept=lister.kept)
                else:
                    told.works(shown)
                    if groups is not None:
                        update(groups)
                await asyncio.sleep(self.refresh_interval)
        finally:
            await lister.close()


class Lister:
    """Asks one server for its list."""

    def __init__(self, settings: HttpConfig) -> None:
        self.kept = 0
        """How many targets its last list had."""
        self._settings = settings
        self._body: bytes | None = None
        timeout = min(max(settings.refresh_interval, PATIENCE[0]), PATIENCE[1])
        url = httpx.URL(settings.url)
        client = Client(Tls(settings.tls_config, secure=url.scheme == "https"), timeout=timeout)
        self._scraper = Fetcher(client, url, settings, timeout=timeout, size_limit=settings.body_size_limit)

    async def groups(self) -> Sequence[TargetGroup] | None:
        """Return the groups of the list, None if it is the same as last time; raises DiscoveryError."""
        body = bytearray()
        try:
            fetched = await self._scraper.fetch(body.extend)
        except ScrapeError as error:
            raise DiscoveryError(f"{error.reason}: {error}") from error
        kind = fetched.content_type.strip()
        if not JSON.fullmatch(kind):
            raise DiscoveryError(f"the answer has Content-Type {quote(kind)}, application/json is needed")
        if bytes(body) == self._body:
            return None
        # In a thread: a list of 100,000 targets takes a while.
        groups = await asyncio.to_thread(parse, bytes(body), self._settings.url)
        self._body, self.kept = bytes(body), sum(len(group.targets) for group in groups)
        return groups

    async def close(self) -> None:
        """Close the connection."""
        await self._scraper.close()


def parse(body: bytes, url: str) -> list[TargetGroup]:
    """Return the groups that a server at `url` listed; raises DiscoveryError, with index, key and value."""
    try:
        groups = GROUPS.validate_json(body)
    except ValidationError as error:
        raise DiscoveryError(message(error.errors(include_url=False)[0])) from error
    return [group.model_copy(update={"labels": {**group.labels, "__meta_url": url}}) for group in groups]
