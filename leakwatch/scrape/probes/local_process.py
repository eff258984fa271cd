"""Memory usage of the process behind a loopback address, from the kernel: resident memory and limit of the cgroup.

A proxy or a forwarded port may listen there instead of the service. So the process must have its [vdso] at the
address that the process of the profile has. The processes of other containers may be invisible; their usage is
unknown.
"""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from leakwatch.leaks.memory import MemoryUsage
from leakwatch.scrape.local_sockets import PROC, listening_sockets

RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
VDSO: Final = re.compile(r"^([0-9a-f]+)-.*\[vdso\]$", re.MULTILINE)
UNLIMITED: Final = 1 << 60
"""Bytes. Without a limit, version 1 of cgroups has about twice as much."""
FILES: Final = {
    "cgroup2": ("memory.max", "memory.current", "inactive_file"),
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Version -> files with the limit and the used bytes, and the key of the bytes that the kernel can free."""
NAMESPACED: Final = {"cgroup2": "sys/fs/cgroup", "cgroup": "sys/fs/cgroup/memory"}


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address of this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class LocalProcesses:
    """Finds the process of one address; `proc`: mount point of procfs."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._last: tuple[Path, str] | None = None
        """The file descriptor of the listening socket that was found last, and the name of the socket."""

    def usage(self, host: str, port: int, start: str) -> MemoryUsage:
        """Return the usage of the process that listens at a loopback address and has its [vdso] at `start`.

        The usage is empty if there is no such process. A search through all processes takes long, so the result is
        cached.
        """
        if not start:
            return MemoryUsage()
        process = self._process(host, port, int(start, 16))
        if process is None:
            return MemoryUsage()
        resident = RESIDENT.search(_text(process / "status"))
        limits = sorted(self._limits(process), key=lambda pair: pair[0] - pair[1])
        limit, used = limits[0] if limits else (None, None)
        return MemoryUsage(resident=int(resident[1]) * 1024.0 if resident else None, limit=limit, used=used)

    def _process(self, host: str, port: int, vdso: int) -> Path | None:
        """Return the folder of the process: that of the last search while it has the socket, else search again."""
        if self._last:
            (fd, socket), process = self._last, self._last[0].parents[1]
            with suppress(OSError):
                if str(fd.readlink()) == socket and self._vdso(process) == vdso:
                    return process
        listeners = self._listeners(host, port)
        self._last = next((pair for pair in listeners if self._vdso(pair[0].parents[1]) == vdso), None)
        return self._last[0].parents[1] if self._last else None

    def _listeners(self, host: str, port: int) -> Iterator[tuple[Path, str]]:
        """Yield the file descriptors of all sockets that listen at an address; processes may share a socket."""
        sockets = {f"socket:[{inode}]" for inode in self._sockets(host, port)}
        for process in self._proc.iterdir() if sockets else ():
            if process.name.isdecimal():
                with suppress(OSError):  # the process has ended, or is not readable
                    links = ((fd, str(fd.readlink())) for fd in (process / "fd").iterdir())
                    yield from (pair for pair in links if pair[1] in sockets)

    def _sockets(self, host: str, port: int) -> Iterator[str]:
        """Yield the inodes of the sockets that listen at a local address, or at all local addresses."""
        wanted = None if host == "localhost" else ipaddress.ip_address(host)
        for socket in listening_sockets(self._proc):
            is_same = socket.address == wanted if wanted else socket.address.is_loopback
            if socket.port == port and (socket.address.is_unspecified or is_same):
                yield socket.inode

    def _vdso(self, process: Path) -> int | None:
        match = VDSO.search(_text(process / "maps"))
        return int(match[1], 16) if match else None

    def _limits(self, process: Path) -> Iterator[tuple[float, float]]:
        """Yield all limits of a process and the bytes used of each."""
        for version, folder in self._folders(process):
            limit_name, used_name, free_name = FILES[version]
            limit = _text(folder / limit_name).strip()
            if not limit.isdecimal() or int(limit) >= UNLIMITED:
                continue
            used = _text(folder / used_name).strip()
            freeable = re.search(rf"^{free_name} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            needed = int(used) - (int(freeable[1]) if freeable else 0) if used.isdecimal() else 0
            yield float(limit), float(max(needed, 0))

    def _folders(self, process: Path) -> Iterator[tuple[str, Path]]:
        """Yield the cgroup folders of a process and their parents, in its own and in this mount namespace."""
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
        """Yield version, root in the hierarchy, and mount point of each mount with the memory controller."""
        for line in _text(self._proc / "self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            words, kind = before.split(), after.split()
            if len(words) < 5 or len(kind) < 3 or kind[0] not in FILES:
                continue
            if kind[0] == "cgroup2" or "memory" in kind[2].split(","):
                yield kind[0], words[3], Path(words[4])


def _text(path: Path) -> str:
    """Return the text of a file, "" if it is missing or not readable."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
