"""File names of services and targets, which may have any name: "..", 300 letters, a slash, NUL. Pure.

<service>/<target>/<unix seconds>.txt.gz, so that `leakwatch analyze` reads evidence like any other recording.
"""

from hashlib import blake2b
from urllib.parse import quote, unquote

MAX_LENGTH = 100  # characters; most file systems allow 255


def encode_name(name: str) -> str:
    """Return a different file name for each `name`: not hidden, without a slash, and of limited length."""
    encoded = quote(name, safe=":", errors="surrogatepass")
    if encoded.startswith(".") or not encoded:
        encoded = f"%2E{encoded[1:]}" if encoded else "%"
    if len(encoded) <= MAX_LENGTH:
        return encoded
    # A cut name with its hash is longer than any name that is not cut, so the two cannot be equal.
    return f"{encoded[:MAX_LENGTH]}%{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def decode_name(file_name: str) -> str:
    """Return the name that `encode_name` encoded as `file_name`; `file_name` itself if it cannot be decoded."""
    name = unquote(file_name, errors="surrogatepass") if file_name.isascii() else file_name
    return name if encode_name(name) == file_name else file_name
