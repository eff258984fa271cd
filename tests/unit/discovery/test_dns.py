"""Discovery by DNS, with a DNS server on loopback."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.asyncresolver
import dns.name
import dns.rcode
import pytest
from structlog.testing import capture_logs

from leakwatch.discovery.dns import DnsConfig, DnsDiscoverer, lookup, system_resolver
from leakwatch.discovery.status import DiscoveryStatus
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.errors import DiscoveryError
from tests.support.clock import ManualClock, until
from tests.support.naming import Zone, naming

MakeResolver = Callable[[], dns.asyncresolver.Resolver]
SRV = {"SRV": ["0 0 6060 b.test.", "0 0 6061 a.test.", "0 0 1 ."]}


@contextmanager
def resolving(zone: Zone, *search: str, lifetime: float = 5.0) -> Iterator[MakeResolver]:
    """Yield a function that returns a resolver for `zone`."""
    with naming(zone) as port:

        def make() -> dns.asyncresolver.Resolver:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = ["127.0.0.1"], port
            resolver.domain = dns.name.root
            resolver.search = [dns.name.from_text(domain) for domain in search]
            resolver.lifetime = lifetime
            return resolver

        yield make


def discovered(
    zone: Zone, *names: str, kind: str = "A", search: tuple[str, ...] = ()
) -> dict[str, dict[str, str]]:
    """Return address -> labels of the targets of some names."""
    settings = DnsConfig.model_validate({"names": names, "type": kind, "port": 6060})
    with resolving(zone, *search) as make:
        discoverer = DnsDiscoverer(settings, DiscoveryStatus(), ManualClock(), make)
        groups = asyncio.run(discoverer.resolve()) or []
    return {address: group.labels for group in groups for address in group.targets}


@pytest.mark.parametrize(
    ("kind", "records", "targets"),
    [
        ("A", ["10.0.0.2", "10.0.0.1"], {"10.0.0.1:6060": {}, "10.0.0.2:6060": {}}),
        ("AAAA", ["::1", "::ffff:10.0.0.1"], {"[::1]:6060": {}, "10.0.0.1:6060": {}}),
        ("MX", ["5 m.test.", "0 ."], {"m.test:6060": {"__meta_dns_mx_record_target": "m.test."}}),
        ("NS", ["ns.test."], {"ns.test:6060": {"__meta_dns_ns_record_target": "ns.test."}}),
        (
            "SRV",
            ["0 0 6061 Web.test.", "0 0 1 ."],
            {"Web.test:6061": {"__meta_dns_srv_record_target": "Web.test.", "__meta_dns_srv_record_port": "6061"}},
        ),
    ],
)
def test_every_type(kind: str, records: list[str], targets: dict[str, dict[str, str]]) -> None:
    """Addresses and labels are as in Prometheus. The target "." means that there is none."""
    zone = Zone({"x.test.": {kind: records}})
    labels = {"__meta_dns_name": "x.test"}
    assert discovered(zone, "x.test", kind=kind) == {address: labels | more for address, more in targets.items()}


def test_search_domains() -> None:
    """A short name is searched first, a dotted name is tried unchanged first, and a final dot ends searching."""
    zone = Zone(
        {"shop.two.test.": {"A": ["10.0.0.1"]}, "a.b.": {"A": ["10.0.0.2"]}, "a.b.one.test.": {"A": ["10.9.9.9"]}}
    )
    search = ("one.test", "two.test")
    assert discovered(zone, "shop", search=search).keys() == {"10.0.0.1:6060"}
    assert [query.split()[1] for query in zone.queries] == ["shop.one.test.", "shop.two.test."]
    assert discovered(zone, "a.b", search=search).keys() == {"10.0.0.2:6060"}
    zone.queries.clear()
    assert discovered(zone, "shop.", search=search) == {}
    assert [query.split()[1] for query in zone.queries] == ["shop."]


def test_a_truncated_response_is_repeated_over_tcp() -> None:
    """A response with 400 addresses does not fit into one datagram."""
    zone = Zone({"many.": {"A": [f"10.0.{i // 200}.{i % 200}" for i in range(400)]}})
    assert len(discovered(zone, "many.")) == 400
    assert zone.queries == ["udp many. A", "tcp many. A"]


def test_an_alias_is_followed() -> None:
    """The records of the canonical name count."""
    zone = Zone({"alias.": {"CNAME": ["real."]}, "real.": {"A": ["10.0.0.1"]}})
    assert discovered(zone, "alias.") == {"10.0.0.1:6060": {"__meta_dns_name": "alias."}}


def rounds(
    zone: Zone, settings: DnsConfig, *changes: Callable[[], object]
) -> tuple[list[list[str] | None], DiscoveryStatus]:
    """Resolve once, and once after each change; return the result of each round, and the status."""
    status = DiscoveryStatus("j", "dns", lambda: 7.0)

    async def run() -> list[list[str] | None]:
        discoverer = DnsDiscoverer(settings, status, ManualClock(), make)
        results = []
        for change in (lambda: None, *changes):
            change()
            groups = await discoverer.resolve()
            results.append(None if groups is None else [address for group in groups for address in group.targets])
        return results

    with resolving(zone, "first.test", lifetime=0.3) as make:
        return asyncio.run(run()), status


def test_the_last_targets_of_a_failing_name_stay() -> None:
    """SERVFAIL, REFUSED and silence are logged once each. Other names are still resolved."""
    zone = Zone({"a.": {"A": ["10.0.0.1"]}, "b.": {"A": ["10.0.0.2"]}})
    settings = DnsConfig.model_validate({"names": ["a.", "b."], "type": "A", "port": 1})

    def fail(code: dns.rcode.Rcode) -> Callable[[], object]:
        return lambda: zone.refused.update({"a.": code})

    def move() -> None:
        zone.records["b."] = {"A": ["10.0.0.3"]}

    def silence() -> None:
        zone.refused.clear()
        zone.silent.add("a.")

    with capture_logs() as log:
        results, status = rounds(
            zone, settings, fail(dns.rcode.SERVFAIL), move, fail(dns.rcode.REFUSED), silence, zone.silent.clear
        )
    assert results == [["10.0.0.1:1", "10.0.0.2:1"], None, ["10.0.0.1:1", "10.0.0.3:1"], None, None, None]
    errors = [line for line in log if line["log_level"] == "error"]
    assert [(line["source"], line["kept"]) for line in errors] == [("a.", 1)] * 3
    for line, message in zip(errors, ("SERVFAIL", "REFUSED", "no answer within 0.3 s"), strict=True):
        assert message in line["error"]
    assert log[-1]["event"] == "discovery works again"
    assert (status.failures, status.succeeded) == (4, 7.0)


def test_a_name_that_does_not_exist() -> None:
    """If the name does not exist, not even with a search domain, or lacks records, it has no targets."""
    zone = Zone({"x.first.test.": SRV})
    settings = DnsConfig.model_validate({"names": ["x"]})

    def other_records() -> None:
        zone.records["x."] = {"A": ["10.0.0.1"]}

    def restore() -> None:
        zone.records["x.first.test."] = SRV

    with capture_logs() as log:
        results, status = rounds(zone, settings, zone.records.clear, lambda: None, other_records, restore)
    assert results == [["b.test:6060", "a.test:6061"], [], None, None, ["b.test:6060", "a.test:6061"]]
    assert [(line["event"], line["name"], line["gone"]) for line in log] == [
        ("DNS name does not exist, its targets are removed", "x", 2)
    ]
    assert status.failures == 0


def test_a_failure_of_one_searched_name() -> None:
    """If one searched name fails and the others do not exist, the result is unknown, and the targets stay."""
    zone = Zone({"x.first.test.": SRV})
    settings = DnsConfig.model_validate({"names": ["x"]})

    def fail() -> None:
        zone.records.clear()
        zone.refused["x.first.test."] = dns.rcode.SERVFAIL

    results, status = rounds(zone, settings, fail)
    assert results == [["b.test:6060", "a.test:6061"], None]
    assert status.failures == 1


def test_invalid_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends invalid responses is a failure."""
    zone = Zone({"a.": {"A": ["10.0.0.1"]}})
    monkeypatch.setattr(zone, "answer", lambda _question, _way: b"garbage")
    with resolving(zone, lifetime=0.3) as make, pytest.raises(DiscoveryError, match=r"a\.: "):
        asyncio.run(lookup(make, "a.", "A"))


