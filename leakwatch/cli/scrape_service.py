"""Fetches one profile or full dump of a service, for `leakwatch scrape` and `diff`."""

from leakwatch.cli.terminal import print_message
from leakwatch.discovery.target_builder import Endpoint, TargetDefaults, endpoint
from leakwatch.errors import ConfigError, DiscoveryError, ScrapeError, UsageError, without_credentials
from leakwatch.http.client import Client, Tls
from leakwatch.http.fetch import Fetcher
from leakwatch.model import Profile
from leakwatch.profile import dump, text
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier
from leakwatch.scrape.config import DEFAULT_SIZE, ScrapeConfig
from leakwatch.scrape.probes.symbols import SIZE_LIMIT, SymbolProbe
from leakwatch.scrape.target_url import target_job


async def fetch(url: str, timeout: float, dump_limit: int | None) -> Profile | Dump:  # noqa: ASYNC109  of a request
    """Return the profile or dump of a service, as `read` in scrape_once.py; raises ConfigError and ScrapeError."""
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
    defaults = TargetDefaults(
        job=job.job_name, scheme=job.scheme, path=job.profile_path, params=job.query_params()
    )
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
