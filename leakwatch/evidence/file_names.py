"""Names of files for services and targets, which may be called anything: "..", 300 letters, a slash, NUL. Pure.

<service>/<target>/<unix seconds>.txt.gz, so that `leakwatch analyze` reads what we keep like any other recording.
"""

from hashlib import blake2b
from urllib.parse import quote, unquote

LONGEST = 100  # characters; most file systems take 255


def quoted(name: str) -> str:
    """Return a name for a file that is no path, not hidden and not too long; another one for each `name`."""
    found = quote(name, safe=":", errors="surrogatepass")
    if found.startswith(".") or not found:
        found = f"%2E{found[1:]}" if found else "%"
    if len(found) <= LONGEST:
        return found
    # Longer than any that is not cut, so it cannot be another's.
    return f"{found[:LONGEST]}%{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def original(name: str) -> str:
    """Return what was `quoted` as `name`; `name` itself if that cannot be told."""
    found = unquote(name, errors="surrogatepass") if name.isascii() else name
    return found if quoted(found) == name else name
