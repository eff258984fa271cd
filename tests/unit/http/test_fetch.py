"""One scrape: every way to fail has its reason, and no answer takes more than it may."""

import asyncio
import base64
import gzip
import socket
import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import trustme

from leakwatch.discovery.target_builder import Endpoint, TargetDefaults, endpoint
from leakwatch.errors import ScrapeError
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetched, Fetcher
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.pipeline import Pipeline
from leakwatch.profile.body import Body
from leakwatch.scrape.config import ScrapeConfig
from leakwatch.scrape.target_url import target_job
from tests.support.answering import Answer, answering, endless, http

BODY = (Path(__file__).parents[2] / "profiles" / "1.27" / "goroutine.debug1.txt").read_bytes()
TYPE = "Content-Type: text/plain; charset=utf-8"


def job(url: str, **settings: Any) -> ScrapeConfig:
    """Return the scrape configuration of one URL with more settings."""
    known = target_job(url)
    return ScrapeConfig.model_validate(
        {"job_name": "j", "scheme": known.scheme, "static_configs": known.static_configs} | settings
    )


def where(config: ScrapeConfig) -> Endpoint:
    """Return the endpoint of the only target of a job."""
    (group,) = config.static_configs
    defaults = TargetDefaults(job="j", scheme=config.scheme, path=config.profile_path)
    return endpoint({"__address__": group.targets[0]}, defaults)


def scrape(url: str, *, timeout: float = 5.0, limit: int = 10**7, **settings: Any) -> tuple[Fetched, int]:
    """Scrape once; return the result of the fetch and the total of the profile."""
    config = job(url, **settings)
    found = where(config)

    async def run() -> tuple[Fetched, int]:
        tls = Tls(config.tls_config, secure=config.scheme == "https")
        client = Client(tls, timeout=timeout, socket=found.socket)
        fetcher = Fetcher(client, found.url, config, timeout=timeout, size_limit=limit)
        body: Body = Pipeline(DetectionSettings()).body()
        try:
            return await fetcher.fetch(body.feed), body.close()[0]
        finally:
            await fetcher.close()

    return asyncio.run(run())


def chunked(body: bytes, size: int, *, end: bool = True) -> Answer:
    """Answer in chunks, perhaps without the last one."""

    def answer(_: bytes, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), size):
            piece = body[at : at + size]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if end:
            connection.sendall(b"0\r\n\r\n")

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        http(BODY),
        chunked(BODY, 100),
        chunked(BODY, 7001),
        http(gzip.compress(BODY), "200 OK", "Content-Encoding: gzip"),
    ],
    ids=["plain", "small chunks", "large chunks", "gzip"],
)
def test_a_body_however_it_comes(answer: Answer) -> None:
    """Whole, in chunks or gzipped by a proxy: the profile is read."""
    with answering(answer) as server:
        fetched, total = scrape(server.url)
    assert total == 183
    assert fetched == Fetched(len(BODY), new_connection=True, content_type="")
    assert server.requests[0].startswith(b"GET /debug/pprof/goroutine?debug=1 HTTP/1.1\r\n")
    assert b"User-Agent: leakwatch/" in server.requests[0]


def test_what_was_closed_connects_no_more() -> None:
    """A question that comes too late, of a target that has gone, does not open a connection that nobody closes."""

    async def run(url: str) -> None:
        config = job(url)
        fetcher = Fetcher(
            Client(Tls(config.tls_config, secure=False), timeout=5),
            where(config).url,
            config,
            timeout=5,
            size_limit=10**7,
        )
        await fetcher.close()
        with pytest.raises(ScrapeError, match="the client has been closed") as caught:
            await fetcher.fetch(lambda _: None)
        assert not caught.value.charged

    with answering(http(BODY)) as server:
        asyncio.run(run(server.url))
        assert server.requests == []


def test_what_is_closed_while_it_changes_its_certificates_connects_no_more() -> None:
    """The old connection takes a while to close; whoever closes the client meanwhile closes it for good."""

    async def run(url: str) -> None:
        context = ssl.create_default_context()
        tls = cast("Tls", SimpleNamespace(context=lambda: context))
        client = Client(tls, timeout=5)
        await (await client.get()).get(url)
        context = ssl.create_default_context()
        late, _ = await asyncio.gather(client.get(), client.close(), return_exceptions=True)
        assert isinstance(late, httpx.ConnectError)

    def stay(request: bytes, connection: socket.socket) -> None:
        http(BODY)(request, connection)
        connection.recv(1)

    with answering(stay) as server:
        asyncio.run(run(server.url))


def hang(_: bytes, connection: socket.socket) -> None:
    """Never answer."""
    connection.recv(1)


def hang_up(_: bytes, connection: socket.socket) -> None:
    """Close without an answer, as Go does when a profile takes longer than WriteTimeout."""
    connection.close()


