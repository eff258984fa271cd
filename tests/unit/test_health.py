"""The health check of the container, against what really listens."""

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
    """Return what a server speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("leakwatch.example.com").configure_cert(context)
    if client_certificate:
        CA.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def place(url: str) -> str:
    """Return host and port of a URL."""
    return re.sub(r"^https?://", "", url).replace("localhost", "127.0.0.1")


@pytest.fixture
def closed() -> str:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_running_leakwatch_is_healthy_and_a_stopped_one_is_not(leakwatch: Run, closed: str) -> None:
    """The status says it, as a container engine reads it; the place comes from the argument or the environment."""
    daemon = leakwatch("--target", f"http://{closed}")
    port = daemon.url.rpartition(":")[2]
    command = [sys.executable, "-m", "leakwatch.health"]
    assert subprocess.run([*command, place(daemon.url)], check=False).returncode == 0
    assert subprocess.run(command, check=False, env={"LEAKWATCH_LISTEN": f"0.0.0.0:{port}"}).returncode == 0
    assert subprocess.run(command, check=False, env={"LEAKWATCH_LISTEN": f":{port}"}).returncode == 0
    daemon.stop()
    done = subprocess.run([*command, place(daemon.url)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"leakwatch: no healthy leakwatch at 127.0.0.1, port {port}: ")


def test_it_listens_where_the_environment_says(closed: str) -> None:
    """LEAKWATCH_LISTEN is --listen for an image: an address nobody may listen on is refused by name."""
    command = [sys.executable, "-m", "leakwatch", "run", "--target", f"http://{closed}"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={"LEAKWATCH_LISTEN": "192.0.2.1:1"}
    )
    assert done.returncode == 1
    assert "cannot listen on 192.0.2.1:1" in done.stderr


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "404 Not Found"])
def test_any_answer_of_its_own_is_life(status: str) -> None:
    """Who asks for a password lives, and so does who has its pages below a prefix."""
    with answering(http(b"", status)) as server:
        assert health.main([place(server.url)]) == 0
        assert server.requests[0].startswith(b"GET /-/healthy HTTP/1.0\r\n")


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_a_broken_server_is_not_healthy(status: str) -> None:
    """An error of the server counts as one."""
    with answering(http(b"", status)) as server:
        assert health.main([place(server.url)]) == 1


def test_another_protocol_is_not_healthy() -> None:
    """Something else may have taken the port."""
    with answering(lambda _, connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        assert health.main([place(server.url)]) == 1


def test_silence_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that accepts and never answers is stuck."""
    monkeypatch.setattr(health, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert health.main([f"127.0.0.1:{server.getsockname()[1]}"]) == 1


@pytest.mark.parametrize("client_certificate", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_life(version: ssl.TLSVersion, *, client_certificate: bool) -> None:
    """With TLS too, whosever name the certificate has, and also where it asks for one that we do not have."""
    context = tls(client_certificate=client_certificate)
    context.minimum_version = context.maximum_version = version
    with answering(http(b""), context) as server:
        assert health.main([place(server.url)]) == 0


def test_ipv6(leakwatch: Run, closed: str) -> None:
    """A daemon that listens on IPv6 is found there."""
    daemon = leakwatch("--target", f"http://{closed}", "--listen", "[::1]:0")
    port = daemon.url.rpartition(":")[2]
    assert health.main([f"[::]:{port}"]) == health.main([f"[::1]:{port}"]) == 0


def test_it_imports_next_to_nothing() -> None:
    """It is started twice a minute for as long as a container lives, so it must cost next to nothing."""
    code = "import leakwatch.health, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"typer", "ssl", "asyncio", "http.client", "pydantic"} & set(done.stdout.split()) == set()
