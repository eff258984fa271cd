"""Runs `leakwatch scrape`: reads the profile of a service or a file, and prints it."""

import asyncio
import re
import sys
from pathlib import Path

from leakwatch.cli.analyze.folders import SYMBOLS, own_symbols, read_symbols
from leakwatch.cli.terminal import json_text, print_message
from leakwatch.discovery.target_builder import Endpoint, TargetDefaults, endpoint
from leakwatch.errors import ConfigError, DiscoveryError, ScrapeError, UsageError, without_credentials
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.model import Profile
from leakwatch.profile import dump, pprof, text
from leakwatch.profile import formats as profile_formats
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.dump import Dump
from leakwatch.profile.dump_stacks import DumpIndex, waiting
from leakwatch.profile.grouping import GroupBy, Waitings, as_json, folded, group
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.config import DEFAULT_SIZE, ScrapeConfig
from leakwatch.scrape.probes.symbols import SIZE_LIMIT, SymbolProbe
from leakwatch.scrape.target_url import target_job

ADDRESS = re.compile(r"[^/\s@]+:\d+(/|$)")
"""host:port, with or without a path."""


def is_service(source: str) -> bool:
    """Return whether `source` is a service: a URL, or host:port unless a file has that name."""
    return "://" in source or (ADDRESS.match(source) is not None and not Path(source).exists())


def read(source: str, timeout: float, dump_limit: int | None = None) -> Profile | Dump:
    """Return the profile or dump of a service, of a file, or of standard input ("-").

    `dump_limit`: largest number of goroutines for a full dump, None to fetch a profile. Raises ConfigError,
    ScrapeError and UsageError.
    """
    try:
        if is_service(source):
            return asyncio.run(_fetch(source, timeout, dump_limit))
        if source == "-":
            return profile_formats.read(sys.stdin.buffer.read(), pasted=True)
        path = Path(source)
        return profile_formats.read(path.read_bytes(), ParseCache(symbols=_recorded_symbols(path)), pasted=True)
    except ScrapeError as error:
        raise ScrapeError(error.reason, f"{without_credentials(source)}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error


def _recorded_symbols(path: Path) -> dict[int, str]:
    """Return address -> function from the symbol file of a body, or else from the symbol files of its folder."""
    own = own_symbols(path, print_message)
    if own:
        return own
    symbols: dict[int, str] = {}
    for file in sorted(path.with_name(name) for name in SYMBOLS):
        if file.is_file():
            symbols |= read_symbols(file, print_message)
    return symbols


async def _fetch(url: str, timeout: float, dump_limit: int | None) -> Profile | Dump:  # noqa: ASYNC109  of a request
    job = target_job(url)
    address = _endpoint(job, url)
    tls = Tls(job.tls_config, secure=address.url.scheme == "https")
    client = Client(tls, timeout=timeout, socket=address.socket)
    fetcher = Fetcher(client, address.url, job, timeout=timeout, size_limit=DEFAULT_SIZE)
    body = bytearray()
    try:
        await fetcher.fetch(body.extend)
        profile = text.parse(bytes(body))
        if dump_limit is not None:
            return await _fetch_dump(fetcher, profile.total, dump_limit)
        symbols = await _hidden_functions(SymbolProbe(fetcher.with_profile("symbol", SIZE_LIMIT)), profile)
    finally:
        await client.close()
    return text.parse(bytes(body), ParseCache(symbols=symbols))


async def _hidden_functions(probe: SymbolProbe, profile: Profile) -> dict[int, str]:
    """Return address -> function for the hidden functions of a text profile; {} and a message after an error."""
    traces = probe.hidden(Identifier().identify(profile), ())
    try:
        return await probe.fetch(traces) if traces else {}
    except ScrapeError as error:
        print_message(f"wait reasons of channels are unknown: {error}")
        return {}


def _endpoint(job: ScrapeConfig, url: str) -> Endpoint:
    (target_group,) = job.static_configs
    defaults = TargetDefaults(job=job.job_name, scheme=job.scheme, path=job.profile_path)
    try:
        return endpoint({"__address__": target_group.targets[0]}, defaults)
    except DiscoveryError as error:
        raise ConfigError(f"{without_credentials(url)}: {error}") from error


async def _fetch_dump(fetcher: Fetcher, total: int, limit: int) -> Dump:
    """Return a full dump of a process with `total` goroutines; raises UsageError if they exceed the limit."""
    if total > limit:
        raise UsageError(
            f"the service has {total:,} goroutines and would stop while it prints them;"
            f" to allow this, use --full-dump-limit {total}"
        )
    body = bytearray()
    await fetcher.with_profile("goroutine", DEFAULT_SIZE, debug="2").fetch(body.extend)
    return dump.parse(bytes(body))


def render(source: Profile | Dump, by: GroupBy, output: str, limit: int) -> bytes:
    """Return a profile or dump as "table", "json", "folded" or "pprof"; `limit`: rows of the table, 0 for all."""
    profile = source.profile() if isinstance(source, Dump) else source
    if output == "pprof":
        return pprof.encode(profile)
    identifier = Identifier()
    samples = identifier.identify(profile).values()
    if output == "folded":
        return folded(samples).encode("utf-8", "replace")
    rows = group(samples, by)
    truncated = isinstance(source, Dump) and source.truncated
    waitings: Waitings = {}
    if isinstance(source, Dump):
        waitings = {key: waiting(goroutines) for key, goroutines in DumpIndex(source, identifier).by_stack.items()}
    if output == "json":
        document = as_json(profile.total, rows, waitings, truncated=truncated)
        return json_text(document).encode()
    from leakwatch.cli.scrape_table import ScrapeTable

    title = f"{profile.total} goroutines in {len(samples)} stacks"
    title += "; the dump is truncated" if truncated else ""
    return ScrapeTable(title, by, waitings).render(rows, limit).encode("utf-8", "replace")
