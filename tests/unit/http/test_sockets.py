"""Sockets: the addresses of a host, and the errors of the system."""

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from leakwatch.http import sockets
from leakwatch.http.sockets import system_message, tcp_socket, unix_socket
from leakwatch.http.transport import Transport
from tests.support.answering import answering, http
from tests.support.waiting import until

LATEST = 30.0


@pytest.fixture
def listening() -> Iterator[int]:
    """Return the port of a server that answers each request."""
    with answering(http(b"")) as server:
        yield int(server.url.rpartition(":")[2])


REFUSING, SILENT, ACCEPTING = "127.0.0.2", "127.0.0.3", "127.0.0.1"


def resolve_to(addresses: list[str], port: int, monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Let each host have these addresses. SILENT never answers. Return the sockets that connect, as they do."""
    connect, used = asyncio.SelectorEventLoop.sock_connect, list[socket.socket]()

    async def answered(loop: Any, sock: socket.socket, address: Any) -> None:
        used.append(sock)
        if address[0] == SILENT:
            await asyncio.Event().wait()
        await connect(loop, sock, address)

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", answered)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    return used


async def peer_of(host: str, port: int) -> str:
    """Connect to a host; return the address that accepted."""
    with await tcp_socket(host, port) as connected:
        return str(connected.getpeername()[0])


def test_the_next_address_is_tried(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that refuses is skipped at once, and if all refuse, this is the error."""
    monkeypatch.setattr(sockets, "ATTEMPT_DELAY", None)
    resolve_to([REFUSING, ACCEPTING], listening, monkeypatch)
    assert asyncio.run(peer_of("host", listening)) == ACCEPTING
    resolve_to([REFUSING, REFUSING], listening, monkeypatch)
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(peer_of("host", listening))


def test_addresses_without_an_answer(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses never answer, the timeout leaves time for the next ones."""

    async def response() -> int:
        transport = Transport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        async with httpx.AsyncClient(transport=transport, timeout=LATEST, trust_env=False) as client:
            return (await client.get(f"http://host:{listening}")).status_code

    monkeypatch.setattr(sockets, "ATTEMPT_DELAY", 0.01)
    resolve_to([SILENT] * 20 + [REFUSING, SILENT, ACCEPTING], listening, monkeypatch)
    assert asyncio.run(response()) == 200


@pytest.mark.parametrize("delay", [0.0, 0.001, 1.0])
def test_attempts_leave_no_socket_open(delay: float, listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets of other attempts are closed, also if several connect or the caller is cancelled."""
    monkeypatch.setattr(sockets, "ATTEMPT_DELAY", delay)
    used = resolve_to([REFUSING, ACCEPTING, SILENT, ACCEPTING], listening, monkeypatch)

    async def run() -> set[str]:
        outcomes = set()
        for turns in range(30):
            task = asyncio.create_task(peer_of("host", listening))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            outcomes.add(str((await asyncio.gather(task, return_exceptions=True))[0]))
            await until(lambda: all(each.fileno() < 0 for each in used))
        return outcomes

    assert asyncio.run(run()) == {"", ACCEPTING}
    assert len(used) > 30


def test_a_full_backlog(tmp_path: Path) -> None:
    """If a server does not accept, connecting to its unix socket is an error."""
    path = str(tmp_path / "socket")
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen(0)

        def fill() -> None:
            for _ in range(100):
                stack.enter_context(unix_socket(path))

        with pytest.raises(BlockingIOError):
            fill()


def test_slow_lookups_do_not_block_others(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While lookups of names last, addresses connect, and the threads of asyncio are free."""
    lookup, answer = socket.getaddrinfo, threading.Event()

    def slow(host: str, port: int, *, type: int, flags: int = 0) -> Any:  # noqa: A002
        if host == "slow" and not flags:
            answer.wait()
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return lookup(host, port, type=type, flags=flags)

    async def run() -> None:
        slow_ones = [asyncio.create_task(peer_of("slow", listening)) for _ in range(100)]
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(LATEST):
                assert await peer_of(ACCEPTING, listening) == ACCEPTING
                assert await asyncio.to_thread(lambda: 1) == 1
            assert not any(task.done() for task in slow_ones)
        finally:
            answer.set()
            errors = await asyncio.gather(*slow_ones, return_exceptions=True)
        assert {type(error) for error in errors} == {socket.gaierror}

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    asyncio.run(run())


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
