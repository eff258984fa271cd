"""`leakwatch discover`: services with net/http/pprof, one request per address."""

import contextlib
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from leakwatch.cli.discover import given_addresses, local_addresses
from leakwatch.config import parse
from leakwatch.errors import UsageError
from leakwatch.scrape import local_sockets
from leakwatch.scrape.local_sockets import ListeningSocket, listening_sockets
from tests.support.answering import Answer, answering, http
from tests.support.commands import run_command

INDEX = b"<html><title>/debug/pprof/</title><a href='goroutine?debug=1'>goroutine</a>"


@contextlib.contextmanager
def go_with_tls(context: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    """Serve the index by HTTPS as Go does, which answers plain HTTP itself; yield the address and the requests."""
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if connection.recv(1, socket.MSG_PEEK) != b"\x16":
                connection.recv(65536)
                body = b"Client sent an HTTP request to an HTTPS server.\n"
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + body)
                return
            with context.wrap_socket(connection, server_side=True) as secure:
                requests.append(secure.recv(65536))
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(INDEX), INDEX))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"localhost:{listener.getsockname()[1]}", requests
        listener.shutdown(socket.SHUT_RDWR)


def test_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that speaks TLS receives one GET by HTTPS. The configuration has the scheme."""
    monkeypatch.setattr("leakwatch.http.settings._default_context", ssl.create_default_context)  # it is cached
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with go_with_tls(server_context(ca, "localhost")) as (address, requests):
        completed = run_command("discover", address, "--timeout", "60s", SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    table, _, config = completed.stdout.decode().partition("\n\n")
    assert (completed.returncode, table.split()) == (0, [address, "pprof", "(https)"])
    assert [request.split(b"\r\n")[0] for request in requests] == [b"GET /debug/pprof/ HTTP/1.1"]
    (job,) = parse(config, "f.yml", Path()).scrape_configs
    assert (job.scheme, job.static_configs[0].targets) == ("https", (address,))


def test_an_invalid_certificate() -> None:
    """A certificate that cannot be verified is reported as such, and no request is sent to the handler."""
    with go_with_tls(server_context(trustme.CA(), "localhost")) as (address, requests):
        completed = run_command("discover", address, "--format", "json", "--timeout", "60s")
    (result,) = json.loads(completed.stdout)
    assert (completed.returncode, result["scheme"], result["found"]) == (1, "https", "invalid certificate")
    assert "certificate verify failed" in result["detail"]
    assert requests == []


def server_context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    """Return the context of a server with a certificate of `ca`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    return context


def silent(_: bytes, connection: socket.socket) -> None:
    """Wait until the client closes the connection."""
    connection.recv(1)


@pytest.mark.parametrize(
    ("answer", "found", "detail"),
    [
        (http(INDEX), "pprof", ""),
        (http(b"<html>welcome"), "none", "another page"),
        (http(b"", "401 Unauthorized"), "needs authorization", "HTTP 401"),
        (http(b"", "403 Forbidden"), "needs authorization", "HTTP 403"),
        (http(b"404 page not found", "404 Not Found"), "none", "HTTP 404"),
        (http(b"", "302 Found", "Location: /login"), "none", "HTTP 302: redirects to "),
        (silent, "none", "no complete response within 0.2 s"),
    ],
)
def test_findings(answer: Answer, found: str, detail: str) -> None:
    """The result follows from one GET request of the index. The exit status is 0 if pprof is found."""
    with answering(answer) as server:
        address = server.url.removeprefix("http://")
        completed = run_command(
            "discover", address, "--format", "json", "--timeout", "200ms" if answer is silent else "60s"
        )
    (result,) = json.loads(completed.stdout)
    assert (result["address"], result["found"]) == (address, found)
    assert detail in result["detail"]
    assert [request.split(b"\r\n")[0] for request in server.requests] == [b"GET /debug/pprof/ HTTP/1.1"]
    assert completed.returncode == (0 if found == "pprof" else 1)


def test_the_configuration() -> None:
    """The text ends with a valid configuration of the services, with a place for their credentials."""
    with answering(http(INDEX)) as first, answering(http(b"", "401 Unauthorized")) as second:
        addresses = [server.url.removeprefix("http://") for server in (first, second)]
        completed = run_command("discover", *addresses, "127.0.0.1:1", "--timeout", "60s")
    table, _, config = completed.stdout.decode().partition("\n\n")
    assert [line.split()[:2] for line in table.splitlines()] == [
        [addresses[0], "pprof"],
        [addresses[1], "needs"],
        ["127.0.0.1:1", "none"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAKWATCH_TOKEN", "x")
        jobs = parse(config, "f.yml", Path()).scrape_configs
    assert [job.static_configs[0].targets for job in jobs] == [(address,) for address in addresses]
    assert [bool(job.authorization) for job in jobs] == [False, True]


def test_the_sockets_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without addresses, the listening sockets are probed. The test probes its own socket only."""
    with answering(http(INDEX)) as server:
        port = int(server.url.rpartition(":")[2])
        own = [found for found in listening_sockets() if found.port == port]
        monkeypatch.setattr(local_sockets, "listening_sockets", lambda: own)
        completed = run_command("discover", "--format", "json", "--timeout", "60s")
    expected = {"address": f"127.0.0.1:{port}", "scheme": "http", "found": "pprof", "detail": ""}
    assert json.loads(completed.stdout) == [expected]


def test_one_address_per_port() -> None:
    """A loopback address comes before others; a socket of all addresses is probed at 127.0.0.1."""
    sockets = [("10.0.0.1", 80), ("127.0.0.1", 80), ("::", 6060), ("0.0.0.0", 7070), ("::1", 70), ("fd00::1", 90)]  # noqa: S104  nothing is bound
    listening = [ListeningSocket(ipaddress.ip_address(host), port, "1") for host, port in sockets]
    assert local_addresses(listening) == [
        "[::1]:70",
        "127.0.0.1:80",
        "[fd00::1]:90",
        "127.0.0.1:6060",
        "127.0.0.1:7070",
    ]


def test_addresses_of_the_command_line() -> None:
    """A host without a port has the well-known ports. An invalid address is quoted."""
    assert given_addresses(["h:1", "[fd00::1]:2", "h:1"]) == ["h:1", "[fd00::1]:2"]
    assert given_addresses(["h"]) == ["h:6060", "h:8080", "h:8081", "h:8082", "h:9090"]
    with pytest.raises(UsageError, match=r"address 'h:x': "):
        given_addresses(["h:x"])