BAD = {
    "404": (http(b"404 page not found\n", "404 Not Found"), "status", "HTTP 404 for /debug/pprof/goroutine: '404"),
    "401": (http(b"", "401 Unauthorized"), "status", "HTTP 401"),
    "500": (http(b"x" * 10**6, "500 Oops"), "status", "HTTP 500 for /debug/pprof/goroutine: 'xxx"),
    "html": (http(b"<!doctype html>", "200 OK", "Content-Type: text/html"), "not_a_profile", "<!doctype html>"),
    "empty": (http(b""), "not_a_profile", "the body is empty"),
    "garbage": (http(bytes(range(256)) * 40), "not_a_profile", "the body starts with"),
    "heap": (http(b"heap profile: 1: 2 [3: 4] @ heap\n"), "not_a_profile", "heap profile"),
    "truncated": (http(BODY[:2000]), "truncated", "the body ends within a group"),
    "sum": (http(BODY[: BODY.rindex(b"\n\n", 0, -2) + 2]), "truncated", "add up to"),
    "cut": (http(BODY[:3000], length=len(BODY)), "truncated", "closed after 3000 bytes"),
    "cut chunk": (chunked(BODY[:3000], 500, end=False), "truncated", "closed after 3000 bytes"),
    "malformed": (http(BODY.replace(b"main.go:", b"main.go;")), "malformed", "expected file:line"),
    "no gzip": (http(BODY, "200 OK", "Content-Encoding: gzip"), "malformed", "not the gzip"),
    "cut gzip": (http(gzip.compress(BODY)[:-20], "200 OK", "Content-Encoding: gzip"), "truncated", "gzip"),
    "brotli": (http(BODY, "200 OK", "Content-Encoding: br"), "not_a_profile", "Content-Encoding 'br'"),
    "hangs up": (hang_up, "connection", "disconnected"),
    "not http": (lambda _, c: c.sendall(b"SSH-2.0-OpenSSH\r\n"), "connection", ""),
    "elsewhere": (
        http(b"", "302 Found", "Location: http://203.0.113.9/x"),
        "status",
        "redirects to another host, http://203.0.113.9/x: not followed",
    ),
    "other scheme": (http(b"", "302 Found", "Location: https://localhost/x"), "status", "another host"),
    "round and round": (http(b"", "302 Found", "Location: /x"), "status", "redirects more than 3 times"),
}


@pytest.mark.parametrize(("answer", "reason", "message"), BAD.values(), ids=BAD.keys())
def test_every_failure_has_its_reason(answer: Answer, reason: str, message: str) -> None:
    """What is not a whole profile fails with one reason of the fixed set and a message that says what came."""
    with answering(answer) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url)
    assert caught.value.reason == reason
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.charged


def test_an_endless_body_ends_at_the_limit() -> None:
    """A body that never ends is given up at the limit; nothing of it is kept."""
    header = b"goroutine profile: total 1\n"
    with answering(endless(header + b"x" * 60_000)) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url, limit=2_000_000, timeout=60)
    assert caught.value.reason == "too_large"
    assert "2000000 bytes (body_size_limit)" in str(caught.value)


def test_a_gzip_bomb_goes_off_in_slices() -> None:
    """A gigabyte of nothing in a megabyte of gzip is given up at the limit."""
    bomb = gzip.compress(b"goroutine profile: total 1\n" + bytes(10**9), 1)
    with answering(http(bomb, "200 OK", "Content-Encoding: gzip")) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url, limit=10**6, timeout=60)
    assert caught.value.reason == "too_large"


def drip(_: bytes, connection: socket.socket) -> None:
    """Answer with a good profile, but a group each tenth of a second: no single read is ever late."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for group in BODY.split(b"\n\n"):
        connection.sendall(group + b"\n\n")
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [hang, drip], ids=["silent", "drip"])
def test_the_timeout_is_over_the_whole_answer(answer: Answer) -> None:
    """A server that says nothing and one that drips are both given up in time; the target may have paid."""
    begin = time.monotonic()
    with answering(answer) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url, timeout=0.5)
    assert caught.value.reason == "timeout"
    assert caught.value.charged
    assert time.monotonic() - begin < 4  # the whole drip takes six seconds


def test_a_refused_connection_costs_the_target_nothing() -> None:
    """Nobody listens: reason connection, and no pause is owed."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ScrapeError) as caught:
        scrape(f"http://127.0.0.1:{port}")
    assert caught.value.reason == "connection"
    assert str(caught.value) == "Connection refused"
    assert not caught.value.charged


def test_a_name_that_nobody_knows() -> None:
    """A host that does not resolve is said in the resolver's words."""
    with pytest.raises(ScrapeError, match=r"[Nn]ame.*(not known|resolution)") as caught:
        scrape("http://nowhere.invalid:1")
    assert caught.value.reason == "connection"


