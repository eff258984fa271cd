"""Fetches: each failure has one reason, and time and size are limited."""

import asyncio
import base64
import gzip
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import trustme

from leakwatch import clock
from leakwatch.discovery.target_builder import Endpoint, TargetDefaults, endpoint
from leakwatch.errors import FetcherClosed, ScrapeError
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import PIECE_SIZE, Fetched, Fetcher
from leakwatch.http.settings import HttpSettings, TlsConfig
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.pipeline import Pipeline
from leakwatch.profile.body import Body
from leakwatch.scrape.config import ScrapeConfig
from leakwatch.scrape.target_url import target_job
from tests.support.answering import Answer, answering, endless, http

BODY = (Path(__file__).parents[2] / "profiles" / "1.27" / "goroutine.debug1.txt").read_bytes()
TYPE = "Content-Type: text/plain; charset=utf-8"


def job(url: str, **settings: Any) -> ScrapeConfig:
    """Return the scrape configuration of one URL, with additional settings."""
    target = target_job(url)
    return ScrapeConfig.model_validate(
        {"job_name": "j", "scheme": target.scheme, "static_configs": target.static_configs} | settings
    )


def endpoint_of(config: ScrapeConfig) -> Endpoint:
    """Return the endpoint of the only target of a job."""
    (group,) = config.static_configs
    defaults = TargetDefaults(job="j", scheme=config.scheme, path=config.profile_path)
    return endpoint({"__address__": group.targets[0]}, defaults)


def scrape(url: str, *, timeout: float = 5.0, limit: int = 10**7, **settings: Any) -> tuple[Fetched, int]:
    """Scrape once; return the result of the fetch and the total of the profile."""
    config = job(url, **settings)
    target = endpoint_of(config)

    async def run() -> tuple[Fetched, int]:
        tls = Tls(config.tls_config, secure=config.scheme == "https")
        client = Client(tls, timeout=timeout, socket=target.socket)
        fetcher = Fetcher(client, target.url, config, timeout=timeout, size_limit=limit)
        body: Body = Pipeline(DetectionSettings()).body()
        try:
            return await fetcher.fetch(body.feed), body.close().total
        finally:
            await fetcher.close()

    return asyncio.run(run())


def test_query_parameters_are_part_of_each_profile() -> None:
    """Other profiles of the process have the parameters of the URL; another path of the address has none."""
    url = httpx.URL("http://h:1/debug/pprof/goroutine?debug=1&authKey=x")
    fetcher = Fetcher(
        Client(Tls(TlsConfig(), secure=False), timeout=1), url, HttpSettings(), timeout=1, size_limit=1
    )
    heap, symbol = fetcher.with_profile("heap", 1, debug="1", gc="1"), fetcher.with_profile("symbol", 1)
    assert str(heap.url) == "http://h:1/debug/pprof/heap?authKey=x&debug=1&gc=1"
    assert str(symbol.url) == "http://h:1/debug/pprof/symbol?authKey=x"
    assert str(fetcher.with_path("/metrics", 1).url) == "http://h:1/metrics"


def chunked(body: bytes, size: int, *, end: bool = True) -> Answer:
    """Respond in chunks; `end`: with the last chunk."""

    def answer(_: bytes, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), size):
            piece = body[start : start + size]
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
def test_transfer_encodings(answer: Answer) -> None:
    """A body is read whole, in chunks, or gzipped by a proxy."""
    with answering(answer) as server:
        fetched, total = scrape(server.url)
    assert total == 183
    assert fetched == Fetched(len(BODY), new_connection=True, content_type="")
    assert server.requests[0].startswith(b"GET /debug/pprof/goroutine?debug=1 HTTP/1.1\r\n")
    assert b"User-Agent: leakwatch/" in server.requests[0]


def test_a_closed_client_does_not_connect() -> None:
    """A request after `close` does not open a connection, and is not charged."""

    async def run(url: str) -> None:
        config = job(url)
        fetcher = Fetcher(
            Client(Tls(config.tls_config, secure=False), timeout=5),
            endpoint_of(config).url,
            config,
            timeout=5,
            size_limit=10**7,
        )
        await fetcher.close()
        with pytest.raises(FetcherClosed):
            await fetcher.fetch(lambda _: None)

    with answering(http(BODY)) as server:
        asyncio.run(run(server.url))
        assert server.requests == []


def test_a_client_closed_during_a_change_of_certificates_does_not_connect() -> None:
    """`close` during the closing of the old connection prevents a new connection."""

    class Slow(httpx.MockTransport):
        async def aclose(self) -> None:
            await asyncio.sleep(0)

    async def run() -> None:
        context = ssl.create_default_context()
        tls = cast("Tls", SimpleNamespace(context=lambda: context))
        client = Client(tls, timeout=5, transport=Slow(lambda _: httpx.Response(200)))
        await (await client.get()).get("http://h")
        context = ssl.create_default_context()
        result, _ = await asyncio.gather(client.get(), client.close(), return_exceptions=True)
        assert isinstance(result, httpx.ConnectError)

    asyncio.run(run())


