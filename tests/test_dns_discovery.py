"""Discovery by DNS, against a real server on loopback."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.asyncresolver
import dns.name
import dns.rcode
import pytest
from naming import Zone, naming
from running import until
from structlog.testing import capture_logs

from leakwatch.discovery.dns import DnsConfig, Names, lookup, system_resolver
from leakwatch.discovery.status import DiscoveryStatus, current
from leakwatch.discovery.target_group import TargetGroup
from leakwatch.errors import DiscoveryError

Resolving = Callable[[], dns.asyncresolver.Resolver]
SRV = {"SRV": ["0 0 6060 b.test.", "0 0 6061 a.test.", "0 0 1 ."]}


@contextmanager
def asking(zone: Zone, *search: str, lifetime: float = 5.0) -> Iterator[Resolving]:
    """Give what makes a resolver that asks `zone`."""
    with naming(zone) as port:

        def make() -> dns.asyncresolver.Resolver:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = ["127.0.0.1"], port
            resolver.domain = dns.name.root
            resolver.search = [dns.name.from_text(domain) for domain in search]
            resolver.lifetime = lifetime
            return resolver

        yield make


def found(zone: Zone, *names: str, kind: str = "A", search: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
    """Return address -> labels of what the names have."""
    settings = DnsConfig.model_validate({"names": names, "type": kind, "port": 6060})
    with asking(zone, *search) as make:
        groups = asyncio.run(Names(settings).groups(make)) or []
    return {address: group.labels for group in groups for address in group.targets}


@pytest.mark.parametrize(
    ("kind", "records", "wanted"),
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
def test_every_type(kind: str, records: list[str], wanted: dict[str, dict[str, str]]) -> None:
    """Addresses and labels as in Prometheus; "." as a target says that there is none."""
    zone = Zone({"x.test.": {kind: records}})
    labels = {"__meta_dns_name": "x.test"}
    assert found(zone, "x.test", kind=kind) == {address: labels | more for address, more in wanted.items()}


def test_search_domains() -> None:
    """A short name is searched first, a dotted one is tried as it is first, a final dot ends all searching."""
    zone = Zone(
        {"shop.two.test.": {"A": ["10.0.0.1"]}, "a.b.": {"A": ["10.0.0.2"]}, "a.b.one.test.": {"A": ["10.9.9.9"]}}
    )
    search = ("one.test", "two.test")
    assert found(zone, "shop", search=search).keys() == {"10.0.0.1:6060"}
    assert [question.split()[1] for question in zone.asked] == ["shop.one.test.", "shop.two.test."]
    assert found(zone, "a.b", search=search).keys() == {"10.0.0.2:6060"}
    zone.asked.clear()
    assert found(zone, "shop.", search=search) == {}
    assert [question.split()[1] for question in zone.asked] == ["shop."]


def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    """Four hundred addresses do not fit into one datagram."""
    zone = Zone({"many.": {"A": [f"10.0.{i // 200}.{i % 200}" for i in range(400)]}})
    assert len(found(zone, "many.")) == 400
    assert zone.asked == ["udp many. A", "tcp many. A"]


def test_an_alias_is_followed() -> None:
    """What counts is the records at its end."""
    zone = Zone({"alias.": {"CNAME": ["real."]}, "real.": {"A": ["10.0.0.1"]}})
    assert found(zone, "alias.") == {"10.0.0.1:6060": {"__meta_dns_name": "alias."}}


def rounds(
    zone: Zone, settings: DnsConfig, *changes: Callable[[], object]
) -> tuple[list[list[str] | None], DiscoveryStatus]:
    """Ask once, and once after each change; return what was told each time."""
    progress = DiscoveryStatus("j", "dns", lambda: 7.0)

    async def run() -> list[list[str] | None]:
        current.set(progress)
        names = Names(settings)
        told = []
        for change in (lambda: None, *changes):
            change()
            groups = await names.groups(make)
            told.append(None if groups is None else [address for group in groups for address in group.targets])
        return told

    with asking(zone, "first.test", lifetime=0.3) as make:
        return asyncio.run(run()), progress


def test_what_keeps_the_last_targets() -> None:
    """SERVFAIL, REFUSED and silence keep them, each said once; other names go on; then all is well again."""
    zone = Zone({"a.": {"A": ["10.0.0.1"]}, "b.": {"A": ["10.0.0.2"]}})
    settings = DnsConfig.model_validate({"names": ["a.", "b."], "type": "A", "port": 1})

    def fail(code: dns.rcode.Rcode) -> Callable[[], object]:
        return lambda: zone.refused.update({"a.": code})

    def move() -> None:
        zone.records["b."] = {"A": ["10.0.0.3"]}

    def silence() -> None:
        zone.refused.clear()
        zone.silent.add("a.")

    with capture_logs() as logged:
        told, progress = rounds(
            zone, settings, fail(dns.rcode.SERVFAIL), move, fail(dns.rcode.REFUSED), silence, zone.silent.clear
        )
    assert told == [["10.0.0.1:1", "10.0.0.2:1"], None, ["10.0.0.1:1", "10.0.0.3:1"], None, None, None]
    errors = [line for line in logged if line["log_level"] == "error"]
    assert [(line["source"], line["kept"]) for line in errors] == [("a.", 1)] * 3
    for line, said in zip(errors, ("SERVFAIL", "REFUSED", "no answer within 0.3 s"), strict=True):
        assert said in line["error"]
    assert logged[-1]["event"] == "discovery works again"
    assert (progress.failures, progress.succeeded) == (4, 7.0)


def test_what_empties_a_name() -> None:
    """Neither the name nor its searched forms exist: it has no targets, said once; no records: none either."""
    zone = Zone({"x.first.test.": SRV})
    settings = DnsConfig.model_validate({"names": ["x"]})
    gone = zone.records.clear

    def other_records() -> None:
        zone.records["x."] = {"A": ["10.0.0.1"]}

    def back() -> None:
        zone.records["x.first.test."] = SRV

    with capture_logs() as logged:
        told, progress = rounds(zone, settings, gone, lambda: None, other_records, back)
    assert told == [["b.test:6060", "a.test:6061"], [], None, None, ["b.test:6060", "a.test:6061"]]
    assert [(line["event"], line["name"], line["gone"]) for line in logged] == [
        ("no such name in the DNS: it has no targets", "x", 2)
    ]
    assert progress.failures == 0


def test_one_searched_form_that_fails_keeps_the_targets() -> None:
    """Who cannot ask everywhere does not know that there is nothing."""
    zone = Zone({"x.first.test.": SRV})
    settings = DnsConfig.model_validate({"names": ["x"]})

    def half() -> None:
        zone.records.clear()
        zone.refused["x.first.test."] = dns.rcode.SERVFAIL

    told, progress = rounds(zone, settings, half)
    assert told == [["b.test:6060", "a.test:6061"], None]
    assert progress.failures == 1


def test_a_garbled_server_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that are none are waited out and said."""
    zone = Zone({"a.": {"A": ["10.0.0.1"]}})
    monkeypatch.setattr(zone, "answer", lambda _question, _way: b"garbage")
    with asking(zone, lifetime=0.3) as make, pytest.raises(DiscoveryError, match=r"a\.: "):
        asyncio.run(lookup(make, "a.", "A"))


