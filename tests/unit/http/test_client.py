"""Clients: their connection after a timeout."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from leakwatch.errors import ScrapeError
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import HttpSettings, TlsConfig
from tests.support.answering import answering, http

BODY = (Path(__file__).parents[2] / "profiles" / "1.27" / "goroutine.debug1.txt").read_bytes()


@asynccontextmanager
async def timeout_after(turns: int) -> AsyncIterator[None]:
    """End the block by TimeoutError after this number of turns of the event loop."""
    loop, ended = asyncio.get_running_loop(), False

    def count(left: int) -> None:
        if left and not ended:
            loop.call_soon(count, left - 1)
        elif not ended:
            limit.reschedule(loop.time())

    async with asyncio.Timeout(None) as limit:
        loop.call_soon(count, turns)
        try:
            yield
        finally:
            ended = True


def test_a_timeout_at_any_moment_does_not_block_the_next_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that responds again is up again, whichever step of the previous request the timeout ended."""

    async def results(url: str) -> Counter[str]:
        outcomes = Counter[str]()
        for turns in range(300):
            client = Client(Tls(TlsConfig(), secure=False), timeout=5.0)
            fetcher = Fetcher(client, httpx.URL(url), HttpSettings(), timeout=5.0, size_limit=10**7)
            with monkeypatch.context() as patched:
                timeout = SimpleNamespace(timeout=lambda _, turns=turns: timeout_after(turns))
                patched.setattr("leakwatch.http.fetch.asyncio", timeout)  # not those of the transport
                try:
                    await fetcher.fetch(lambda _: None)
                except ScrapeError as error:
                    outcomes[error.reason] += 1
            await fetcher.fetch(lambda _: None)
            await fetcher.close()
        return outcomes

    with answering(http(BODY, "200 OK", "Connection: close")) as server:
        outcomes = asyncio.run(results(server.url))
    assert outcomes.keys() == {"timeout"}
    assert outcomes["timeout"] > 10
