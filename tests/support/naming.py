"""A DNS server on loopback, over UDP and TCP, with records that a test sets."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class Zone:
    """The records of a DNS server, and its failures."""

    records: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Texts by name and type."""
    refused: dict[str, dns.rcode.Rcode] = field(default_factory=dict)
    """Response codes of names that fail."""
    silent: set[str] = field(default_factory=set)
    """Names that get no response."""
    limit: int = 1232
    """Maximum size of a response over UDP, in bytes."""
    queries: list[str] = field(default_factory=list)
    """The queries so far, each as "udp name type"."""

    def answer(self, data: bytes, transport: str) -> bytes | None:
        """Return the response to a query over `transport`, or None for no response."""
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.queries.append(f"{transport} {name} {kind}")
        if name in self.silent:
            return None
        reply = dns.message.make_response(query)
        if name in self.refused:
            reply.set_rcode(self.refused[name])
        elif name not in self.records:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self._fill(reply, name, kind)
        wire = reply.to_wire(max_size=65535)
        if transport == "udp" and len(wire) > self.limit:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()
        return wire

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        records = self.records.get(name, {})
        for alias in records.get("CNAME", ()):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", alias))
            self._fill(reply, alias, kind)
        if records.get(kind):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records[kind]))


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, connection = self.request
        answer = self.server.zone.answer(data, "udp")  # type: ignore[attr-defined]  # set below
        if answer:
            connection.sendto(answer, self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = self.rfile.read(2)
        if len(length) == 2:
            answer = self.server.zone.answer(self.rfile.read(int.from_bytes(length)), "tcp")  # type: ignore[attr-defined]  # set below
            if answer:
                self.wfile.write(len(answer).to_bytes(2) + answer)


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def naming(zone: Zone, port: int = 0) -> Iterator[int]:
    """Run a server for `zone`, and yield its port."""
    with _TcpServer(("127.0.0.1", port), _Tcp) as tcp:
        port = tcp.server_address[1]
        with _UdpServer(("127.0.0.1", port), _Udp) as udp:
            servers: tuple[Any, ...] = (tcp, udp)
            for server in servers:
                server.zone = zone
                threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            yield port
            for server in servers:
                server.shutdown()