def test_redirects_within_the_host_are_followed() -> None:
    """A path that moved on the same host is found; with follow_redirects off it is an error."""

    def answer(head: bytes, connection: socket.socket) -> None:
        moved = b"GET /debug/pprof/goroutine" not in head
        reply = http(BODY) if moved else http(b"", "301 Moved", "Location: /other/goroutine?debug=1")
        reply(head, connection)

    with answering(answer) as server:
        assert scrape(server.url)[1] == 183
        with pytest.raises(ScrapeError, match="HTTP 301: redirects to"):
            scrape(server.url, follow_redirects=False)


def test_a_unix_socket(tmp_path: Path) -> None:
    """A service behind a unix socket is scraped like any other."""
    with answering(http(BODY), path=tmp_path / "app.sock") as server:
        assert scrape(server.url)[1] == 183


def test_authorization_and_headers(tmp_path: Path) -> None:
    """Basic auth, bearer tokens and custom headers are sent; secret files are read anew for each scrape."""
    token = tmp_path / "token"
    token.write_text("first\n")
    with answering(http(BODY)) as server:
        scrape(server.url, basic_auth={"username": "me", "password": "s€cret"})
        scrape(server.url, authorization={"credentials_file": str(token)})
        token.write_text("second\n")
        scrape(server.url, authorization={"type": "Token", "credentials_file": str(token)})
        scrape(server.url, http_headers={"X-Scope": {"values": ["a", "b"]}, "X-Key": {"secrets": ["k"]}})
        token.write_text("sec\nret")
        with pytest.raises(
            ScrapeError, match="what is to stand in header Authorization is not one line"
        ) as raised:
            scrape(server.url, authorization={"credentials_file": str(token)})
        assert "ret" not in str(raised.value)
    basic, first, second, headers = server.requests
    assert b"Authorization: Basic " + base64.b64encode("me:s€cret".encode()) in basic
    assert b"Authorization: Bearer first\r\n" in first
    assert b"Authorization: Token second\r\n" in second
    assert b"X-Scope: a\r\nX-Scope: b\r\nX-Key: k\r\n" in headers


@pytest.fixture
def tls(tmp_path: Path) -> tuple[trustme.CA, ssl.SSLContext, Path]:
    """Return a CA, the context of a server that asks for a client certificate, and the CA's file."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.configure_trust(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return ca, context, tmp_path / "ca.pem"


def test_tls_with_client_certificate(tls: tuple[trustme.CA, ssl.SSLContext, Path], tmp_path: Path) -> None:
    """With its CA and our certificate the service is scraped, without either it is not."""
    ca, context, ca_file = tls
    context.verify_mode = ssl.CERT_REQUIRED
    client = ca.issue_cert("client@example.com")
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    pair = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    with answering(http(BODY), context) as server:
        assert scrape(server.url, tls_config={"ca_file": str(ca_file), **pair})[1] == 183
        with pytest.raises(ScrapeError, match="certificate verify failed") as caught:
            scrape(server.url, tls_config=pair)
        assert caught.value.reason == "tls"
        with pytest.raises(ScrapeError) as caught:
            scrape(server.url, tls_config={"ca_file": str(ca_file)})
        # In TLS 1.3 the server refuses after the handshake: an alert, if it arrives before the connection closes.
        assert caught.value.reason in {"tls", "connection"}


def test_tls_names_and_trust(tls: tuple[trustme.CA, ssl.SSLContext, Path]) -> None:
    """A certificate for another name fails unless that name is expected or nothing is verified."""
    _, context, ca_file = tls
    with answering(http(BODY), context) as server:
        address = server.url.replace("localhost", "127.0.0.1")
        with pytest.raises(ScrapeError, match="IP address mismatch"):
            scrape(address, tls_config={"ca_file": str(ca_file)})
        assert scrape(address, tls_config={"ca_file": str(ca_file), "server_name": "localhost"})[1] == 183
        assert scrape(address, tls_config={"insecure_skip_verify": True})[1] == 183
    with answering(http(BODY)) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url.replace("http:", "https:"))
    assert caught.value.reason == "tls"


def test_certificates_that_are_replaced(tls: tuple[trustme.CA, ssl.SSLContext, Path]) -> None:
    """A CA file that is missing for a moment is reason tls; a new one is taken over without a restart."""
    _, context, ca_file = tls
    good = ca_file.read_bytes()
    with answering(http(BODY), context) as server:
        config = job(server.url, tls_config={"ca_file": str(ca_file)})
        found_at = where(config)

        async def run() -> list[str]:
            client = Client(Tls(config.tls_config, secure=True), timeout=5)
            fetcher = Fetcher(client, found_at.url, config, timeout=5, size_limit=10**7)
            found = []
            for content in (good, None, b"no certificate", good):
                ca_file.unlink(missing_ok=True)
                if content is not None:
                    ca_file.write_bytes(content)
                try:
                    await fetcher.fetch(lambda _: None)
                    found.append("success")
                except ScrapeError as error:
                    found.append(error.reason)
            await fetcher.close()
            return found

        assert asyncio.run(run()) == ["success", "tls", "tls", "success"]
