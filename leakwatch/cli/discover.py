"""Finds services with net/http/pprof at addresses: one GET of `/debug/pprof/` each; for `discover` and `run`.

A server that speaks TLS rejects the plain request before a handler receives it, so the GET is sent again by HTTPS.
"""

import asyncio
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import httpx
import structlog
import yaml

from leakwatch.cli.terminal import json_text
from leakwatch.discovery.target_group import HOST, check_address
from leakwatch.errors import ScrapeError, UsageError, quote, redacted
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.http.settings import HttpSettings, TlsConfig
from leakwatch.profile.escape import printable
from leakwatch.scrape.local_sockets import ListeningSocket

log = structlog.get_logger()

Finding = Literal["pprof", "needs authorization", "invalid certificate", "uses TLS", "none"]
Scheme = Literal["http", "https"]
WELL_KNOWN_PORTS: Final = (6060, 8080, 8081, 8082, 9090)
"""go-zero and most examples use 6060, operators 6060 or 8082. The others are usual for HTTP and metrics."""
INDEX: Final = b"goroutine?debug="
"""A link on the page of net/http/pprof."""
TLS_ANSWER: Final = "HTTP request to an HTTPS server"
"""Answer of net/http to plain HTTP, with status 400."""
UNTRUSTED: Final = "certificate verify failed"
"""Message of OpenSSL for a certificate of an unknown CA, or of another name."""
SIZE_LIMIT: Final = 1 << 20
UNAUTHORIZED: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredAddress:
    """An address and what listens there; `detail`: the reason of a finding other than "pprof"."""

    address: str
    finding: Finding
    detail: str = ""
    scheme: Scheme = "http"


def local_addresses(sockets: Iterable[ListeningSocket]) -> list[str]:
    """Return one address per listening port of this host or pod, a loopback address if possible."""
    by_port: dict[int, str] = {}
    for socket in sorted(
        sockets, key=lambda socket: not (socket.address.is_loopback or socket.address.is_unspecified)
    ):
        host = "127.0.0.1" if socket.address.is_unspecified else str(socket.address)
        by_port.setdefault(socket.port, f"[{host}]:{socket.port}" if ":" in host else f"{host}:{socket.port}")
    return [by_port[port] for port in sorted(by_port)]


def given_addresses(texts: Iterable[str]) -> list[str]:
    """Return the addresses of HOST:PORT and HOST, which has the well-known ports; raises UsageError."""
    addresses = []
    for text in texts:
        match = HOST.fullmatch(text)
        try:
            addresses += [check_address(text)] if match and match[1] else with_ports(text, WELL_KNOWN_PORTS)
        except ValueError as error:
            raise UsageError(f"address {quote(redacted(text))}: {error}") from error
    return list(dict.fromkeys(addresses))


def with_ports(host: str, ports: Iterable[int]) -> list[str]:
    """Return an address per port; raises ValueError."""
    return [check_address(f"{host}:{port}") for port in ports]


async def probe_all(addresses: Sequence[str], timeout: float) -> list[DiscoveredAddress]:  # noqa: ASYNC109  the time limit of each request, not of this call
    """Send one GET request to each address, a few at a time; return the findings in the same order."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def probe(address: str) -> DiscoveredAddress:
        async with slots:
            found = await _probe(address, timeout)
        log.info("address probed", address=address, scheme=found.scheme, found=found.finding, detail=found.detail)
        return found

    return list(await asyncio.gather(*map(probe, addresses)))


async def _probe(address: str, timeout: float) -> DiscoveredAddress:  # noqa: ASYNC109  the time limit of each request, not of this call
    found = await _get("http", address, timeout)
    return await _get("https", address, timeout) if found.finding == "uses TLS" else found


async def _get(scheme: Scheme, address: str, timeout: float) -> DiscoveredAddress:  # noqa: ASYNC109  the time limit of each request, not of this call
    url, body = httpx.URL(f"{scheme}://{address}/debug/pprof/"), bytearray()
    client = Client(Tls(TlsConfig(), secure=scheme == "https"), timeout=timeout)
    settings = HttpSettings(follow_redirects=False)
    fetcher = Fetcher(client, url, settings, timeout=timeout, size_limit=SIZE_LIMIT)
    finding: Finding = "pprof"
    detail = ""
    try:
        await fetcher.fetch(body.extend)
        if INDEX not in body:
            finding, detail = "none", "another page"
    except ScrapeError as error:
        finding, detail = _finding(error), str(error)
    finally:
        await fetcher.close()
    return DiscoveredAddress(address=address, finding=finding, detail=detail, scheme=scheme)


def _finding(error: ScrapeError) -> Finding:
    if error.status in UNAUTHORIZED:
        return "needs authorization"
    if error.reason == "tls":
        return "invalid certificate" if UNTRUSTED in str(error) else "uses TLS"
    return "uses TLS" if TLS_ANSWER in str(error) else "none"


def to_json(found: Sequence[DiscoveredAddress]) -> str:
    """Return the findings as a JSON list."""
    return json_text(
        [
            {"address": each.address, "scheme": each.scheme, "found": each.finding, "detail": each.detail}
            for each in found
        ]
    )


def text(found: Sequence[DiscoveredAddress], watched: Container[str] = ()) -> str:
    """Return the findings as a table, and the configuration for addresses with pprof that are not `watched`."""
    width = max((len(each.address) for each in found), default=0)
    lines = []
    for each in found:
        detail = each.detail or ("a target" if each.address in watched else "")
        scheme = " (https)" if each.finding == "pprof" and each.scheme == "https" else ""
        lines.append(f"{each.address:{width}}  {each.finding + scheme:19}  {printable(detail)}".rstrip())
    lines = lines or ["no address to probe"]
    config = configuration([each for each in found if each.address not in watched])
    return "\n".join([*lines, *(["", config] if config else [""])])


def configuration(found: Sequence[DiscoveredAddress]) -> str:
    """Return the configuration of a job per address that can be watched, "" if there is none."""
    jobs = []
    for each in found:
        job: dict[str, object] = {"job_name": each.address}
        if each.scheme == "https":
            job["scheme"] = "https"
        if each.finding == "needs authorization":
            job["authorization"] = {"credentials": "${LEAKWATCH_TOKEN}"}
        if each.finding in {"pprof", "needs authorization"}:
            jobs.append(job | {"static_configs": [{"targets": [each.address]}]})
    return yaml.safe_dump({"scrape_configs": jobs}, sort_keys=False) if jobs else ""
