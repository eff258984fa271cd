"""A small DNS server on loopback, over UDP and TCP, that answers what it is told."""

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
    """What is known; `refused` names are answered with that code, `silent` ones not at all.

    `records` are name -> type -> texts; `limit`: longest answer over UDP, in bytes. `asked` keeps the questions:
    "udp name type".
    """

    records: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    refused: dict[str, dns.rcode.Rcode] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    limit: int = 1232
    asked: list[str] = field(default_factory=list)

    def answer(self, process_probe: bytes, way: str) -> bytes | None:
        """Return the answer to one question that came over `way`, None for none."""
        query = dns.message.from_wire(process_probe)
        (asked,) = query.question
        name, kind = asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append(f"{way} {name} {kind}")
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
        if way == "udp" and len(wire) > self.limit:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()
        return wire

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        known = self.records.get(name, {})
        for alias in known.get("CNAME", ()):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", alias))
            self._fill(reply, alias, kind)
        if known.get(kind):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *known[kind]))


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
    """Answer from `zone` for a while; give the port."""
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
