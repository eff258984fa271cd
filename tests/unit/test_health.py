"""Health check of the container, against real servers."""

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable

import pytest
import trustme

from leakwatch import health
from tests.support.answering import answering, http
from tests.support.running import Daemon

Run = Callable[..., Daemon]
CA = trustme.CA()


def tls(*, client_certificate: bool = False) -> ssl.SSLContext:
    """Return the TLS context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("leakwatch.example.com").configure_cert(context)
    if client_certificate:
        CA.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def address_of(url: str) -> str:
    """Return host and port of a URL."""
    return re.sub(r"^https?://", "", url).replace("localhost", "127.0.0.1")


@pytest.fixture
def closed() -> str:
    """Return an address without a server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_running_leakwatch_is_healthy_and_a_stopped_one_is_not(leakwatch: Run, closed: str) -> None:
    """The exit status is 0 or 1; the address comes from the argument or from LEAKWATCH_LISTEN."""
    daemon = leakwatch("--target", f"http://{closed}")
    port = daemon.url.rpartition(":")[2]
    command = [sys.executable, "-m", "leakwatch.health"]
    assert subprocess.run([*command, address_of(daemon.url)], check=False).returncode == 0
    assert subprocess.run(command, check=False, env={"LEAKWATCH_LISTEN": f"0.0.0.0:{port}"}).returncode == 0
    assert subprocess.run(command, check=False, env={"LEAKWATCH_LISTEN": f":{port}"}).returncode == 0
    daemon.stop()
    process = subprocess.run([*command, address_of(daemon.url)], check=False, capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr.startswith(f"leakwatch: no healthy leakwatch at 127.0.0.1, port {port}: ")


def test_the_daemon_listens_at_leakwatch_listen(closed: str) -> None:
    """LEAKWATCH_LISTEN replaces --listen; the error for an invalid address quotes it."""
    command = [sys.executable, "-m", "leakwatch", "run", "--target", f"http://{closed}"]
    process = subprocess.run(
        command, check=False, capture_output=True, text=True, env={"LEAKWATCH_LISTEN": "192.0.2.1:1"}
    )
    assert process.returncode == 1
    assert "cannot listen on 192.0.2.1:1" in process.stderr


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "404 Not Found"])
def test_any_status_below_500_is_healthy(status: str) -> None:
    """A server that requires a password, or has a route prefix, is healthy."""
    with answering(http(b"", status)) as server:
        assert health.main([address_of(server.url)]) == 0
        assert server.requests[0].startswith(b"GET /-/healthy HTTP/1.0\r\n")


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_a_broken_server_is_not_healthy(status: str) -> None:
    """A status of 500 or above is not healthy."""
    with answering(http(b"", status)) as server:
        assert health.main([address_of(server.url)]) == 1


def test_another_protocol_is_not_healthy() -> None:
    """A server of another protocol is not healthy."""
    with answering(lambda _, connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        assert health.main([address_of(server.url)]) == 1


def test_silence_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts a connection and does not respond is not healthy."""
    monkeypatch.setattr(health, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert health.main([f"127.0.0.1:{server.getsockname()[1]}"]) == 1


@pytest.mark.parametrize("client_certificate", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls(version: ssl.TLSVersion, *, client_certificate: bool) -> None:
    """HTTPS is healthy with any certificate, also if the server requires a client certificate."""
    context = tls(client_certificate=client_certificate)
    context.minimum_version = context.maximum_version = version
    with answering(http(b""), context) as server:
        assert health.main([address_of(server.url)]) == 0


def test_ipv6(leakwatch: Run, closed: str) -> None:
    """A daemon that listens on IPv6 is healthy."""
    daemon = leakwatch("--target", f"http://{closed}", "--listen", "[::1]:0")
    port = daemon.url.rpartition(":")[2]
    assert health.main([f"[::]:{port}"]) == health.main([f"[::1]:{port}"]) == 0


def test_few_imports() -> None:
    """The check does not import expensive modules, because it runs twice a minute."""
    code = "import leakwatch.health, sys; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"typer", "ssl", "asyncio", "http.client", "pydantic"} & set(process.stdout.split()) == set()
