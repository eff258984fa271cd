"""Responses: their ends, their limits, and what is not HTTP."""

import httpx
import pytest

from leakwatch.http.response import HEAD_LIMIT, Response

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def parsed(data: bytes, *, size: int = 0, eof: bool = False, has_body: bool = True) -> Response:
    """Parse a response in parts of `size` bytes, 0 for whole."""
    response = Response(has_body=has_body)
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        response.feed(data[start : start + step])
    if eof:
        response.feed_eof()
    return response


COMPLETE = {
    "length": (OK + b"Content-Length: 2\r\n\r\nab", b"ab", True),
    "chunks": (CHUNKED + b"1\r\na\r\n1;x=y\r\nb\r\n0\r\n\r\n", b"ab", True),
    "trailers": (CHUNKED + b"2\r\nab\r\n0\r\nX: 1\r\nX-A: 9\r\n\r\n", b"ab", True),
    "close": (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nab", b"ab", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
    "1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab", b"ab", True),
    "1.0 chunks": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"ab",
        False,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", b"ab", True),
    "100 and 103": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 1\r\n\r\na",
        b"a",
        True,
    ),
}


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(("data", "body", "keeps_alive"), COMPLETE.values(), ids=COMPLETE.keys())
def test_the_end_of_a_response(data: bytes, body: bytes, keeps_alive: bool, size: int) -> None:
    """A response ends with its length, its last chunk or its status, in one part or byte by byte."""
    response = parsed(data, size=size)
    assert response.is_complete
    assert (response.take(), response.keeps_alive) == (body, keeps_alive)
    assert b"x" not in {value.lower() for _, value in response.headers}  # of the response 103


def test_headers() -> None:
    """Status, reason, version and headers are those of the response; trailers are not headers."""
    response = parsed(
        b"HTTP/1.1 201 Now then\r\nX-A: 1\r\nX-A:  two \r\nX-B:\r\nContent-Length: 0\r\n\r\n", size=1
    )
    assert (response.status, response.reason, response.version) == (201, b"Now then", "1.1")
    assert response.headers == [(b"X-A", b"1"), (b"X-A", b"two"), (b"X-B", b""), (b"Content-Length", b"0")]
    assert parsed(COMPLETE["trailers"][0]).headers == [(b"Transfer-Encoding", b"chunked")]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_without_a_length_ends_with_the_connection(version: str) -> None:
    """Without length and chunks, the body ends with the connection, which is not used again."""
    response = parsed(f"HTTP/{version} 200 OK\r\n\r\nab".encode())
    response.feed(b"c")
    assert (response.take(), response.is_complete) == (b"abc", False)
    response.feed_eof()
    assert (response.take(), response.is_complete, response.keeps_alive) == (b"", True, False)


def test_a_response_to_head_has_no_body() -> None:
    """The response to HEAD ends with its headers, whatever length they state; its connection is not used again."""
    response = parsed(OK + b"Content-Length: 9\r\n\r\nignored", has_body=False)
    assert response.is_complete
    assert (response.take(), response.keeps_alive) == (b"", False)


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("surplus", [OK + b"Content-Length: 4\r\n\r\nevil", b"evil", b"\0"])
@pytest.mark.parametrize("kind", ["length", "chunks", "trailers", "204", "304", "close", "100 and 103"])
def test_bytes_behind_the_end(kind: str, surplus: bytes, size: int) -> None:
    """Bytes behind a response do not change it, and the connection is not used again."""
    data, body, _ = COMPLETE[kind]
    response = parsed(data + surplus, size=size)
    assert response.is_complete
    assert (response.take(), response.keeps_alive) == (body, False)
    assert b"4" not in [value for _, value in response.headers]