def test_no_resolv_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the file says so, by its name."""
    monkeypatch.setattr("leakwatch.discovery.dns.RESOLV_CONF", "/nowhere/resolv.conf")
    with pytest.raises(DiscoveryError, match=r"^/nowhere/resolv\.conf: cannot open"):
        asyncio.run(lookup(system_resolver, "a.", "A"))


def test_the_mechanism_tells_changes() -> None:
    """As configured: the targets at first, and again when the records have changed; their order is no change."""
    zone = Zone({"a.": {"A": ["10.0.0.1", "10.0.0.2"]}})
    settings = DnsConfig.model_validate({"names": ["a."], "type": "a", "port": 1, "refresh_interval": "20ms"})
    told: list[list[TargetGroup]] = []

    async def run() -> None:
        task = asyncio.create_task(settings.follow(lambda groups: told.append(list(groups)), make))
        async with asyncio.timeout(20):
            await until(lambda: bool(told))
            zone.records["a."] = {"A": ["10.0.0.2", "10.0.0.1"]}
            before = len(zone.asked)
            await until(lambda: len(zone.asked) >= before + 3)
            zone.records["a."] = {"A": ["10.0.0.3"]}
            await until(lambda: len(told) == 2)
        task.cancel()

    with asking(zone) as make:
        asyncio.run(run())
    assert [[group.targets for group in groups] for groups in told] == [
        [("10.0.0.1:1", "10.0.0.2:1")],
        [("10.0.0.3:1",)],
    ]
