"""Health check of a container: `python -m leakwatch.health [HOST:PORT]` exits with 0 if leakwatch responds.

A container engine runs this every 30 s. It imports little, because importing the command line alone would use as
much CPU as the daemon does.
"""

import os
import socket
import sys

DEFAULT_ADDRESS = "127.0.0.1:9979"
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
TIMEOUT = 2.0
REQUEST = b"GET /-/healthy HTTP/1.0\r\nHost: localhost\r\n\r\n"


def main(arguments: list[str]) -> int:
    """Check the leakwatch at the address in `arguments`, else in LEAKWATCH_LISTEN; return the exit status."""
    host, _, port = (arguments or [os.environ.get("LEAKWATCH_LISTEN") or DEFAULT_ADDRESS])[0].rpartition(":")
    host = host.strip("[]")
    address = LOOPBACK.get(host, host), int(port)
    reason = ""
    for responds in (responds_http, responds_https):
        try:
            if responds(address):
                return 0
        except OSError as error:
            reason = reason or f": {error}"
    sys.stderr.write(f"leakwatch: no healthy leakwatch at {address[0]}, port {port}{reason}\n")
    return 1


def responds_http(address: tuple[str, int]) -> bool:
    """Return whether an HTTP server responds with a status below 500; raises OSError if the connection fails.

    401 and 404 are healthy: leakwatch may require a password, or have a route prefix.
    """
    with socket.create_connection(address, TIMEOUT) as connection:
        return _responds(connection)


def responds_https(address: tuple[str, int]) -> bool:
    """Return whether an HTTPS server responds; its certificate is not verified, because it is leakwatch's own."""
    import ssl  # noqa: PLC0415  most servers have no TLS, and the import takes longer than the check

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connected = False
    try:
        with (
            socket.create_connection(address, TIMEOUT) as connection,
            context.wrap_socket(connection) as secure,
        ):
            connected = True
            return _responds(secure)
    except (ssl.SSLError, ConnectionResetError) as error:
        # A server that requires a client certificate rejects the handshake, or in TLS 1.3 the connection after it.
        if connected or "ALERT" in str(getattr(error, "reason", "")):
            return True
        raise


def _responds(connection: socket.socket) -> bool:
    connection.sendall(REQUEST)
    words = connection.recv(64).split()
    return len(words) > 1 and words[0].startswith(b"HTTP/") and words[1] < b"500"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
