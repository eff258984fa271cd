"""Connections that take their time: each of them ends."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from leakwatch.web.server import connection
from leakwatch.web.server.connection import Config
from leakwatch.web.server.guard import Guard
from leakwatch.web.server.server import Server, bind
from leakwatch.web.server.web_config_file import WebFile
from tests.support.certificates import client, everything

Scene = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 50_000_000


async def small(_: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("hello")


async def large(_: Request) -> Response:
    """Answer with more than any buffer takes."""
    return PlainTextResponse(LARGE)


async def slow(_: Request) -> Response:
    """Never answer."""
    await asyncio.Event().wait()
    return PlainTextResponse("")


def scene(play: Scene, request_time: float = 0.3, folder: Path | None = None) -> None:
    """Serve, and play with one connection; over TLS if there is a folder for certificates."""
    context, path = None, None
    if folder:
        context, path = client(everything(folder)), folder / "web.yml"
        path.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")

    async def run() -> None:
        app = Starlette(routes=[Route("/", small), Route("/large", large), Route("/slow", slow)])
        bound, file = bind("127.0.0.1:0"), WebFile(path)
        running = Server(Config(Guard(app, file), file, request_time))
        task = asyncio.create_task(running.serve(sockets=[bound]))
        reader, writer = await asyncio.open_connection(*bound.getsockname(), ssl=context)
        try:
            await asyncio.wait_for(play(reader, writer), 30)
        finally:
            writer.close()
            running.should_exit = True
            await task

    asyncio.run(run())


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes until the other side ends the connection."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("path", ["/" + "a" * 9000, "/a" * 101, "/" + "%2F" * 101])
def test_an_absurd_address_costs_nothing(path: str) -> None:
    """A path that is longer than any name, or has a hundred places where one could end, is not looked up."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        assert (await ended(reader)).startswith(b"HTTP/1.1 414 ")

    scene(play)


def test_who_says_nothing_is_cut_off() -> None:
    """A connection on which no request comes ends."""

    async def play(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await ended(reader) == b""

    scene(play)


def test_a_request_byte_by_byte_is_cut_off() -> None:
    """A client that keeps sending headers, one at a time, ends all the same."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST[:-2])
        end = asyncio.ensure_future(ended(reader))
        for number in range(1000):
            writer.write(b"X-%d: y\r\n" % number)
            await asyncio.sleep(0.02)
            if end.done():
                break
        assert end.result() == b""

    scene(play)


def test_the_second_request_byte_by_byte_is_cut_off() -> None:
    """The same on a connection that was used before."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        writer.write(REQUEST[:-2])
        assert await ended(reader) == b""

    scene(play)


@pytest.mark.parametrize("secure", [False, True])
def test_an_answer_that_nobody_fetches_is_given_up(secure: bool, tmp_path: Path) -> None:
    """A client that stops reading does not hold the answer for ever."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST.replace(b"/", b"/large", 1))
        await reader.readexactly(100)
        await asyncio.sleep(1.5)
        assert len(await ended(reader)) < len(LARGE)

    scene(play, 1, tmp_path if secure else None)


@pytest.mark.parametrize("secure", [False, True])
def test_a_large_answer_is_whole(secure: bool, tmp_path: Path) -> None:
    """A client that reads gets all of it, and then the next."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(REQUEST.replace(b"/", b"/large", 1))
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(LARGE)) == LARGE

    scene(play, 20, tmp_path if secure else None)


def test_answers_on_one_connection_come_at_once() -> None:
    """The second packet of an answer does not wait until the first is acknowledged: that takes 40 ms each time."""
    found: list[int] = []

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def run() -> None:
        bound = bind("127.0.0.1:0")
        async with await asyncio.start_server(accepted, sock=bound):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            await ended(reader)
            writer.close()

    asyncio.run(run())
    assert found == [1]


def test_an_answer_that_never_comes_ends() -> None:
    """The time for a request is also ours."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST.replace(b"/", b"/slow", 1))
        assert await ended(reader) == b""

    scene(play)


def test_a_connection_that_is_used_stays() -> None:
    """Requests one after the other, also several at once, may take longer together than each may alone."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(6):
            await asyncio.sleep(0.2)
            writer.write(REQUEST * 2)
            for _ in range(2):
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")

    scene(play, 1)


def test_headers_without_end() -> None:
    """Headers larger than 64 kB end the connection at once, before they fill our memory."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST[:-2] + b"X: " + b"y" * 100_000)
        assert (await ended(reader))[:12] in {b"HTTP/1.1 400", b""}  # lost if the rest of ours is on its way

    scene(play, 1000)


def test_too_many_connections() -> None:
    """Beyond the limit a new connection is closed; those before it are answered."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("peername")
        others = [await asyncio.open_connection(host, port) for _ in range(connection.CONNECTIONS)]
        await asyncio.sleep(0.1)
        assert await ended(others[-1][0]) == b""
        writer.write(REQUEST)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        for _, other in others:
            other.close()

    scene(play, 20)
