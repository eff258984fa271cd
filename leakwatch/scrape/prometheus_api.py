"""Queries a Prometheus-compatible API: Prometheus, Thanos, Mimir, VictoriaMetrics."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator

from leakwatch.errors import QueryError, quote, redacted
from leakwatch.http.client import Client, Tls, TlsError
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.types import unquoted_error

TIMEOUT = 30.0  # seconds of one response
LIMIT = 256 * 1024**2  # bytes of one response
TRIES = 3
PAUSE = 1.0  # seconds before the second try; twice as long before the third


def _base(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{redacted(text)!r} is not a URL: {error}") from error
    if url.userinfo:
        raise ValueError("a user or password in the URL would be shown in logs: write it in basic_auth")
    if url.query or url.fragment:
        raise unquoted_error("must be without ? and #: logs would show the part behind them")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{redacted(text)!r} must be a URL such as http://prometheus:9090")
    return text.rstrip("/")


class PrometheusConfig(HttpSettings):
    """A server that stores the metrics of leakwatch; its API is at `url`/api/v1."""

    url: Annotated[str, AfterValidator(_base)]
    """Such as http://prometheus:9090; without user and password."""


@dataclass(frozen=True, slots=True)
class PrometheusSeries:
    """One series of a response: its labels, and its points as (unix seconds, value)."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class PrometheusApi:
    """The API of one server. Queries raise QueryError if they fail."""

    def __init__(self, config: PrometheusConfig) -> None:
        self._config = config
        tls = Tls(config.tls_config, secure=config.url.startswith("https:"))
        self._client = Client(tls, timeout=TIMEOUT)

    async def range(self, query: str, start: float, end: float, step: float) -> list[PrometheusSeries]:
        """Return the series of `query` from `start` to `end`, with a point every `step` seconds."""
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return await self._query("query_range", form)

    async def instant(self, query: str, time: float) -> list[PrometheusSeries]:
        """Return the series of `query` at `time`."""
        return await self._query("query", {"query": query, "time": f"{time:.3f}"})

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _query(self, path: str, form: dict[str, str]) -> list[PrometheusSeries]:
        """Send a query; retry it after a pause if the server is unavailable or returns a status of 5xx."""
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(TIMEOUT):
                    status, body = await self._post(f"{self._config.url}/api/v1/{path}", form)
            except TimeoutError:
                problem = f"no complete response within {TIMEOUT:g} s"
            except (httpx.HTTPError, TlsError, OSError) as error:
                problem = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                if status < 500:
                    return await asyncio.to_thread(self._decode, status, body)
                problem = f"HTTP {status}: {quote(body)}"
            if attempt < TRIES:
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1))
        raise QueryError(f"{self._config.url}: {problem}")

    async def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        client = await self._client.get()
        body = bytearray()
        async with client.stream("POST", url, data=form, headers=self._config.headers()) as response:
            async for data in response.aiter_bytes():
                body += data
                if len(body) > LIMIT:
                    raise QueryError(f"{self._config.url}: the response is larger than {LIMIT >> 20} MB")
        return response.status_code, bytes(body)

    def _decode(self, status: int, body: bytes) -> list[PrometheusSeries]:
        try:
            response = json.loads(body)
            if response["status"] != "success":
                error_type, message = response.get("errorType", ""), response.get("error", "")
                raise QueryError(f"{self._config.url}: {error_type}: {message}")
            return [_series(result) for result in response["data"]["result"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QueryError(
                f"{self._config.url}: HTTP {status}: not a response of a Prometheus API: {quote(body)}"
            ) from error


def _series(result: Mapping[str, Any]) -> PrometheusSeries:
    points = result["values"] if "values" in result else [result["value"]]
    return PrometheusSeries(result["metric"], tuple((float(time), float(value)) for time, value in points))


def quoted(text: str) -> str:
    """Return `text` as a string literal of PromQL."""
    return json.dumps(text, ensure_ascii=False)
