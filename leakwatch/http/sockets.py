"""Opens sockets to hosts, and words the errors of the system.

asyncio tries several addresses too, but leaves sockets open when it is cancelled (Python 3.11), and joins the
errors of all addresses in one text.
"""

import asyncio
import os
import socket
import ssl
from typing import Final

LEAST_SHARE: Final = 2.0
"""Seconds that each address has at least, as in Go's net.Dialer. A lost packet takes a second."""


async def tcp_socket(host: str, port: int, timeout: float | None) -> socket.socket:  # noqa: ASYNC109  is divided
    """Return a socket that is connected to the first address of `host` that accepts the connection.

    Each address has its share of `timeout` (seconds). Raises the OSError of the last address, or TimeoutError;
    UnicodeError if `host` is not a name.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    share = None if timeout is None else max(timeout / len(addresses), LEAST_SHARE)
    *others, last = addresses
    for family, _, protocol, _, address in others:
        try:
            async with asyncio.timeout(share):
                return await _connected(family, protocol, address)
        except OSError:  # also TimeoutError
            continue
    family, _, protocol, _, address = last
    return await _connected(family, protocol, address)


async def unix_socket(path: str) -> socket.socket:
    """Return a socket that is connected to a unix socket; raises OSError."""
    return await _connected(socket.AF_UNIX, 0, path)


async def _connected(family: int, protocol: int, address: tuple[object, ...] | str) -> socket.socket:
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
