"""The transport: one connection, no retries, limits of time and memory, and no socket that stays open."""

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trustme

from leakwatch.http.connection import BUFFER_LIMIT
from leakwatch.http.transport import Transport
from tests.support.waiting import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SENT = 50_000_000
LATEST = 30.0

Answer = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server; its function `answer` handles each connection, `requests` are the heads of all requests."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.stopped = asyncio.Event()

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        """Return the head of the next request."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        return head

    async def none_is_open(self) -> None:
        """Wait until the client has closed all connections."""
        await until(lambda: not self.open)


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server; its connections end when the client closes them, or `answer` does."""
    served = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        served.open += 1
        try:
            await answer(served, reader, writer)
            await reader.read()
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            served.open -= 1
            writer.transport.abort()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with listening:
        scheme = "https" if context else "http"
        served.url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/path?query"
        yield served
        served.stopped.set()
        await served.none_is_open()


def answering(*answers: bytes) -> Answer:
    """Return what answers the requests of each connection, one after the other; the last answer repeats."""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            await server.head(reader)
            writer.write(left.pop(0) if len(left) > 1 else left[0])

    return answer


async def closes(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request, and close the connection without an announcement."""
    await server.head(reader)
    writer.write(OK)
    writer.close()


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server and of a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1", "other.example").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.fixture(params=["http", "https"])
def tls(
    request: pytest.FixtureRequest, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> tuple[ssl.SSLContext | None, ssl.SSLContext]:
    """Return the contexts of a server, None for plain HTTP, and of a client."""
    server, client = contexts
    return (server if request.param == "https" else None), client


@asynccontextmanager
async def client_of(context: ssl.SSLContext | None = None, **timeouts: float) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with one transport."""
    transport = Transport(context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    timeout = httpx.Timeout(LATEST, **timeouts)
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        yield client


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test, within a limit of time."""

    async def limited() -> None:
        async with asyncio.timeout(2 * LATEST):
            await test

    asyncio.run(limited())


def test_requests_share_a_connection(tls: tuple[ssl.SSLContext | None, ssl.SSLContext]) -> None:
    """Requests are sent over one connection, without a task for each."""
    created = 0

    async def test() -> None:
        nonlocal created
        async with serving(answering(OK), tls[0]) as server, client_of(tls[1]) as client:
            responses = [await client.get(server.url)]
            loop = asyncio.get_running_loop()

            def make(_: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
                nonlocal created
                created += 1
                return asyncio.Task(coroutine, loop=loop, **options)

            loop.set_task_factory(make)
            responses += [await client.get(server.url) for _ in range(5)]
            loop.set_task_factory(None)
            assert [response.text for response in responses] == ["ok"] * 6
            assert (server.connections, created) == (1, 0)
            assert len({id(response.extensions["connection"]) for response in responses}) == 1
            assert responses[0].http_version == "HTTP/1.1"
            assert responses[0].reason_phrase == "OK"
            assert server.requests[0].startswith(b"GET /path?query HTTP/1.1\r\nHost: 127.0.0.1:")

    run(test())


@pytest.mark.parametrize("is_noticed", [False, True])
def test_a_connection_that_the_server_closed_is_replaced(
    is_noticed: bool, tls: tuple[ssl.SSLContext | None, ssl.SSLContext]
) -> None:
    """A connection that the server closed while it was idle is replaced, also before the event loop notices."""

    async def test() -> None:
        async with serving(closes, tls[0]) as server, client_of(tls[1]) as client:
            first = await client.get(server.url)
            connection = first.extensions["connection"]
            if is_noticed:
                await until(lambda: connection.is_closed)
            second = await client.get(server.url)
            assert second.extensions["connection"] is not connection
            assert (second.text, server.connections, len(server.requests)) == ("ok", 2, 2)

    run(test())


def test_a_closed_socket_is_noticed_without_the_event_loop() -> None:
    """`is_idle` checks the socket itself."""

    async def test() -> None:
        async with serving(answering(OK)) as server, client_of() as client:
            connection = (await client.get(server.url)).extensions["connection"]
            assert connection.is_idle()
            connection._transport.pause_reading()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:  # those of the server
                task.cancel()
            await server.none_is_open()
            select.select([connection._transport.get_extra_info("socket")], [], [], LATEST)
            assert not connection.is_closed
            assert not connection.is_idle()
            await client.get(server.url)
            assert server.connections == 2

    run(test())


def test_no_request_is_sent_twice() -> None:
    """A request that fails on a connection that was used before is not repeated."""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.head(reader)
        writer.write(OK)
        await server.head(reader)
        writer.close()

    async def test() -> None:
        async with serving(answer) as server, client_of() as client:
            await client.get(server.url)
            with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected without sending a response"):
                await client.get(server.url)
            assert len(server.requests) == 2
            assert (await client.get(server.url)).text == "ok"
            assert server.connections == 2

    run(test())


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_a_response_without_a_request_is_not_used(
    pause: float, tls: tuple[ssl.SSLContext | None, ssl.SSLContext]
) -> None:
    """A second response to one request, in the same packet or later, never answers the next request."""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.head(reader)
            if pause:
                writer.write(OK)
                await asyncio.sleep(pause)
                writer.write(EVIL)
            else:
                writer.write(OK + EVIL)

    async def test() -> None:
        async with serving(answer, tls[0]) as server, client_of(tls[1]) as client:
            for _ in range(3):
                assert (await client.get(server.url)).text == "ok"
                await asyncio.sleep(2 * pause)
            assert server.connections == 3

    run(test())


def test_data_before_a_request_is_an_error_or_ignored() -> None:
    """A server that speaks first does not block the client."""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await answering(OK)(server, reader, writer)

    async def test() -> None:
        async with serving(answer) as server, client_of() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(server.url)

    run(test())


@pytest.mark.parametrize("body", [b"ok", b""])
@pytest.mark.parametrize("header", [b"Connection: close\r\n", b""])
def test_a_connection_is_closed_after_the_response(header: bytes, body: bytes) -> None:
    """`Connection: close`, and a body that is not read to its end, even an empty one, close the connection."""
    data = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (header, len(body), body)

    async def test() -> None:
        async with serving(answering(data)) as server, client_of() as client:
            for _ in range(2):
                async with client.stream("GET", server.url) as response:
                    if header:
                        await response.aread()
                await server.none_is_open()
            assert server.connections == 2

    run(test())


def test_another_address_has_another_connection() -> None:
    """A request to another address never goes over the open connection."""

    async def test() -> None:
        async with serving(answering(OK)) as one, serving(answering(EVIL)) as two, client_of() as client:
            texts = [(await client.get(url)).text for url in (one.url, two.url, one.url)]
            assert texts == ["ok", "evil", "ok"]
            assert (one.connections, two.connections) == (2, 1)

    run(test())


def test_requests_wait_for_each_other() -> None:
    """A request waits for the end of the previous response, up to the pool timeout."""

    async def test() -> None:
        async with serving(answering(OK)) as server, client_of(pool=0.05) as client:
            async with client.stream("GET", server.url) as response:
                with pytest.raises(httpx.PoolTimeout):
                    await client.get(server.url)
                waiting = asyncio.create_task(client.get(server.url, timeout=LATEST))
                await asyncio.sleep(0.01)
                assert len(server.requests) == 1
                await response.aread()
            assert (await waiting).text == "ok"
            assert server.connections == 1

    run(test())


def test_a_body_that_is_not_taken_stops_the_server(tls: tuple[ssl.SSLContext | None, ssl.SSLContext]) -> None:
    """A large body waits in the kernel and at the server, and its end does not get lost."""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SENT)
            for _ in range(50):
                writer.write(b"x" * (SENT // 50))
                await writer.drain()

    async def test() -> None:
        async with serving(answer, tls[0]) as server, client_of(tls[1]) as client:
            async with client.stream("GET", server.url) as response:
                await asyncio.sleep(0.2)
                connection = response.extensions["connection"]
                assert len(connection._response.body) <= BUFFER_LIMIT + 300_000
                assert sum([len(piece) async for piece in response.aiter_raw()]) == SENT
            async with client.stream("GET", server.url):
                pass

    run(test())


def test_a_slow_stream_is_delivered_at_once() -> None:
    """Each event of a stream arrives before the next is sent."""

    async def test() -> None:
        received = asyncio.Event()

        async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            writer.write(CHUNKED)
            for number in range(5):
                writer.write(b"1\r\n%d\r\n" % number)
                await received.wait()
                received.clear()
            writer.write(b"0\r\n\r\n")

        async with serving(answer) as server, client_of() as client, client.stream("GET", server.url) as response:
            pieces = []
            async for piece in response.aiter_raw():
                pieces.append(piece)
                received.set()
            assert pieces == [b"0", b"1", b"2", b"3", b"4"]

    run(test())


def test_small_chunks_are_joined() -> None:
    """Chunks that have arrived together are one piece."""
    chunk = b"800\r\n" + b"x" * 2048 + b"\r\n"

    async def test() -> None:
        async with serving(answering(CHUNKED + 500 * chunk + b"0\r\n\r\n")) as server, client_of() as client:
            async with client.stream("GET", server.url) as response:
                pieces = [piece async for piece in response.aiter_raw()]
            assert sum(map(len, pieces)) == 500 * 2048
            assert len(pieces) < 100

    run(test())


@pytest.mark.parametrize(
    "request_of",
    [
        lambda url: httpx.Request("GET", url, headers={"X": "a\r\nEvil: 1"}),
        lambda url: httpx.Request("GET", url, headers={"X": "a\nEvil: 1"}),
        lambda url: httpx.Request("GET", url, headers={"X": "a\0"}),
        lambda url: httpx.Request("GET", url, headers=[(b"X: 1\r\nEvil", b"1")]),
        lambda url: httpx.Request("GET / HTTP/1.1\r\nEvil: 1\r\n", url),
        lambda url: httpx.Request("GET", url, extensions={"target": b"/ HTTP/1.1\r\nEvil: 1\r\n"}),
    ],
)
def test_no_part_of_a_request_adds_a_header(request_of: Callable[[str], httpx.Request]) -> None:
    """Method, target and headers with line breaks are errors, and nothing is sent."""

    async def test() -> None:
        async with serving(answering(OK)) as server, client_of() as client:
            request = request_of(server.url)
            if "target" in request.extensions:
                request.url = request.url.copy_with(raw_path=b"/x")
                request.url._uri_reference = request.url._uri_reference._replace(
                    path=request.extensions["target"].decode()
                )
            with pytest.raises(httpx.LocalProtocolError):
                await client.send(request)
            assert server.connections == 0

    run(test())


async def _parts() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


@pytest.mark.parametrize(
    ("content", "sent"),
    [(b"onetwo", b"onetwo"), (b"", b""), (None, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")],
)
def test_a_body_is_sent(
    content: bytes | None, sent: bytes, tls: tuple[ssl.SSLContext | None, ssl.SSLContext]
) -> None:
    """The body of a request has its length, or is sent in chunks."""
    received = b""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        head = await server.head(reader)
        assert (b"Content-Length: %d\r\n" % len(sent) in head) is (content is not None)
        assert (b"Transfer-Encoding: chunked\r\n" in head) is (content is None)
        received = await reader.readexactly(len(sent))
        writer.write(OK)

    async def test() -> None:
        async with serving(answer, tls[0]) as server, client_of(tls[1]) as client:
            response = await client.post(server.url, content=_parts() if content is None else content)
            assert (response.text, received) == ("ok", sent)

    run(test())


async def answers_early(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer without reading the body of the request."""
    await server.head(reader)
    writer.write(OK)
    await server.stopped.wait()


async def _many_parts() -> AsyncIterator[bytes]:
    for _ in range(50):
        yield b"x" * (SENT // 50)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_response_before_the_end_of_the_request(
    is_streamed: bool, tls: tuple[ssl.SSLContext | None, ssl.SSLContext]
) -> None:
    """A server may answer without reading the whole body; the connection is then not used again."""

    async def test() -> None:
        async with serving(answers_early, tls[0]) as server, client_of(tls[1]) as client:
            for _ in range(2):
                content = _many_parts() if is_streamed else b"x" * SENT
                assert (await client.post(server.url, content=content)).text == "ok"
            assert server.connections == 2

    run(test())


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_body_without_a_length_ends_with_the_session(
    is_cut: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Over TLS, the end of the TCP connection does not end a body: a man in the middle could cut it."""

    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nok")
        if is_cut:
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        else:
            writer.close()

    async def test() -> None:
        async with serving(answer, contexts[0]) as server, client_of(contexts[1]) as client:
            if is_cut:
                with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
                    await client.get(server.url)
            else:
                assert (await client.get(server.url)).text == "ok"

    run(test())


async def silent(server: Server, _: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Read nothing and answer nothing."""
    await server.stopped.wait()


async def stalls(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a part of a body."""
    await server.head(reader)
    writer.write(CHUNKED + b"2\r\nok\r\n")


@pytest.mark.parametrize(
    ("answer", "error", "timeouts", "content"),
    [
        (silent, httpx.ReadTimeout, {"read": 0.05}, b""),
        (stalls, httpx.ReadTimeout, {"read": 0.05}, b""),
        (silent, httpx.WriteTimeout, {"write": 0.05}, b"x" * SENT),
    ],
    ids=["no response", "part of a body", "nothing is read"],
)
def test_timeouts(
    answer: Answer,
    error: type[httpx.TimeoutException],
    timeouts: dict[str, float],
    content: bytes,
    tls: tuple[ssl.SSLContext | None, ssl.SSLContext],
) -> None:
    """A timeout has its error, closes the connection, and does not block the next request."""

    async def test() -> None:
        async with serving(answer, tls[0]) as server, client_of(tls[1], **timeouts) as client:
            for _ in range(2):
                with pytest.raises(error):
                    await client.post(server.url, content=content)
            assert server.connections == 2

    run(test())


def test_errors_of_connecting(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A refused connection, an unknown host, a silent server of TLS and a failed handshake have their errors."""

    async def error(url: str, context: ssl.SSLContext | None = None, **timeouts: float) -> httpx.HTTPError:
        async with client_of(context, **timeouts) as client:
            with pytest.raises(httpx.HTTPError) as raised:
                await client.get(url)
        return raised.value

    async def test() -> None:
        async with serving(silent) as server:
            url = server.url
            late = await error(url.replace("http:", "https:"), contexts[1], connect=0.05)
            assert isinstance(late, httpx.ConnectTimeout)
        refused = await error(url)
        assert (type(refused), str(refused)) == (httpx.ConnectError, "Connection refused")
        assert str(await error("http://127.0.0.1:65536")) == "port 65536 is larger than 65535"
        assert isinstance(await error("http://nowhere.invalid"), httpx.ConnectError)
        assert isinstance(await error(f"http://{'x' * 64}.invalid"), httpx.ConnectError)
        async with serving(answering(OK), contexts[0]) as server:
            untrusted = await error(server.url, ssl.create_default_context())
            assert isinstance(untrusted, httpx.ConnectError)
            assert isinstance(untrusted.__cause__, ssl.SSLCertVerificationError)

    run(test())


def test_the_name_of_a_tls_server(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The extension `sni_hostname` is the name that is sent, and that the certificate must have."""
    names = []
    server_context, client_context = contexts
    server_context.sni_callback = lambda _, name, __: names.append(name)

    async def test() -> None:
        for name in ("other.example", "other.example."):  # Go rejects a dot at the end
            async with serving(answering(OK), server_context) as server, client_of(client_context) as client:
                response = await client.get(server.url, extensions={"sni_hostname": name})
                assert (response.text, names.pop()) == ("ok", "other.example")
        async with serving(answering(OK), server_context) as server, client_of(client_context) as client:
            with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
                await client.get(server.url, extensions={"sni_hostname": "wrong.example"})

    run(test())


def test_closing_ends_a_request() -> None:
    """`aclose` ends a request under way by an error, and does not allow another."""

    async def test() -> None:
        async with serving(stalls) as server:
            transport = Transport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            async with httpx.AsyncClient(transport=transport, timeout=LATEST) as client:
                pending = [asyncio.create_task(client.get(server.url)) for _ in range(2)]
                await until(lambda: server.requests)
                await transport.aclose()
                errors = await asyncio.gather(*pending, return_exceptions=True)
            assert [type(error) for error in errors] == [httpx.ReadError, httpx.ConnectError]
            await server.none_is_open()
            assert server.connections == 1

    run(test())


def test_a_response_to_head() -> None:
    """The response to HEAD has headers and no body."""

    async def test() -> None:
        async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as server:
            async with client_of() as client:
                response = await client.head(server.url)
            assert (response.headers["Content-Length"], response.content) == ("9", b"")

    run(test())


@asynccontextmanager
async def cancelled_after(turns: int) -> AsyncIterator[None]:
    """Cancel the block after this number of turns of the event loop."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    handle: asyncio.Handle | None = None

    def count(left: int) -> None:
        nonlocal handle
        if left:
            handle = loop.call_soon(count, left - 1)
        elif task:
            task.cancel()

    count(turns)
    try:
        yield
    except asyncio.CancelledError:
        if task:
            task.uncancel()
    finally:
        if handle:
            handle.cancel()


@pytest.mark.parametrize("data", [OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n"], ids=["length", "chunks"])
def test_cancellation_at_any_moment(data: bytes, tls: tuple[ssl.SSLContext | None, ssl.SSLContext]) -> None:
    """A request that is cancelled at any moment leaves no socket open, and does not block the next request."""

    async def test() -> None:
        completed = 0
        async with serving(answering(data), tls[0]) as server:
            for turns in range(1, 80):
                async with client_of(tls[1]) as client:
                    async with cancelled_after(turns):
                        await client.get(server.url)
                        completed += 1
                    assert (await client.get(server.url)).text == "ok"
                    assert server.open <= 2  # the cancelled connection may not have ended at the server
                await server.none_is_open()
            assert 0 < completed < 75

    run(test())
