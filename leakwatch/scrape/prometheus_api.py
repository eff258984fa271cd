"""Asks a Prometheus-compatible API: Prometheus, Thanos, Mimir, VictoriaMetrics."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator

from leakwatch.errors import QueryError, quote, without_credentials
from leakwatch.http.client import Client, Tls, TlsError
from leakwatch.http.settings import HttpSettings
from leakwatch.settings.types import unquoted_error

TIMEOUT = 30.0  # seconds for one answer
LIMIT = 256 * 1024**2  # bytes of one answer
TRIES = 3
PAUSE = 1.0  # seconds until the second try, twice as long until the third


def _base(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{without_credentials(text)!r} is no URL: {error}") from error
    if url.userinfo:
        raise ValueError("a user or password in the URL would be shown in logs: write it in basic_auth")
    if url.query or url.fragment:
        raise unquoted_error("must be without ? and #: what stands there would be shown in logs")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{text!r} must be a URL such as http://prometheus:9090")
    return text.rstrip("/")


class PrometheusConfig(HttpSettings):
    """A server that has what leakwatch exported; its API is at `url`/api/v1."""

    url: Annotated[str, AfterValidator(_base)]
    """Like http://prometheus:9090; user and password do not stand in it."""


@dataclass(frozen=True, slots=True)
class PrometheusSeries:
    """One series of an answer: its labels, and (time, value) in unix seconds."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class PrometheusApi:
    """One server; every query raises QueryError where it gives no answer."""

    def __init__(self, config: PrometheusConfig) -> None:
        self._config = config
        tls = Tls(config.tls_config, secure=config.url.startswith("https:"))
        self._client = Client(tls, timeout=TIMEOUT)

    async def range(self, query: str, start: float, end: float, step: float) -> list[PrometheusSeries]:
        """Return the series of `query` at each `step` seconds from `start` to `end`."""
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return await self._ask("query_range", form)

    async def instant(self, query: str, time: float) -> list[PrometheusSeries]:
        """Return the series of `query` at `time`."""
        return await self._ask("query", {"query": query, "time": f"{time:.3f}"})

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _ask(self, path: str, form: dict[str, str]) -> list[PrometheusSeries]:
        """Ask, and once more after a pause where the server is not there, or says that it is not well."""
        for tried in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(TIMEOUT):
                    status, body = await self._post(f"{self._config.url}/api/v1/{path}", form)
            except TimeoutError:
                problem = f"no whole answer within {TIMEOUT:g} s"
            except (httpx.HTTPError, TlsError, OSError) as error:
                problem = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                if status < 500:
                    return await asyncio.to_thread(self._decode, status, body)
                problem = f"HTTP {status}: {quote(body)}"
            if tried < TRIES:
                await asyncio.sleep(PAUSE * 2 ** (tried - 1))
        raise QueryError(f"{self._config.url}: {problem}")

    async def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        client = await self._client.get()
        body = bytearray()
        async with client.stream("POST", url, data=form, headers=self._config.headers()) as response:
            async for data in response.aiter_bytes():
                body += data
                if len(body) > LIMIT:
                    raise QueryError(f"{self._config.url}: answers with more than {LIMIT >> 20} MB")
        return response.status_code, bytes(body)

    def _decode(self, status: int, body: bytes) -> list[PrometheusSeries]:
        try:
            answer = json.loads(body)
            if answer["status"] != "success":
                raise QueryError(f"{self._config.url}: {answer.get('errorType', '')}: {answer.get('error', '')}")
            return [_series(found) for found in answer["data"]["result"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QueryError(
                f"{self._config.url}: HTTP {status}: no answer of a Prometheus API: {quote(body)}"
            ) from error


def _series(found: Mapping[str, Any]) -> PrometheusSeries:
    points = found["values"] if "values" in found else [found["value"]]
    return PrometheusSeries(found["metric"], tuple((float(time), float(value)) for time, value in points))


def quoted(text: str) -> str:
    """Return `text` as a string of PromQL."""
    return json.dumps(text, ensure_ascii=False)
