"""`dns_sd_configs`: targets from DNS records, resolved at each refresh interval, as in Prometheus.

A name without a final dot is also tried with the search domains of /etc/resolv.conf. The first name that exists
counts, even without records. If no name exists, the result is empty. If a query failed and no name exists, the
result is unknown, and the last targets stay.
"""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from leakwatch.clock import Clock
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup, Update
from leakwatch.errors import DiscoveryError
from leakwatch.settings.base import BaseSettings
from leakwatch.settings.types import Duration

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.rdata import Rdata

RESOLV_CONF = "/etc/resolv.conf"
UDP_PAYLOAD = 1232  # bytes of a response over UDP; the server truncates a larger one, which is then sent over TCP

ADDRESS_TYPES = {"A", "AAAA"}
RecordType = Literal["SRV", "A", "AAAA", "MX", "NS"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _dns_name(text: str) -> str:
    import dns.exception
    import dns.name

    try:
        dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text!r} is not a DNS name: {error}") from error
    return text


class DnsConfig(BaseSettings):
    """DNS names, and the type of their records."""

    names: Annotated[
        tuple[Annotated[str, Field(min_length=1), AfterValidator(_dns_name)], ...], Field(min_length=1)
    ]
    """DNS names. Names without a final dot are also tried with the search domains of /etc/resolv.conf."""
    type: Annotated[RecordType, BeforeValidator(_upper)] = "SRV"
    """Type of the records; SRV records contain a port."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the targets; required for all types except SRV."""
    refresh_interval: Duration = 30.0
    """How often leakwatch resolves the names."""

    @model_validator(mode="after")
    def _has_port(self) -> Self:
        if self.type != "SRV" and self.port is None:
            raise ValueError(f"type {self.type} needs a port: only SRV records have their own")
        return self

    def discoverer(self, status: DiscoveryStatus, clock: Clock) -> "DnsDiscoverer":
        """Return the discoverer of these names."""
        return DnsDiscoverer(self, status, clock)


def system_resolver() -> "Resolver":
    """Return a resolver for the current /etc/resolv.conf; raises dns.exception.DNSException."""
    import dns.asyncresolver
    import dns.name

    resolver = dns.asyncresolver.Resolver(configure=False)
    # Without this, dnspython also searches the domain of the host name.
    resolver.domain = dns.name.root
    resolver.read_resolv_conf(RESOLV_CONF)
    return resolver


class DnsDiscoverer:
    """Resolves the names of a configuration. `make_resolver` is called for each query."""

    def __init__(
        self,
        config: DnsConfig,
        status: DiscoveryStatus,
        clock: Clock,
        make_resolver: Callable[[], "Resolver"] = system_resolver,
    ) -> None:
        self._config = config
        self._status = status
        self._clock = clock
        self._make_resolver = make_resolver
        self._groups: dict[str, list[TargetGroup]] = {}
        self._missing_names: set[str] = set()
        self._returned_groups: dict[str, list[TargetGroup]] = {}

    async def run(self, update: Update) -> None:
        """Call `update` with the targets of all names after each change; never ends."""
        while True:
            groups = await self.resolve()
            if groups is not None:
                update(groups)
            await self._clock.sleep(self._config.refresh_interval)

    async def resolve(self) -> list[TargetGroup] | None:
        """Resolve all names concurrently. Return their groups, or None if they did not change."""
        names = dict.fromkeys(self._config.names)
        await asyncio.gather(*map(self._resolve_name, names))
        if not self._groups or self._groups == self._returned_groups:
            return None
        self._returned_groups = dict(self._groups)
        return [group for name in names for group in self._groups.get(name, ())]

    async def _resolve_name(self, name: str) -> None:
        targets = sum(len(group.targets) for group in self._groups.get(name, ()))
        try:
            records = await lookup(self._make_resolver, name, self._config.type)
        except DiscoveryError as error:
            self._status.failed(name, str(error), targets=targets)
            return
        self._status.works(name)
        if records is None:
            if name not in self._missing_names:
                self._status.log.warning(
                    "DNS name does not exist, its targets are removed", name=name, gone=targets
                )
            self._missing_names.add(name)
        else:
            self._missing_names.discard(name)
        self._groups[name] = list(_target_groups(name, records or [], self._config.port or 0))


async def lookup(
    make_resolver: Callable[[], "Resolver"], name: str, record_type: RecordType
) -> "list[Rdata] | None":
    """Return the records of a name in a fixed order, or None if the name does not exist; raises DiscoveryError."""
    import dns.exception
    import dns.resolver

    errors: list[str] = []
    try:
        resolver = make_resolver()
        resolver.use_edns(0, 0, UDP_PAYLOAD)
        candidates = _candidate_names(resolver, name)
    except dns.exception.DNSException as error:
        raise DiscoveryError(f"{RESOLV_CONF}: {error}") from error
    for candidate in candidates:
        try:
            answer = await resolver.resolve(candidate, record_type, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            continue
        except dns.resolver.LifetimeTimeout:
            servers = ", ".join(map(str, resolver.nameservers))
            errors.append(f"{candidate}: no answer within {resolver.lifetime:g} s from {servers}")
        except (dns.exception.DNSException, OSError) as error:
            errors.append(f"{candidate}: {error}")
        else:
            records = [record for rrset in answer.response.answer for record in rrset]
            return sorted(record for record in records if record.rdtype == answer.rdtype)
    if errors:
        raise DiscoveryError("; ".join(errors))
    return None


def _candidate_names(resolver: "Resolver", name: str) -> list[str]:
    """Return the absolute names that `name` can mean, in the order in which they are tried."""
    if name.endswith("."):
        return [name]
    domains = resolver.search or ([resolver.domain] if len(resolver.domain) > 1 else [])
    searched_names = [f"{name}.{domain.to_text().rstrip('.')}." for domain in domains]
    ndots = 1 if resolver.ndots is None else resolver.ndots
    return [f"{name}.", *searched_names] if name.count(".") >= ndots else [*searched_names, f"{name}."]


def _target_groups(name: str, records: "list[Rdata]", port: int) -> Iterator[TargetGroup]:
    """Yield one group for all address records, and one for each other record, which has labels of its own."""
    labels = {"__meta_dns_name": name}
    hosts = [_host(record.to_text()) for record in records if record.rdtype.name in ADDRESS_TYPES]
    if hosts:
        yield TargetGroup(targets=tuple(_address(host, port) for host in hosts), labels=labels)
    for record in records:
        record_type = record.rdtype.name
        if record_type in ADDRESS_TYPES:
            continue
        host = getattr(record, "exchange" if record_type == "MX" else "target").to_text()
        if host == ".":  # RFC 2782 and RFC 7505: the service is not available at this name
            continue
        target_port = getattr(record, "port", port)
        record_labels = labels | {f"__meta_dns_{record_type.lower()}_record_target": host}
        if record_type == "SRV":
            record_labels["__meta_dns_srv_record_port"] = str(target_port)
        yield TargetGroup(targets=(_address(host.rstrip("."), target_port),), labels=record_labels)


def _host(text: str) -> str:
    """Return an address in Go's form: an IPv4-mapped IPv6 address becomes the IPv4 address."""
    mapped = IPv6Address(text).ipv4_mapped if ":" in text else None
    return str(mapped or text)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
