"""`dns_sd_configs`: targets that the DNS names, asked again and again, as Prometheus does.

A name without a final dot is also tried under the search domains of /etc/resolv.conf. The first that exists
counts, with or without records. If all of them are said not to exist, the name has no targets; if one of them
could not be asked, nobody knows, and the last targets of the name stay.
"""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from leakwatch.discovery.status import progress
from leakwatch.discovery.target_group import TargetGroup, Update
from leakwatch.errors import DiscoveryError
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Duration

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.rdata import Rdata

RESOLV_CONF = "/etc/resolv.conf"
PAYLOAD = 1232  # bytes of an answer over UDP; a larger one comes over TCP

HOSTS = {"A", "AAAA"}
Type = Literal["SRV", "A", "AAAA", "MX", "NS"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _name(text: str) -> str:
    import dns.exception
    import dns.name

    try:
        dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text!r} is no name of the DNS: {error}") from error
    return text


class DnsConfig(BaseSettings):
    """Which names to ask for, and for which of their records."""

    names: Annotated[tuple[Annotated[str, Field(min_length=1), AfterValidator(_name)], ...], Field(min_length=1)]
    """Names to ask for; those without a final dot are searched as /etc/resolv.conf says."""
    type: Annotated[Type, BeforeValidator(_upper)] = "SRV"
    """Which records; SRV brings its ports along."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """For all records but SRV, which need it."""
    refresh_interval: Duration = 30.0
    """How often it is asked."""

    @model_validator(mode="after")
    def _has_a_port(self) -> Self:
        if self.type != "SRV" and self.port is None:
            raise ValueError(f"type {self.type} needs a port: only SRV records have their own")
        return self

    async def run(self, update: Update) -> None:
        """Tell the targets of all names whenever they change; never ends."""
        await self.follow(update, system_resolver)

    async def follow(self, update: Update, resolver: Callable[[], "Resolver"]) -> None:
        """Do what `run` does, through what `resolver` makes for each round of questions."""
        names = Names(self)
        while True:
            groups = await names.groups(resolver)
            if groups is not None:
                update(groups)
            await asyncio.sleep(self.refresh_interval)


class Names:
    """What is known of the names of one configuration."""

    def __init__(self, settings: DnsConfig) -> None:
        self._settings = settings
        self._progress = progress()
        self._groups: dict[str, list[TargetGroup]] = {}
        self._absent: set[str] = set()
        self._told: dict[str, list[TargetGroup]] = {}

    async def groups(self, resolver: Callable[[], "Resolver"]) -> list[TargetGroup] | None:
        """Ask for all names at once; return their groups, None if they are the same as last time."""
        names = dict.fromkeys(self._settings.names)
        await asyncio.gather(*(self._ask(name, resolver) for name in names))
        if not self._groups or self._groups == self._told:
            return None
        self._told = dict(self._groups)
        return [group for name in names for group in self._groups.get(name, ())]

    async def _ask(self, name: str, resolver: Callable[[], "Resolver"]) -> None:
        try:
            records = await lookup(resolver, name, self._settings.type)
        except DiscoveryError as error:
            kept = sum(len(group.targets) for group in self._groups.get(name, ()))
            self._progress.failed(name, str(error), kept=kept)
            return
        self._progress.works(name)
        if records is None and name not in self._absent:
            gone = sum(len(group.targets) for group in self._groups.get(name, ()))
            self._progress.log.warning("no such name in the DNS: it has no targets", name=name, gone=gone)
        (self._absent.add if records is None else self._absent.discard)(name)
        self._groups[name] = list(_groups(name, records or [], self._settings.port or 0))


def system_resolver() -> "Resolver":
    """Return a resolver as /etc/resolv.conf describes it now; raises dns.exception.DNSException."""
    import dns.asyncresolver
    import dns.name

    resolver = dns.asyncresolver.Resolver(configure=False)
    # What resolv.conf does not name is not searched, whatever this machine is called.
    resolver.domain = dns.name.root
    resolver.read_resolv_conf(RESOLV_CONF)
    return resolver


async def lookup(resolver: Callable[[], "Resolver"], name: str, kind: Type) -> "list[Rdata] | None":
    """Return the records of a name in a fixed order, None if it does not exist; raises DiscoveryError."""
    import dns.exception
    import dns.resolver

    failed: list[str] = []
    try:
        asked = resolver()
        asked.use_edns(0, 0, PAYLOAD)
        candidates = _candidates(asked, name)
    except dns.exception.DNSException as error:
        raise DiscoveryError(f"{RESOLV_CONF}: {error}") from error
    for candidate in candidates:
        try:
            answer = await asked.resolve(candidate, kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            continue
        except dns.resolver.LifetimeTimeout:
            servers = ", ".join(map(str, asked.nameservers))
            failed.append(f"{candidate}: no answer within {asked.lifetime:g} s from {servers}")
        except (dns.exception.DNSException, OSError) as error:
            failed.append(f"{candidate}: {error}")
        else:
            records = [record for found in answer.response.answer for record in found]
            return sorted(record for record in records if record.rdtype == answer.rdtype)
    if failed:
        raise DiscoveryError("; ".join(failed))
    return None


def _candidates(resolver: "Resolver", name: str) -> list[str]:
    """Return the absolute names that `name` may mean, in the order in which they are tried."""
    if name.endswith("."):
        return [name]
    domains = resolver.search or ([resolver.domain] if len(resolver.domain) > 1 else [])
    searched = [f"{name}.{domain.to_text().rstrip('.')}." for domain in domains]
    ndots = 1 if resolver.ndots is None else resolver.ndots
    return [f"{name}.", *searched] if name.count(".") >= ndots else [*searched, f"{name}."]


def _groups(name: str, records: "list[Rdata]", port: int) -> Iterator[TargetGroup]:
    """Yield one group for all addresses, or one for each record that has labels of its own."""
    labels = {"__meta_dns_name": name}
    hosts = [record.to_text() for record in records if record.rdtype.name in HOSTS]
    if hosts:
        yield TargetGroup(targets=tuple(_joined(_host(host), port) for host in hosts), labels=labels)
    for record in records:
        kind = record.rdtype.name
        if kind in HOSTS:
            continue
        host = getattr(record, "exchange" if kind == "MX" else "target").to_text()
        if host == ".":  # RFC 2782, RFC 7505: there is decidedly nothing
            continue
        its_port = getattr(record, "port", port)
        named = labels | {f"__meta_dns_{kind.lower()}_record_target": host}
        if kind == "SRV":
            named["__meta_dns_srv_record_port"] = str(its_port)
        yield TargetGroup(targets=(_joined(host.rstrip("."), its_port),), labels=named)


def _host(text: str) -> str:
    """Return an address as Go writes it: one of IPv4 within IPv6 is one of IPv4."""
    mapped = IPv6Address(text).ipv4_mapped if ":" in text else None
    return str(mapped or text)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