def hang(_: bytes, connection: socket.socket) -> None:
    """Do not respond."""
    connection.recv(1)


def hang_up(_: bytes, connection: socket.socket) -> None:
    """Close without a response, as Go does if a profile takes longer than WriteTimeout."""
    connection.close()


FAILURES = {
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
    "garbage chunk": (
        lambda _, c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nGARBAGE\r\n"),
        "malformed",
        "invalid HTTP after 2 bytes of the body: Invalid character in chunk size",
    ),
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
    "login": (
        http(b"", "302 Found", "Location: http://user:hunter2@203.0.113.9:1/x?token=hunter2#hunter2"),
        "status",
        "redirects to another host, http://203.0.113.9:1/x?**********: not followed",
    ),
    "other scheme": (http(b"", "302 Found", "Location: https://localhost/x"), "status", "another host"),
    "round and round": (http(b"", "302 Found", "Location: /x"), "status", "redirects more than 3 times"),
}


@pytest.mark.parametrize(("answer", "reason", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_every_failure_has_its_reason(answer: Answer, reason: str, message: str) -> None:
    """Each response without a complete profile has a reason, and a message that quotes the response."""
    with answering(answer) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url)
    assert caught.value.reason == reason
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.charged


def test_an_endless_body_ends_at_the_limit() -> None:
    """An endless body raises an error at the limit."""
    group = b"1 @ 0x11\n#\t0x10\tmain.f+0x1\t/f.go:1\n\n"
    body = b"goroutine profile: total 1\n" + group * 100_000
    with answering(endless(body)) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url, limit=2_000_000, timeout=60)
    assert caught.value.reason == "too_large"
    assert "2000000 bytes (body_size_limit)" in str(caught.value)


def pieces_of(answer: Answer, turn: float = 1e9) -> tuple[list[int], int]:
    """Fetch a body; return the sizes of the pieces that are parsed, and how often another task ran meanwhile."""
    sizes: list[int] = []
    ran = 0

    def feed(data: bytes) -> Iterator[None]:
        sizes.append(len(data))
        yield from [None] * 10

    async def other() -> None:
        nonlocal ran
        while True:
            await asyncio.sleep(0)
            ran += 1

    async def run(url: str) -> None:
        config = job(url)
        client = Client(Tls(config.tls_config, secure=False), timeout=60)
        fetcher = Fetcher(client, endpoint_of(config).url, config, timeout=60, size_limit=10**8)
        task = asyncio.create_task(other())
        await fetcher.fetch(feed)
        task.cancel()
        await fetcher.close()

    with pytest.MonkeyPatch.context() as patch, answering(answer) as server:
        patch.setattr(clock, "TURN", turn)
        asyncio.run(run(server.url))
    return sizes, ran


def test_tiny_chunks_are_parsed_together() -> None:
    """Chunks of one byte are joined before they are parsed."""
    body = b"x" * (2 * PIECE_SIZE + 7)
    for answer in (chunked(body, 1), http(gzip.compress(body), "200 OK", "Content-Encoding: gzip")):
        *pieces, last = pieces_of(answer)[0]
        assert sum(pieces) + last == len(body)
        assert all(PIECE_SIZE <= size < 2 * PIECE_SIZE for size in pieces)


def test_other_tasks_run_between_the_steps_of_parsing() -> None:
    """After a turn of work, other tasks run between the steps of a piece."""
    sizes, ran = pieces_of(http(b"x" * (20 * PIECE_SIZE)), turn=0.0)
    assert ran >= 10 * len(sizes) >= 100


def test_a_gzip_bomb_ends_at_the_limit() -> None:
    """400 MB of equal groups in 2 MB of gzip raise an error at the limit."""
    group = b"1 @ 0x11\n#\t0x10\tmain.f+0x1\t/f.go:1\n\n"
    bomb = gzip.compress(b"goroutine profile: total 1\n" + group * 10**7, 1)
    with answering(http(bomb, "200 OK", "Content-Encoding: gzip")) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url, limit=10**6, timeout=60)
    assert caught.value.reason == "too_large"


def drip(_: bytes, connection: socket.socket) -> None:
    """Respond with a valid profile, one group per 0.1 s, so that no single read times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for group in BODY.split(b"\n\n"):
        connection.sendall(group + b"\n\n")
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [hang, drip], ids=["silent", "drip"])
def test_the_timeout_covers_the_whole_response(answer: Answer) -> None:
    """A silent server and a slow one time out, and the target is charged."""
    begin = time.monotonic()
    with answering(answer) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url, timeout=0.5)
    assert caught.value.reason == "timeout"
    assert caught.value.charged
    assert time.monotonic() - begin < 4  # the whole response takes 6 s


def test_a_refused_connection_is_not_charged() -> None:
    """A refused connection has the reason `connection` and is not charged."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ScrapeError) as caught:
        scrape(f"http://127.0.0.1:{port}")
    assert caught.value.reason == "connection"
    assert str(caught.value) == "Connection refused"
    assert not caught.value.charged


