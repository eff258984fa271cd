"""Connections that take their time: each of them ends."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from leakwatch.web import connection
from leakwatch.web.connection import Config
from leakwatch.web.server import Server, bind
from leakwatch.web.web_file import WebFile

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


def scene(play: Scene, request_time: float = 0.3) -> None:
    """Serve, and play with one connection."""

    async def run() -> None:
        app = Starlette(routes=[Route("/", small), Route("/large", large), Route("/slow", slow)])
        bound = bind("127.0.0.1:0")
        running = Server(Config(app, WebFile(), request_time))
        task = asyncio.create_task(running.serve(sockets=[bound]))
        reader, writer = await asyncio.open_connection(*bound.getsockname())
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


def test_an_answer_that_nobody_fetches_is_given_up() -> None:
    """A client that stops reading does not hold the answer for ever."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST.replace(b"/", b"/large", 1))
        await reader.readexactly(100)
        await asyncio.sleep(0.6)
        assert len(await ended(reader)) < len(LARGE)

    scene(play)


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
