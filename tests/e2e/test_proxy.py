"""Under a path, behind a reverse proxy that keeps the prefix or takes it away: pages, links and redirects."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urljoin

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.running import Daemon, get, post
from tests.support.waiting import HANG, wait_for

Run = Callable[..., Daemon]
TARGET = ("--target", "http://127.0.0.1:1")
HOP = {"connection", "transfer-encoding", "content-encoding", "content-length", "date"}


@contextlib.contextmanager
def proxy(public: str, backend: str) -> Iterator[str]:
    """Run a reverse proxy of `public`/... to `backend`/..., which passes on the host; return its address."""

    async def forward(request: Request) -> Response:
        async with httpx.AsyncClient(trust_env=False, timeout=HANG) as client:
            url = backend + request.url.path.removeprefix(public)
            passed_on = {"Host": request.headers["Host"], "X-Forwarded-For": "10.0.0.7"}
            answer = await client.request(request.method, url, content=await request.body(), headers=passed_on)
        headers = {name: value for name, value in answer.headers.items() if name not in HOP}
        return Response(answer.content, answer.status_code, headers)

    app = Starlette(routes=[Route(public + "/{path:path}", forward, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, pause=0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def every_link_works(front: str) -> None:
    """Follow all links of a page."""
    page = get(front)
    assert page.status_code == 200
    links = re.findall(r'href="([^"]*)"', page.text)
    assert "metrics" in links
    for link in links:
        found = get(urljoin(front, link))
        assert found.status_code == 200, link
    assert "leakwatch_build_info" in get(urljoin(front, "metrics")).text


def test_a_proxy_that_keeps_the_prefix(leakwatch: Run) -> None:
    """external_url alone: we serve under its path, and / leads there."""
    options = ("--web.external-url", "https://example.com/ops/leakwatch/", "--web.enable-lifecycle")
    daemon = leakwatch(*TARGET, *options)
    assert daemon.url.endswith("/ops/leakwatch")
    here = daemon.url.removesuffix("/ops/leakwatch")
    assert next(e["url"] for e in daemon.events() if "url" in e) == "https://example.com/ops/leakwatch"
    for path in ("/", "/ops/leakwatch"):
        answer = get(here + path)
        assert (answer.status_code, answer.headers["location"]) == (302, "/ops/leakwatch/")
    for path in ("/metrics", "/-/healthy", "/ops/leakwatchful/metrics", "/ops"):
        assert get(here + path).status_code == 404
    assert get(f"{daemon.url}/-/reload").status_code == 405
    with proxy("/ops/leakwatch", daemon.url) as public:
        every_link_works(f"{public}/ops/leakwatch/")
        assert post(f"{public}/ops/leakwatch/-/reload").status_code == 200


def test_a_proxy_that_takes_the_prefix_away(leakwatch: Run) -> None:
    """route_prefix / beside it: we serve at the root, links lead through the proxy all the same."""
    daemon = leakwatch(*TARGET, "--web.external-url", "http://example.com/x", "--web.route-prefix", "/")
    with proxy("/x", daemon.url) as public:
        every_link_works(f"{public}/x/")
        assert post(f"{public}/x/-/reload").status_code == 403
        assert get(f"{public}/x/", headers={"Host": "example.com"}).status_code == 200
        refused = get(f"{public}/x/", headers={"Host": "attacker.example"})
        assert (refused.status_code, "web.allowed_hosts" in refused.text) == (403, True)
    assert next(event["host"] for event in daemon.events() if "host" in event) == "attacker.example"
    every_link_works(f"{daemon.url}/")


@pytest.mark.parametrize("prefix", ["lw", "/lw", "/lw/"])
def test_a_prefix_alone(prefix: str, leakwatch: Run) -> None:
    """A prefix works with and without slashes; the logged address of the metrics contains it."""
    daemon = leakwatch(*TARGET, "--web.route-prefix", prefix)
    every_link_works(f"{daemon.url}/")
    assert next(e["metrics"] for e in daemon.events() if "metrics" in e) == f"{daemon.url}/metrics"
    assert daemon.url.endswith("/lw")