def test_an_unknown_host() -> None:
    """The error for an unknown host is the message of the resolver."""
    with pytest.raises(ScrapeError, match=r"[Nn]ame.*(not known|resolution)") as caught:
        scrape("http://nowhere.invalid:1")
    assert caught.value.reason == "connection"


def test_redirects_within_the_host_are_followed() -> None:
    """A redirect within the host is followed, or is an error with `follow_redirects: false`."""

    def answer(head: bytes, connection: socket.socket) -> None:
        moved = b"GET /debug/pprof/goroutine" not in head
        reply = http(BODY) if moved else http(b"", "301 Moved", "Location: /other/goroutine?debug=1")
        reply(head, connection)

    with answering(answer) as server:
        assert scrape(server.url)[1] == 183
        with pytest.raises(ScrapeError, match="HTTP 301: redirects to"):
            scrape(server.url, follow_redirects=False)


def test_a_unix_socket(tmp_path: Path) -> None:
    """A service behind a unix socket is scraped."""
    with answering(http(BODY), path=tmp_path / "app.sock") as server:
        assert scrape(server.url)[1] == 183


def test_authorization_and_headers(tmp_path: Path) -> None:
    """Basic auth, bearer tokens and custom headers are sent; files of secrets are read before each request."""
    token = tmp_path / "token"
    token.write_text("first\n")
    with answering(http(BODY)) as server:
        scrape(server.url, basic_auth={"username": "me", "password": "s€cret"})
        scrape(server.url, authorization={"credentials_file": str(token)})
        token.write_text("second\n")
        scrape(server.url, authorization={"type": "Token", "credentials_file": str(token)})
        scrape(server.url, http_headers={"X-Scope": {"values": ["a", "b"]}, "X-Key": {"secrets": ["k"]}})
        token.write_text("sec\nret")
        with pytest.raises(ScrapeError, match="the value of header Authorization is not one line") as raised:
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
    """A service is scraped with its CA and a client certificate, and not without one of them."""
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
        # A TLS 1.3 server rejects after the handshake, with an alert if it arrives before the connection closes.
        assert caught.value.reason in {"tls", "connection"}


def test_tls_names_and_trust(tls: tuple[trustme.CA, ssl.SSLContext, Path]) -> None:
    """A certificate for another name is an error, unless `server_name` or `insecure_skip_verify` is set."""
    _, context, ca_file = tls
    with answering(http(BODY), context) as server:
        address = server.url.replace("localhost", "127.0.0.1")
        with pytest.raises(ScrapeError, match="IP address mismatch"):
            scrape(address, tls_config={"ca_file": str(ca_file)})
        assert scrape(address, tls_config={"ca_file": str(ca_file), "server_name": "localhost"})[1] == 183
        assert scrape(address, tls_config={"insecure_skip_verify": True})[1] == 183
    with (
        answering(http(BODY)) as server,
        pytest.raises(ScrapeError, match="not TLS, the server may use http") as caught,
    ):
        scrape(server.url.replace("http:", "https:"))
    assert caught.value.reason == "tls"


def test_a_server_that_closes_during_the_handshake() -> None:
    """A server that closes the connection during the TLS handshake is named in the message."""
    with answering(hang_up) as server, pytest.raises(ScrapeError) as caught:
        scrape(server.url.replace("http:", "https:"))
    assert caught.value.reason in {"tls", "connection"}
    assert str(caught.value) not in {"", "ConnectError"}


def test_replaced_certificates(tls: tuple[trustme.CA, ssl.SSLContext, Path]) -> None:
    """A missing or invalid CA file has the reason `tls`; a new file is used without a restart."""
    _, context, ca_file = tls
    good = ca_file.read_bytes()
    with answering(http(BODY), context) as server:
        config = job(server.url, tls_config={"ca_file": str(ca_file)})
        target = endpoint_of(config)

        async def run() -> list[str]:
            client = Client(Tls(config.tls_config, secure=True), timeout=5)
            fetcher = Fetcher(client, target.url, config, timeout=5, size_limit=10**7)
            results = []
            for content in (good, None, b"no certificate", good):
                ca_file.unlink(missing_ok=True)
                if content is not None:
                    ca_file.write_bytes(content)
                try:
                    await fetcher.fetch(lambda _: None)
                    results.append("success")
                except ScrapeError as error:
                    results.append(error.reason)
            await fetcher.close()
            return results

        assert asyncio.run(run()) == ["success", "tls", "tls", "success"]
