"""The TCP sockets that listen in the network namespace of this process: those of the host, or of the pod.

sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 0: 0100007F:17AC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 ...
"""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
LISTENS: Final = "0A"  # state of a listening socket

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A listening socket; an IPv4 address that the kernel prints as IPv6 is an IPv4 address."""

    address: IpAddress
    port: int
    inode: str


def listening_sockets(proc: Path = PROC) -> Iterator[ListeningSocket]:
    """Yield the listening sockets; `proc`: mount point of procfs."""
    for name in ("net/tcp", "net/tcp6"):
        for line in _lines(proc / name):
            words = line.split()
            if len(words) >= 10 and words[3] == LISTENS:
                address, _, port = words[1].partition(":")
                yield ListeningSocket(_address(address), int(port, 16), words[9])


def _lines(path: Path) -> list[str]:
    """Return the lines after the first one; none if the file is missing or not readable."""
    try:
        return path.read_text("utf-8", "replace").splitlines()[1:]
    except OSError:
        return []


def _address(text: str) -> IpAddress:
    """Return the address that the kernel prints as words in native byte order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
