"""Assignment of services to shards."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakwatch.discovery.shard import Shard, shard

SERVICES = [f"team-{i % 7}/service-{i}" for i in range(2000)]


def owner(service: str, count: int) -> int:
    """Return the shard that owns a service."""
    (index,) = [index for index in range(count) if Shard(index, count).owns(service)]
    return index


@given(st.text(), st.integers(1, 9))
def test_each_service_has_one_owner(service: str, count: int) -> None:
    """Exactly one shard owns a service, whatever its name is."""
    assert 0 <= owner(service, count) < count


def test_shares_are_about_equal() -> None:
    """The size of each of five shards is within 20 % of the average."""
    sizes = Counter(owner(service, 5) for service in SERVICES)
    assert all(0.8 * 400 < size < 1.2 * 400 for size in sizes.values())


def test_few_services_move_when_a_shard_is_added() -> None:
    """When a fourth shard is added, a quarter of the services moves, all to the new shard."""
    moved = [service for service in SERVICES if owner(service, 3) != owner(service, 4)]
    assert {owner(service, 4) for service in moved} == {3}
    assert 0.2 * len(SERVICES) < len(moved) < 0.3 * len(SERVICES)


def test_owners_never_change() -> None:
    """The hash must not change: shards of two versions agree."""
    assert [owner(service, 3) for service in ("shop", "cart", "ingest", "mail", "über")] == [2, 1, 2, 0, 0]


@pytest.mark.parametrize(
    ("text", "host", "expected"),
    [
        ("0/1", "h", Shard(0, 1)),
        ("2/3", "h", Shard(2, 3)),
        ("auto/3", "leakwatch-2", Shard(2, 3)),
        ("auto/12", "leakwatch-fleet-11.leakwatch.monitoring.svc", Shard(11, 12)),
    ],
)
def test_the_flag(text: str, host: str, expected: Shard) -> None:
    """The index is a number, or the ordinal at the end of a StatefulSet pod's name."""
    assert shard(text, host) == expected


@pytest.mark.parametrize(
    ("text", "host", "message"),
    [
        ("3/3", "h", "'3/3': shard 3 of 3 does not exist: they are counted from 0"),
        ("1", "h", "'1' must be i/n"),
        ("-1/3", "h", "'-1/3' must be i/n"),
        ("0/0", "h", "'0/0' must be i/n"),
        ("auto/3", "laptop", "the host name 'laptop' does not end in -0, -1"),
        ("auto/3", "leakwatch-3", "shard 3 of 3 does not exist"),
    ],
)
def test_invalid_flags(text: str, host: str, message: str) -> None:
    """The error quotes the text and gives the reason."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011  the message is matched below
        shard(text, host)
    assert message in str(raised.value)
