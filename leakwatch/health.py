"""Whether the leakwatch of this container lives: `python -m leakwatch.health [HOST:PORT]` exits 0 if it does.

A container engine starts this anew every half minute, so it imports next to nothing: the command line alone would
cost as much of a core as the daemon.
"""

import os
import socket
import sys

DEFAULT = "127.0.0.1:9979"
HERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
SECONDS = 2.0
REQUEST = b"GET /-/healthy HTTP/1.0\r\nHost: localhost\r\n\r\n"


def main(arguments: list[str]) -> int:
    """Ask the leakwatch that listens where the argument, else LEAKWATCH_LISTEN says; return the exit status."""
    host, _, port = (arguments or [os.environ.get("LEAKWATCH_LISTEN") or DEFAULT])[0].rpartition(":")
    host = host.strip("[]")
    address = HERE.get(host, host), int(port)
    reason = ""
    for answers in (answers_http, answers_https):
        try:
            if answers(address):
                return 0
        except OSError as error:
            reason = reason or f": {error}"
    sys.stderr.write(f"leakwatch: no healthy leakwatch at {address[0]}, port {port}{reason}\n")
    return 1


def answers_http(address: tuple[str, int]) -> bool:
    """Tell whether HTTP is spoken there; raises OSError if nobody does.

    Any answer but an error of the server counts: who asks for a password lives, and so does who has no such page
    because of a route prefix.
    """
    with socket.create_connection(address, SECONDS) as connection:
        return _alive(connection)


def answers_https(address: tuple[str, int]) -> bool:
    """Tell whether HTTPS is spoken there; whose certificate it is does not matter: we ask our own container."""
    import ssl  # noqa: PLC0415  most need no TLS, and it takes longer than all the rest

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    shaken = False
    try:
        with (
            socket.create_connection(address, SECONDS) as connection,
            context.wrap_socket(connection) as secure,
        ):
            shaken = True
            return _alive(secure)
    except (ssl.SSLError, ConnectionResetError) as error:
        # Who wants a certificate of ours, which we do not have, says so in the handshake; since TLS 1.3, after it.
        if shaken or "ALERT" in str(getattr(error, "reason", "")):
            return True
        raise


def _alive(connection: socket.socket) -> bool:
    connection.sendall(REQUEST)
    words = connection.recv(64).split()
    return len(words) > 1 and words[0].startswith(b"HTTP/") and words[1] < b"500"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
