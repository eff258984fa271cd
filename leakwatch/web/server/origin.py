"""Rejects requests that a browser sends on behalf of a foreign web page.

DNS rebinding: the name attacker.example resolves to the address of leakwatch, so that a page of that name may read
leakwatch. The header Host then has the foreign name. TLS and passwords prevent this too, because the browser has
neither a certificate nor a password for the name.

Cross-site requests: a page may send a POST request to any address, with the password that the browser remembers.
The header Sec-Fetch-Site or Origin then describes the page: https://pkg.go.dev/net/http#CrossOriginProtection
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers

from leakwatch.errors import quote
from leakwatch.web.server.config import WebConfig

log = structlog.get_logger()

PRIVATE = re.compile(r"[^.]+|.+\.(localhost|local|internal|svc)")
"""Names that public DNS does not have: one label, such as `leakwatch` in compose, and Kubernetes services."""
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers that a proxy adds. leakwatch never trusts their values."""
MAX_LOGGED = 10  # different hosts that are logged

Names = Callable[[], Awaitable[frozenset[str]]]


async def machine_names() -> frozenset[str]:
    """Return the host name of this machine, also with its domain if the system knows it."""
    name = socket.gethostname()
    try:
        entries = await asyncio.get_running_loop().getaddrinfo(name, None, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError):
        entries = []
    return frozenset(text.lower() for text in (name, *(entry[3] for entry in entries)) if text)


class OriginCheck:
    """Checks the headers Host, Origin and Sec-Fetch-Site. `own_names` returns the names of this machine."""

    def __init__(self, config: WebConfig, own_names: Names = machine_names) -> None:
        external, listen = urlsplit(config.external_url or ""), urlsplit(f"//{config.listen}")
        self._external_origin = f"{external.scheme}://{external.netloc}".lower()
        self._allowed = (*config.allowed_hosts, *filter(None, (external.hostname, listen.hostname)))
        self._open_paths = {f"{config.prefix()}/-/{name}" for name in ("healthy", "ready")}
        self._find_names = own_names
        self._own_names: asyncio.Future[frozenset[str]] | None = None
        self._logged: set[str] = set()

    async def refusal(self, method: str, path: str, headers: Mapping[str, str], *, check_host: bool) -> str:
        """Return the reason to reject a request, "" if there is none. Health checks may use any host."""
        if method not in SAFE_METHODS and self._is_cross_origin(headers):
            return "a page of another origin sent the request"
        host = headers.get("host", "")
        if not check_host or path in self._open_paths or await self._is_allowed(host):
            return ""
        if host not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(host)
            log.warning("request rejected: the host is not in web.allowed_hosts", host=host)
        return (
            f"host {quote(host)} is not allowed: add it to web.allowed_hosts (--web.allowed-host),"
            " or set web.external_url"
        )

    async def _is_allowed(self, host: str) -> bool:
        if not host:  # every browser sends the header
            return True
        name = _hostname(host)
        if _is_address(name) or PRIVATE.fullmatch(name) or any(fnmatchcase(name, key) for key in self._allowed):
            return True
        if self._own_names is None:
            # Only once, on the first request by another name: the system may ask a name server.
            self._own_names = asyncio.ensure_future(self._find_names())
        return name in await asyncio.shield(self._own_names)

    def _is_cross_origin(self, headers: Mapping[str, str]) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site not in {"same-origin", "none"}
        if origin is None:  # no browser
            return False
        return origin != self._external_origin and origin.partition("://")[2] != headers.get("host")


def is_local(client: tuple[str, int] | None, headers: Headers) -> bool:
    """Return whether a request comes from this host, and no proxy has passed it on."""
    if client is None or any(name in headers for name in FORWARDED):
        return False
    address = ipaddress.ip_address(client[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _hostname(host: str) -> str:
    """Return the lower-case name of a Host header without port and final dot, "" if it is invalid."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