def test_no_resolv_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the missing file."""
    monkeypatch.setattr("leakwatch.discovery.dns.RESOLV_CONF", "/nowhere/resolv.conf")
    with pytest.raises(DiscoveryError, match=r"^/nowhere/resolv\.conf: cannot open"):
        asyncio.run(lookup(system_resolver, "a.", "A"))


def test_names_are_resolved_at_each_refresh_interval() -> None:
    """The first update has all targets, and the next one follows a change. Another order is not a change."""
    zone = Zone({"a.": {"A": ["10.0.0.1", "10.0.0.2"]}})
    settings = DnsConfig.model_validate({"names": ["a."], "type": "a", "port": 1, "refresh_interval": "20s"})
    updates: list[list[TargetGroup]] = []
    clock = ManualClock()

    async def run() -> None:
        discoverer = DnsDiscoverer(settings, DiscoveryStatus(), clock, make)
        task = asyncio.create_task(discoverer.run(lambda groups: updates.append(list(groups))))
        for addresses in (["10.0.0.2", "10.0.0.1"], ["10.0.0.3"], []):
            rounds = len(clock.sleeps)
            await until(lambda rounds=rounds: len(clock.sleeps) > rounds)  # type: ignore[misc]  # bound now
            zone.records["a."] = {"A": addresses}
            clock.advance(20.0)
        task.cancel()

    with resolving(zone) as make:
        asyncio.run(run())
    assert [[group.targets for group in groups] for groups in updates] == [
        [("10.0.0.1:1", "10.0.0.2:1")],
        [("10.0.0.3:1",)],
    ]
