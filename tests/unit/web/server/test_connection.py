"""Connections of the server: each slow one is closed. The tests move the clock of the event loop."""

import asyncio
import inspect
import re
import socket
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from leakwatch.web.server import connection
from leakwatch.web.server.config import WebConfig
from leakwatch.web.server.connection import IDLE_TIME, REQUEST_TIME, Connection, ServerConfig
from leakwatch.web.server.guard import Guard
from leakwatch.web.server.origin import OriginCheck
from leakwatch.web.server.server import UvicornServer, bind
from leakwatch.web.server.web_config_file import WebFile
from tests.support.certificates import client, everything

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 50_000_000
HANG = 100 * REQUEST_TIME
"""Seconds of the moved clock; only a test that hangs reaches it."""


class MovableLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock that a test can move forward."""

    ahead = 0.0

    def time(self) -> float:
        """Return the time of the loop, in seconds."""
        return super().time() + self.ahead


@dataclass
class Scene:
    """A client's connection to a running server."""

    server: UvicornServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the endpoint that never answers has started."""

    async def accepted(self) -> Connection:
        """Wait until the server has accepted the connection, and return its protocol."""
        await until(lambda: bool(self.server.server_state.connections))
        (protocol,) = self.server.server_state.connections
        assert isinstance(protocol, Connection)
        return protocol

    async def is_open(self) -> bool:
        """Return whether the server keeps the connection after all due timers have run."""
        for _ in range(3):
            await asyncio.sleep(0)
        return bool(self.server.server_state.connections)

    async def ended(self) -> bytes:
        """Wait for the end of the connection, and return the bytes before it."""
        return await read_all(self.reader)

    async def expires(self) -> bytes:
        """Check that the server closes the connection after REQUEST_TIME, not before; return the bytes before."""
        await self.accepted()
        move(REQUEST_TIME - 2)
        assert await self.is_open()
        move(2)
        return await self.ended()


def move(seconds: float) -> None:
    """Move the clock of the running loop forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovableLoop)
    loop.ahead += seconds


async def until(is_reached: Callable[[], bool]) -> None:
    """Wait for a state of the server."""
    while not is_reached():  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.001)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Return all bytes until the other side ends the connection."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def play(act: Callable[[Scene], Awaitable[None]], folder: Path | None = None) -> None:
    """Run a server and one connection to it; with TLS if there is a folder for certificates."""
    context, path = None, None
    if folder:
        context, path = client(everything(folder)), folder / "web.yml"
        path.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")

    async def run() -> None:
        started = asyncio.Event()

        async def small(_: Request) -> Response:
            return PlainTextResponse("hello")

        async def large(_: Request) -> Response:
            return PlainTextResponse(LARGE)

        async def silent(_: Request) -> Response:
            started.set()
            await asyncio.Event().wait()
            return PlainTextResponse("")

        app = Starlette(routes=[Route("/", small), Route("/large", large), Route("/silent", silent)])
        bound, file = bind("127.0.0.1:0"), WebFile(path)
        server = UvicornServer(ServerConfig(Guard(app, file, OriginCheck(WebConfig())), file))
        task = asyncio.create_task(server.serve(sockets=[bound]))
        reader, writer = await asyncio.open_connection(*bound.getsockname(), ssl=context)
        try:
            await asyncio.wait_for(act(Scene(server, reader, writer, started)), HANG)
        finally:
            writer.close()
            server.should_exit = True
            await task

    with asyncio.Runner(loop_factory=MovableLoop) as runner:
        runner.run(run())


@pytest.mark.parametrize("path", ["/" + "a" * 9000, "/a" * 101, "/" + "%2F" * 101])
def test_a_long_path_is_rejected(path: str) -> None:
    """A path that is longer than any name, or has more than 100 slashes, is not looked up."""

    async def act(scene: Scene) -> None:
        scene.writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        assert (await scene.ended()).startswith(b"HTTP/1.1 414 ")

    play(act)


def test_a_connection_without_a_request_is_closed() -> None:
    """A connection on which no request arrives is closed."""

    async def act(scene: Scene) -> None:
        assert await scene.expires() == b""

    play(act)


def test_a_request_byte_by_byte_is_closed() -> None:
    """A client that sends one header after another does not extend the time limit."""

    async def act(scene: Scene) -> None:
        protocol = await scene.accepted()
        scene.writer.write(REQUEST[:-2])
        for number in range(int(REQUEST_TIME) - 2):
            scene.writer.write(b"X-%d: y\r\n" % number)
            await scene.writer.drain()
            move(1)
            assert await scene.is_open()
        assert not protocol.transport.is_closing()
        move(3)
        assert await scene.ended() == b""

    play(act)