INVALID = {
    "ssh": (b"SSH-2.0-OpenSSH\r\n", "Expected HTTP/.*: 'SSH-2.0"),
    "version 0.9": (b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP version 0.9"),
    "version 2": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP version 2.0"),
    "version 3": (b"HTTP/3.0 200 OK\r\n\r\n", "Invalid HTTP version"),
    "status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "Invalid status"),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "Invalid response status"),
    "status 000": (b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", "status 000"),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101"),
    "upgrade": (b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "status 101"),
    "space in name": (OK + b"A B: c\r\n\r\n", "Invalid header token"),
    "space behind name": (OK + b"A : c\r\n\r\n", "Invalid header token"),
    "no colon": (OK + b"abc\r\n\r\n", "Invalid header token"),
    "nul": (OK + b"A: b\0c\r\n\r\n", "Invalid header value"),
    "bare cr": (OK + b"A: b\rc\r\n\r\n", "Missing expected LF"),
    "bare lf": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "Missing expected CR"),
    "folded": (OK + b"A: b\r\n c\r\n\r\n", "Unexpected whitespace"),
    "length and chunks": (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "can't be present"),
    "chunks and length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", "can't be present"),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "Content-Length"),
    "negative length": (OK + b"Content-Length: -1\r\n\r\n", "Content-Length"),
    "length with sign": (OK + b"Content-Length: +1\r\n\r\n", "Content-Length"),
    "huge length": (OK + b"Content-Length: 99999999999999999999\r\n\r\n", "Content-Length overflow"),
    "gzip coding": (OK + b"Transfer-Encoding: gzip\r\n\r\nab", "not chunked: 'gzip'"),
    "two codings": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "not chunked: 'gzip, chunked'"),
    "chunked twice": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "not chunked"),
    "chunk size": (CHUNKED + b"2\r\nab\r\nGARBAGE\r\n", "chunk size"),
    "negative chunk": (CHUNKED + b"-1\r\n", "chunk size"),
    "huge chunk": (CHUNKED + b"fffffffffffffffff\r\n", "Chunk size overflow"),
    "space behind chunk size": (CHUNKED + b"2 \r\nab\r\n", "chunk size"),
    "chunk without end": (CHUNKED + b"2\r\nabc\r\n", "."),
    "chunk with bare lf": (CHUNKED + b"2\nab\n0\n\n", "Missing expected CR"),
    "long header": (OK + b"A: " + b"x" * 200_000, "the header section is larger than 65536 bytes"),
    "large header section": (
        OK + b"A: bcdefgh\r\n" * 20_000 + b"Content-Length: 1\r\n\r\na",
        "the header section is larger than 65536 bytes",
    ),
    "many headers": (OK + b"A:\r\n" * 3000 + b"\r\n", "the header section is larger than 65536 bytes"),
    "many trailers": (CHUNKED + b"0\r\n" + b"A:\r\n" * 3000, "chunk extension or trailer"),
    "many 100": (b"HTTP/1.1 100\r\n\r\n" * 3000, "the header section is larger"),
    "endless 100": (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, "the header section is larger"),
    "long chunk extension": (CHUNKED + b"2\r\nab\r\n2;" + b"x" * 200_000, "chunk extension or trailer"),
    "length in a trailer": (CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n", "can't be present"),
    "long trailer": (CHUNKED + b"2\r\nab\r\n0\r\nX: " + b"x" * 200_000, "chunk extension or trailer"),
    "endless trailers": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 40_000, "chunk extension or trailer"),
}


@pytest.mark.parametrize("size", [0, 7, 50_000])
@pytest.mark.parametrize(("data", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_http(data: bytes, message: str, size: int) -> None:
    """Invalid HTTP is an error, however its bytes arrive."""
    if size == 0 and "chunk extension" in message:
        size = 100_000  # in one part with a byte of the body, they are within the limit of one read
    with pytest.raises(httpx.RemoteProtocolError, match=message):
        parsed(data, size=size, eof=True)


EARLY = {
    "nothing": (b"", "Server disconnected without sending a response"),
    "header": (OK + b"Content-Le", "Server disconnected without sending a response"),
    "only 100": (b"HTTP/1.1 100 Continue\r\n\r\n", "Server disconnected without sending a response"),
    "length": (OK + b"Content-Length: 3\r\n\r\nab", "peer closed connection"),
    "chunk": (CHUNKED + b"3\r\nab", "peer closed connection"),
    "last chunk": (CHUNKED + b"2\r\nab\r\n0\r\n", "peer closed connection"),
}


@pytest.mark.parametrize(("data", "message"), EARLY.values(), ids=EARLY.keys())
def test_a_response_that_ends_early(data: bytes, message: str) -> None:
    """A response that ends before its length or its last chunk is an error."""
    with pytest.raises(httpx.RemoteProtocolError, match=f"^{message}"):
        parsed(data, eof=True)


def test_the_largest_header_section() -> None:
    """A header section up to the limit is accepted."""
    response = parsed(OK + b"A: " + b"x" * (HEAD_LIMIT - 1000) + b"\r\nContent-Length: 0\r\n\r\n")
    assert response.is_complete
