"""`leakwatch run` without a target: the services at the listening ports of the host or pod."""

import asyncio
import ipaddress
import re
from collections.abc import Iterator

import pytest

from leakwatch.cli import local_services
from leakwatch.cli.local_services import local_targets
from leakwatch.errors import UsageError
from leakwatch.scrape import local_sockets
from leakwatch.scrape.local_sockets import ListeningSocket
from tests.support.answering import Server, answering, http
from tests.support.commands import run_command
from tests.unit.cli.test_discover import INDEX


def port_of(server: Server) -> int:
    """Return the port of a server."""
    return int(server.url.rpartition(":")[2])


def listening(*servers: Server, address: str = "127.0.0.1") -> list[ListeningSocket]:
    """Return the sockets of servers."""
    return [ListeningSocket(ipaddress.ip_address(address), port_of(server), "1") for server in servers]


def test_services_are_found() -> None:
    """All ports with pprof are targets; each port receives one GET, and leakwatch's own port none."""
    servers = [http(INDEX), http(b"", "404 Not Found"), http(INDEX), http(INDEX)]
    with (
        answering(servers[0]) as shop,
        answering(servers[1]) as other,
        answering(servers[2]) as cart,
        answering(servers[3]) as own,
    ):
        sockets = listening(shop, other, cart, own)
        urls = asyncio.run(local_targets(port_of(own), lambda: sockets))
        requests = [len(server.requests) for server in (shop, other, cart, own)]
    assert urls == [f"http://127.0.0.1:{port}" for port in sorted(map(port_of, (shop, cart)))]
    assert requests == [1, 1, 1, 0]


def test_a_service_that_starts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports that begin to listen later are probed; no port is probed twice, also if its address changes."""
    monkeypatch.setattr(local_services, "PAUSE", 0.0)
    with answering(http(b"", "404 Not Found")) as first, answering(http(INDEX)) as later:

        def looks() -> Iterator[list[ListeningSocket]]:
            yield []
            yield listening(first)
            yield listening(first, address="127.0.0.2")
            yield listening(first, later)

        look = looks()
        assert asyncio.run(local_targets(9979, lambda: next(look))) == [f"http://127.0.0.1:{port_of(later)}"]
        assert len(first.requests) == 1


def test_no_service() -> None:
    """The error has each port with the reason, and the options to use."""
    with answering(http(b"", "404 Not Found")) as first, answering(http(b"", "401 Unauthorized")) as second:
        with pytest.raises(UsageError) as raised:
            asyncio.run(local_targets(9979, lambda: listening(first, second), 0.0))
        ports = [port_of(first), port_of(second)]
    message = str(raised.value)
    assert re.match(r"nothing to watch: no listening port serves net/http/pprof \(127.0.0.1:\d+: ", message)
    assert f"127.0.0.1:{ports[0]}: HTTP 404" in message
    assert f"127.0.0.1:{ports[1]}: needs authorization" in message
    assert message.endswith(": use --target URL or --config FILE")


def test_the_command_without_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """`leakwatch run` exits with 2 if nothing listens."""
    monkeypatch.setattr(local_sockets, "listening_sockets", list)
    monkeypatch.setattr(local_targets, "__defaults__", (0.0,))
    completed = run_command("run")
    assert completed.returncode == 2
    last = completed.stderr.decode().splitlines()[-1]
    assert last == (
        "leakwatch: nothing to watch: no process listens on a port of this host or pod:"
        " use --target URL or --config FILE"
    )