def test_a_second_request_byte_by_byte_is_closed() -> None:
    """An incomplete second request on a connection has the same time limit."""

    async def act(scene: Scene) -> None:
        protocol = await scene.accepted()
        scene.writer.write(REQUEST)
        assert (await scene.reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        await until(lambda: protocol.timeout_keep_alive_task is not None)
        scene.writer.write(REQUEST[:-2])
        await until(lambda: protocol.timeout_keep_alive_task is None)  # the server has read it
        assert await scene.expires() == b""

    play(act)


@pytest.mark.parametrize("secure", [False, True])
def test_a_response_that_is_not_read_is_closed(secure: bool, tmp_path: Path) -> None:
    """A client that stops reading does not hold a response forever."""

    async def act(scene: Scene) -> None:
        protocol = await scene.accepted()
        scene.writer.write(REQUEST.replace(b"/", b"/large", 1))
        await until(lambda: protocol.flow.write_paused)
        assert len(await scene.expires()) < len(LARGE)

    play(act, tmp_path if secure else None)


@pytest.mark.parametrize("secure", [False, True])
def test_a_large_response_is_complete(secure: bool, tmp_path: Path) -> None:
    """A client that reads gets a large response in full, and then the next."""

    async def act(scene: Scene) -> None:
        for _ in range(2):
            scene.writer.write(REQUEST.replace(b"/", b"/large", 1))
            await scene.reader.readuntil(b"\r\n\r\n")
            assert await scene.reader.readexactly(len(LARGE)) == LARGE

    play(act, tmp_path if secure else None)


def test_responses_are_not_delayed() -> None:
    """TCP_NODELAY is set: the second packet of a response does not wait 40 ms for an acknowledgement."""
    options: list[int] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        options.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def run() -> None:
        bound = bind("127.0.0.1:0")
        async with await asyncio.start_server(accept, sock=bound):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            await read_all(reader)
            writer.close()

    asyncio.run(run())
    assert options == [1]


def test_a_request_without_a_response_is_closed() -> None:
    """The time limit includes the time that leakwatch takes to answer."""

    async def act(scene: Scene) -> None:
        scene.writer.write(REQUEST.replace(b"/", b"/silent", 1))
        await scene.started.wait()
        assert await scene.expires() == b""

    play(act)


def test_a_connection_in_use_stays_open() -> None:
    """The time limit is one per request: a connection with many requests may last longer."""

    async def act(scene: Scene) -> None:
        protocol = await scene.accepted()
        for _ in range(int(2 * REQUEST_TIME / (IDLE_TIME - 1))):
            scene.writer.write(REQUEST * 2)
            for _ in range(2):
                assert (await scene.reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
            await until(lambda: protocol.timeout_keep_alive_task is not None)
            move(IDLE_TIME - 1)
            assert await scene.is_open()

    play(act)


def test_an_idle_connection_is_closed() -> None:
    """A connection without a further request is closed after a few seconds."""

    async def act(scene: Scene) -> None:
        protocol = await scene.accepted()
        scene.writer.write(REQUEST)
        await scene.reader.readuntil(b"hello")
        await until(lambda: protocol.timeout_keep_alive_task is not None)
        move(IDLE_TIME)
        assert await scene.ended() == b""

    play(act)


def test_headers_without_end() -> None:
    """Headers larger than 64 kB close the connection at once, before they fill memory."""

    async def act(scene: Scene) -> None:
        scene.writer.write(REQUEST[:-2] + b"X: " + b"y" * 100_000)
        # The response is lost if the rest of the request is still on its way.
        assert (await scene.ended())[:12] in {b"HTTP/1.1 400", b""}

    play(act)


def test_too_many_connections() -> None:
    """A connection beyond the limit replaces the oldest idle one, not the one with a request."""

    async def act(scene: Scene) -> None:
        scene.writer.write(REQUEST.replace(b"/", b"/silent", 1))
        await scene.started.wait()
        host, port = scene.writer.get_extra_info("peername")
        idle = [await asyncio.open_connection(host, port) for _ in range(connection.CONNECTIONS - 1)]
        idle[0][1].write(REQUEST)  # it waits for a request for a shorter time than the others
        assert (await idle[0][0].readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        late = [await asyncio.open_connection(host, port) for _ in range(3)]
        for reader, writer in late:
            writer.write(REQUEST)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        assert [await read_all(reader) for reader, _ in idle[1:4]] == [b""] * 3
        await until(lambda: len(scene.server.server_state.connections) == connection.CONNECTIONS)
        idle[0][1].write(REQUEST)
        assert (await idle[0][0].readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        for _, writer in idle + late:
            writer.close()

    play(act)


def test_too_many_connections_with_requests() -> None:
    """If all connections have a request, a further one replaces the oldest."""

    async def act(scene: Scene) -> None:
        host, port = scene.writer.get_extra_info("peername")
        writers = [scene.writer]
        for number in range(connection.CONNECTIONS):
            if number:
                writers.append((await asyncio.open_connection(host, port))[1])
            scene.started.clear()
            writers[-1].write(REQUEST.replace(b"/", b"/silent", 1))
            await scene.started.wait()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(REQUEST)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        assert await scene.ended() == b""
        for open_writer in (*writers, writer):
            open_writer.close()

    play(act)


def test_a_client_that_does_not_read_gets_few_responses() -> None:
    """Of many requests that a client sends at once, the first ones are answered until it reads the responses."""

    async def act(scene: Scene) -> None:
        protocol = await scene.accepted()
        scene.writer.write(REQUEST.replace(b"/", b"/large", 1) * 20)
        await until(lambda: protocol.flow.write_paused)
        assert await scene.is_open()
        assert scene.server.server_state.total_requests == 0
        for _ in range(20):
            await scene.reader.readuntil(b"\r\n\r\n")
            assert await scene.reader.readexactly(len(LARGE)) == LARGE

    play(act)


def test_uvicorn_has_the_private_api() -> None:
    """`Connection` extends a private class of uvicorn: its methods exist, and the version has an upper bound."""
    methods = [name for name in vars(Connection) if inspect.isfunction(getattr(H11Protocol, name, None))]
    assert set(methods) == {
        "connection_made",
        "connection_lost",
        "data_received",
        "on_response_complete",
        "timeout_keep_alive_handler",
    }
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    (requirement,) = [line for line in project["dependencies"] if line.startswith("uvicorn")]
    bound = re.fullmatch(r"uvicorn>=0\.\d+,<0\.(\d+)", requirement)
    assert bound
    assert int(version("uvicorn").split(".")[1]) < int(bound[1])
