"""A limited number of responses is made at once; requests beyond the queue get 503."""

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from leakwatch.web.app import Exposition
from leakwatch.web.server.turns import RUNNING, WAITING, LimitedApp
from tests.support.clock import until


async def receive() -> Message:
    """Return the end of a request."""
    return {"type": "http.request"}


def test_requests_wait_for_their_turn() -> None:
    """Two responses are made at once, 62 requests wait, and further ones get 503. All turns come back."""

    async def run() -> None:
        go, running, statuses = asyncio.Event(), 0, list[int]()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal running
            running += 1
            assert running <= RUNNING
            await go.wait()
            running -= 1
            await PlainTextResponse("")(scope, receive, send)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        limited = LimitedApp(app)
        for _ in range(2):
            statuses.clear()
            go.clear()
            requests = [limited({"type": "http"}, receive, send) for _ in range(RUNNING + WAITING + 5)]
            tasks = [asyncio.create_task(request) for request in requests]
            await until(lambda: len(statuses) == 5)
            assert (statuses, running) == ([503] * 5, RUNNING)
            go.set()
            await asyncio.gather(*tasks)
            assert statuses.count(200) == RUNNING + WAITING

    asyncio.run(run())


def test_a_slow_client_has_no_turn() -> None:
    """A turn ends when the response begins: clients that do not read their responses do not stop others."""

    async def run() -> None:
        begun = 0

        async def send(_: Message) -> None:
            nonlocal begun
            begun += 1
            await asyncio.Future()

        limited = LimitedApp(PlainTextResponse(""))
        tasks = [asyncio.create_task(limited({"type": "http"}, receive, send)) for _ in range(RUNNING + 5)]
        await until(lambda: begun == RUNNING + 5)
        for task in tasks:
            task.cancel()

    asyncio.run(run())


def test_a_turn_ends_with_an_error() -> None:
    """An internal error does not keep the turn."""

    async def run() -> None:
        async def app(_: Scope, __: Receive, ___: Send) -> None:
            raise KeyError

        limited = LimitedApp(app)
        requests = [limited({"type": "http"}, receive, receive) for _ in range(RUNNING + 5)]  # type: ignore[arg-type]  # never called
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(result, KeyError) for result in results)

    asyncio.run(run())


class Counter(Collector):
    """Counts how often its series are collected."""

    def __init__(self) -> None:
        self.collections = 0

    def describe(self) -> list[Metric]:
        """Return nothing."""
        return []

    def collect(self) -> list[Metric]:
        """Return the number of collections."""
        self.collections += 1
        return [GaugeMetricFamily("collections", "Number of collections.", self.collections)]


def test_requests_for_metrics_share_a_text() -> None:
    """Metrics are collected once for all requests of a format that arrive together, and again for a later one."""

    def request(**headers: str) -> Request:
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return Request({"type": "http", "method": "GET", "path": "/metrics", "headers": pairs})

    async def run() -> None:
        registry, counter = CollectorRegistry(auto_describe=False), Counter()
        registry.register(counter)
        exposition = Exposition(registry)
        plain = [exposition.answer(request()) for _ in range(100)]
        zipped = [exposition.answer(request(accept_encoding="gzip")) for _ in range(100)]
        responses = await asyncio.gather(*plain, *zipped)
        assert counter.collections == 2
        assert {response.body for response in responses[:100]} == {responses[0].body}
        assert b"collections 1.0" in responses[0].body
        assert b"collections 3.0" in (await exposition.answer(request())).body

    asyncio.run(run())
