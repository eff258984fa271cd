"""Requests that a browser sends on behalf of a foreign page are rejected, other requests are not."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from leakwatch.web.app import Endpoints, Exposition, build_app
from leakwatch.web.server.config import WebConfig
from leakwatch.web.server.guard import Guard
from leakwatch.web.server.origin import OriginCheck, is_local, machine_names
from leakwatch.web.server.web_config_file import WebFile
from tests.support.certificates import everything, hashed

DEFAULTS = WebConfig()
FOREIGN = "attacker.example"


async def own_names() -> frozenset[str]:
    """Return the names of a machine."""
    return frozenset({"vm1", "vm1.corp.example.com"})


def answer(
    config: WebConfig = DEFAULTS,
    file: WebFile | None = None,
    *,
    method: str = "GET",
    path: str = "/metrics",
    client: tuple[str, int] = ("10.0.0.7", 1234),
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Return the response to one request of a client on another machine."""

    async def reload() -> None:
        """Do nothing."""

    async def send() -> httpx.Response:
        pages = PlainTextResponse("a page")
        endpoints = Endpoints(Exposition(CollectorRegistry()), str, reload, config.enable_lifecycle)
        app = Guard(
            build_app(endpoints, pages, pages, config.prefix()),
            file or WebFile(),
            OriginCheck(config, own_names),
        )
        transport = httpx.ASGITransport(app=app, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9979") as http:
            return await http.request(method, path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:9979", "10.1.2.3:9979", "[::1]:9979", "[fe80::1%25eth0]", "127.0.0.1"),
        *("localhost:9979", "LOCALHOST.", "shop.localhost:9979"),
        *("leakwatch:9979", "leakwatch.monitoring.svc:9979", "leakwatch-0.leakwatch.monitoring.svc.cluster.local"),
        *("vm1.local", "vm1.internal:9979", "vm1", "vm1.corp.example.com:9979", "VM1.corp.example.com."),
        *("public.example.com", "public.example.com:443", "listen.example.com:9979"),
        *("named.example.org", "a.many.example.org", "b.a.many.example.org:80"),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/", "/api/v1/leaks"])
def test_known_hosts(host: str, path: str) -> None:
    """Addresses, names without public DNS, names of the machine and configured names have access."""
    config = WebConfig(
        listen="listen.example.com:9979",
        external_url="https://public.example.com",
        allowed_hosts=("Named.example.org", "*.many.example.org"),
    )
    assert answer(config, path=path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *(FOREIGN, f"{FOREIGN}:9979", f"localhost.{FOREIGN}", f"127.0.0.1.{FOREIGN}", f"vm1.{FOREIGN}"),
        *("svc.example", "many.example.org", "public.example.com.evil.example"),
        *("[::1", "127.0.0.1@attacker.example", "1.2.3.4.5"),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/", "/api/v1/leaks", "/static/x/y.js"])
def test_foreign_hosts(host: str, path: str) -> None:
    """A name that may have been rebound to the address of leakwatch reads nothing; the message has the setting."""
    config = WebConfig(external_url="https://public.example.com", allowed_hosts=("*.many.example.org",))
    response = answer(config, path=path, headers={"Host": host, "X-Forwarded-Host": "localhost"})
    assert response.status_code == 403
    assert repr(host) in response.text
    assert "web.allowed_hosts" in response.text
    assert response.headers["x-content-type-options"] == "nosniff"


def test_all_hosts_can_be_allowed() -> None:
    """`*` disables the check."""
    assert answer(WebConfig(allowed_hosts=("*",)), headers={"Host": FOREIGN}).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/lw"])
def test_health_checks_use_any_host(prefix: str) -> None:
    """Load balancers check health under names of their own; the responses contain nothing confidential."""
    config = WebConfig(route_prefix=prefix)
    for name in ("healthy", "ready"):
        assert answer(config, path=f"{prefix}/-/{name}", headers={"Host": FOREIGN}).status_code == 200
        assert answer(config, path=f"/x/-/{name}", headers={"Host": FOREIGN}).status_code == 403


def test_certificates_and_passwords_replace_the_check_of_hosts(tmp_path: Path) -> None:
    """With TLS or a password a foreign name gets nothing anyway, so that every name of the certificate works."""
    everything(tmp_path)
    (tmp_path / "tls.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    assert answer(file=WebFile(tmp_path / "tls.yml"), headers={"Host": "lw.example.com"}).status_code == 200
    (tmp_path / "users.yml").write_text(f"basic_auth_users: {{me: {hashed('right')}}}\n")
    file = WebFile(tmp_path / "users.yml")
    assert answer(file=file, headers={"Host": FOREIGN}).status_code == 401
    assert answer(file=file, headers={"Host": FOREIGN, "Authorization": "Basic bWU6cmlnaHQ="}).status_code == 200


def test_names_are_looked_up_once() -> None:
    """The names of the machine are looked up only when a name needs them."""
    calls = 0

    async def count() -> frozenset[str]:
        nonlocal calls
        calls += 1
        return frozenset()

    async def ask() -> None:
        check = OriginCheck(WebConfig(), count)
        for host in ("localhost", "a.example", "b.example"):
            await check.refusal("GET", "/", {"host": host}, check_host=True)
            assert calls == (host != "localhost")

    asyncio.run(ask())


def test_the_machine_has_a_name() -> None:
    """The name of this machine is among its names."""
    assert asyncio.run(machine_names())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:9979"}, 200),
        ({"origin": "https://public.example.com"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:9979"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:80"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:80"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_cross_site_requests(headers: dict[str, str], status: int, method: str) -> None:
    """A foreign page cannot make a browser reload the configuration; curl can."""
    config = WebConfig(external_url="https://public.example.com")
    response = answer(config, method=method, path="/-/reload", client=("127.0.0.1", 1), headers=headers)
    assert response.status_code == status


def test_a_foreign_page_may_link_to_a_page() -> None:
    """Requests that change nothing need no check: the browser itself keeps the response from a foreign page."""
    assert (
        answer(path="/", headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://chat.example"}).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("client", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("10.0.0.7", {}, False),
        ("fe80::1%eth0", {}, False),
        ("::ffff:10.0.0.7", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.7"}, False),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False),
    ],
)
def test_reload_from_other_hosts(client: str, headers: dict[str, str], local: bool) -> None:
    """Only a client on the same host may reload, unless reload over HTTP is enabled for all."""
    assert is_local((client, 1), Headers(headers)) is local
    response = answer(method="POST", path="/-/reload", client=(client, 1), headers=headers)
    assert response.status_code == (200 if local else 403)
    assert local or "--web.enable-lifecycle" in response.text
    enabled = WebConfig(enable_lifecycle=True)
    assert answer(enabled, method="POST", path="/-/reload", client=(client, 1), headers=headers).status_code == 200


def test_a_client_without_address_is_not_local() -> None:
    """Without an address it is unknown where the client is."""
    assert not is_local(None, Headers())
