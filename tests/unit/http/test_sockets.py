"""Sockets: the addresses of a host, and the errors of the system."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from leakwatch.http import sockets
from leakwatch.http.sockets import system_message, tcp_socket


@pytest.fixture
def listening() -> Iterator[int]:
    """Return the port of a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def connected_to(addresses: list[str], port: int, timeout: float | None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Connect to a host with these addresses; return the address that accepted."""

    async def resolved(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    async def run() -> str:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", resolved)
        async with asyncio.timeout(timeout):
            with await tcp_socket("host", port, timeout) as connected:
                return str(connected.getpeername()[0])

    return asyncio.run(run())


def test_the_next_address_is_tried(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that refuses is skipped, and the error of the last address counts if all refuse."""
    assert connected_to(["127.0.0.2", "127.0.0.1"], listening, 5, monkeypatch) == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        connected_to(["127.0.0.2", "127.0.0.3"], listening, None, monkeypatch)


def test_an_address_without_an_answer_has_its_share(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that never answers leaves time for the next, and one that is the last has the whole timeout."""
    connect = asyncio.SelectorEventLoop.sock_connect

    async def hanging(loop: Any, sock: socket.socket, address: Any) -> None:
        if address[0] == "127.0.0.2":
            await asyncio.Event().wait()
        await connect(loop, sock, address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", hanging)
    monkeypatch.setattr(sockets, "LEAST_SHARE", 0.01)
    assert connected_to(["127.0.0.2", "127.0.0.1"], listening, 1, monkeypatch) == "127.0.0.1"
    with pytest.raises(TimeoutError):
        connected_to(["127.0.0.2", "127.0.0.2"], listening, 0.1, monkeypatch)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "bad certificate"), str(ssl.SSLError(1, "bad certificate"))),
        (
            ExceptionGroup("", [ValueError("x"), ConnectionResetError(errno.ECONNRESET, "x")]),
            "Connection reset by peer",
        ),
        (ValueError("x"), ""),
        (None, ""),
    ],
)
def test_the_message_of_the_system(error: Exception | None, message: str) -> None:
    """The message is that of the operating system, of the resolver or of OpenSSL, also behind other errors."""
    outer = RuntimeError("outer")
    outer.__cause__ = error
    assert system_message(outer) == message
