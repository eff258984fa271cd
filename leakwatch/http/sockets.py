"""Opens sockets to hosts, and words the errors of the system.

asyncio tries several addresses too, but leaves sockets open when it is cancelled (Python 3.11), and joins the
errors of all addresses in one text.
"""

import asyncio
import os
import socket
import ssl
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

ATTEMPT_DELAY: Final = 0.3
"""Seconds after which the next address of a host is tried too, as in Go's net.Dialer."""
LARGEST_PORT: Final = 65_535
LOOKUPS: Final = ThreadPoolExecutor(8, "lookup")
"""Threads for DNS. A lookup can take many seconds, and would block the threads of asyncio, which pages need."""

Address = tuple[socket.AddressFamily, int, tuple[object, ...] | str]
"""Family, protocol and address of a socket."""


async def tcp_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to the first address of `host` that accepts the connection.

    The next address is tried too when an attempt fails, or lasts longer than ATTEMPT_DELAY. Raises the OSError of
    the attempt that fails last; ValueError for an invalid port, and UnicodeError if `host` is not a name.
    """
    if port > LARGEST_PORT:  # the C library would use the remainder
        raise ValueError(f"port {port} is larger than {LARGEST_PORT}")
    addresses = await _addresses(host, port)
    return await _connected(addresses[0]) if len(addresses) == 1 else await _first_connected(deque(addresses))


async def _addresses(host: str, port: int) -> list[Address]:
    lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = lookup(flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name
        found = await asyncio.get_running_loop().run_in_executor(LOOKUPS, lookup)
    return [(family, protocol, address) for family, _, protocol, _, address in found]


async def _first_connected(untried: deque[Address]) -> socket.socket:
    attempts: set[asyncio.Task[socket.socket]] = set()
    try:
        while True:
            if untried:
                attempts.add(asyncio.create_task(_connected(untried.popleft())))
            done, _ = await asyncio.wait(
                attempts, timeout=ATTEMPT_DELAY if untried else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                attempts.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if not attempts and not untried:
                    raise error
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that succeeded too."""
    if not attempt.cancelled() and not attempt.exception():
        attempt.result().close()


def unix_socket(path: str) -> socket.socket:
    """Return a socket that is connected to a unix socket; raises OSError, also if the backlog is full."""
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        connecting.connect(path)  # at once; asyncio takes a full backlog for a connection
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _connected(to: Address) -> socket.socket:
    family, protocol, address = to
    connecting = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def system_message(error: BaseException | None) -> str:
    """Return the message of the operating system behind `error`, such as "Connection refused", or ""."""
    if isinstance(error, socket.gaierror):
        return f"{error.strerror or error}"
    if isinstance(error, ssl.SSLError):  # its errno is OpenSSL's
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, BaseExceptionGroup):  # one error per address of the host
        return next(filter(None, map(system_message, error.exceptions)), "")
    return system_message(error.__cause__ or error.__context__) if error else ""
