"""What this machine knows of the process behind a loopback address: its resident memory and its cgroup's limit.

Whoever listens there may be a proxy or a forwarded port instead of the service, so the process must have its
[vdso] where the one that answers says it is. Where another container's process cannot be seen, nothing is known.
"""

import ipaddress
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from leakwatch.leaks.memory import MemoryUsage

PROC: Final = Path("/proc")
LISTENS: Final = "0A"
RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
VDSO: Final = re.compile(r"^([0-9a-f]+)-.*\[vdso\]$", re.MULTILINE)
UNLIMITED: Final = 1 << 60
"""Bytes; version 1 of cgroups writes about twice as much where there is no limit."""
FILES: Final = {
    "cgroup2": ("memory.max", "memory.current", "inactive_file"),
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Per version: limit, what is used of it, and what of that the kernel can drop."""
NAMESPACED: Final = {"cgroup2": "sys/fs/cgroup", "cgroup": "sys/fs/cgroup/memory"}


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine, whatever its name is."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class LocalProcesses:
    """Processes of this machine; `proc`: where the kernel shows them. One for each address that is asked about."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._last: tuple[Path, str] | None = None  # the listening socket that was found last, and its name

    def usage(self, host: str, port: int, start: str) -> MemoryUsage:
        """Return what is known of the process that listens at a loopback address, whose [vdso] is at `start`.

        Nothing where it cannot be seen. Looking through all processes takes long, so one that was found is kept.
        """
        if not start:
            return MemoryUsage()
        process = self._process(host, port, int(start, 16))
        if process is None:
            return MemoryUsage()
        resident = RESIDENT.search(_text(process / "status"))
        limits = sorted(self._limits(process), key=lambda one: one[0] - one[1])
        limit, used = limits[0] if limits else (None, None)
        return MemoryUsage(resident=int(resident[1]) * 1024.0 if resident else None, limit=limit, used=used)

    def _process(self, host: str, port: int, vdso: int) -> Path | None:
        """Return the folder of the process; the last one counts while it has its socket, for others may listen."""
        if self._last:
            (fd, socket), process = self._last, self._last[0].parents[1]
            with suppress(OSError):
                if str(fd.readlink()) == socket and self._vdso(process) == vdso:
                    return process
        found = (one for one in self._listeners(host, port) if self._vdso(one[0].parents[1]) == vdso)
        self._last = next(found, None)
        return self._last[0].parents[1] if self._last else None

    def _listeners(self, host: str, port: int) -> Iterator[tuple[Path, str]]:
        """Yield the sockets that listen there, as files of processes; one may have handed its own to another."""
        sockets = {f"socket:[{inode}]" for inode in self._sockets(host, port)}
        for process in self._proc.iterdir() if sockets else ():
            if process.name.isdecimal():
                with suppress(OSError):  # it has ended, or is not ours to see
                    held = ((fd, str(fd.readlink())) for fd in (process / "fd").iterdir())
                    yield from (one for one in held if one[1] in sockets)

    def _sockets(self, host: str, port: int) -> Iterator[str]:
        """Yield the inodes of the sockets that listen at an address of ours, or at all of them."""
        asked = None if host == "localhost" else ipaddress.ip_address(host)
        for name in ("net/tcp", "net/tcp6"):
            for line in _text(self._proc / name).splitlines()[1:]:
                words = line.split()
                if len(words) < 10 or words[3] != LISTENS:
                    continue
                address, _, number = words[1].partition(":")
                at = _address(address)
                if int(number, 16) == port and (at.is_unspecified or (at == asked if asked else at.is_loopback)):
                    yield words[9]

    def _vdso(self, process: Path) -> int | None:
        match = VDSO.search(_text(process / "maps"))
        return int(match[1], 16) if match else None

    def _limits(self, process: Path) -> Iterator[tuple[float, float]]:
        """Yield each limit that holds for a process, with what is used of it, in bytes."""
        for version, folder in self._folders(process):
            limit_name, used_name, dropped_name = FILES[version]
            limit = _text(folder / limit_name).strip()
            if not limit.isdecimal() or int(limit) >= UNLIMITED:
                continue
            used = _text(folder / used_name).strip()
            dropped = re.search(rf"^{dropped_name} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            taken = int(used) - (int(dropped[1]) if dropped else 0) if used.isdecimal() else 0
            yield float(limit), float(max(taken, 0))

    def _folders(self, process: Path) -> Iterator[tuple[str, Path]]:
        """Yield the folders of the cgroups of a process: its own and all above, as seen from here and from it."""
        mounts = list(self._mounts())
        for line in _text(process / "cgroup").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            version = "cgroup2" if number == "0" and not controllers else "cgroup"
            if version == "cgroup" and "memory" not in controllers.split(","):
                continue
            yield version, process / "root" / NAMESPACED[version]
            for kind, root, point in mounts:
                if kind == version and ".." not in path.split("/") and Path(path).is_relative_to(root):
                    within = point / Path(path).relative_to(root)
                    yield version, within
                    yield from ((version, above) for above in within.parents if above.is_relative_to(point))

    def _mounts(self) -> Iterator[tuple[str, str, Path]]:
        """Yield version, root within the hierarchy, and place of each mount of cgroups that has memory's."""
        for line in _text(self._proc / "self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            words, kind = before.split(), after.split()
            if len(words) < 5 or len(kind) < 3 or kind[0] not in FILES:
                continue
            if kind[0] == "cgroup2" or "memory" in kind[2].split(","):
                yield kind[0], words[3], Path(words[4])


def _text(path: Path) -> str:
    """Return what a file says, "" where it is not there or not ours to read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that the kernel prints as words in its own byte order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
