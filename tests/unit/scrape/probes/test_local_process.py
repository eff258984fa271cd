"""Usage of a local process from simulated /proc trees, and from the real one."""

import os
import re
import socket
from pathlib import Path

import pytest

from leakwatch.leaks.memory import MemoryUsage
from leakwatch.scrape.probes.local_process import LocalProcesses, is_loopback

VDSO = "0x7ffd1000"
MIB = 1 << 20


class Machine:
    """A simulated /proc with cgroups."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.groups = folder / "cgroup"
        self.write("proc/net/tcp", self.listening("0100007F:17AC", 4711))
        self.write("proc/self/mountinfo", "")

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        file = self.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @staticmethod
    def listening(address: str, inode: int, state: str = "0A") -> str:
        """Return a table of sockets with one socket."""
        return (
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
            f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode}"
            " 1 0 100 0 0 10 0\n"
        )

    def process(self, pid: int, cgroup: str, inode: int = 4711, vdso: str = "7ffd1000") -> None:
        """Add a process that has this socket."""
        self.write(f"proc/{pid}/status", f"Name:\tshop\nVmHWM:\t 90000 kB\nVmRSS:\t   {100 * 1024} kB\n")
        self.write(f"proc/{pid}/maps", f"00400000-00500000 r-xp 0 0 0 /shop\n{vdso}-7ffd3000 r-xp 0 0 0  [vdso]\n")
        self.write(f"proc/{pid}/cgroup", cgroup)
        folder = self.proc / str(pid) / "fd"
        folder.mkdir(exist_ok=True)
        (folder / "0").symlink_to("/dev/null")
        (folder / "3").symlink_to(f"socket:[{inode}]")

    def mount(self, kind: str, options: str, root: str = "/", below: str = "") -> None:
        """Mount cgroups."""
        table = self.proc / "self" / "mountinfo"
        line = f"32 31 0:29 {root} {self.groups}{below} rw,relatime shared:9 - {kind} {kind} {options}\n"
        table.write_text(table.read_text() + line)

    def usage(self, host: str = "127.0.0.1", port: int = 0x17AC, start: str = VDSO) -> MemoryUsage:
        """Return the usage of the process that listens at an address."""
        return LocalProcesses(self.proc).usage(host, port, start)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without a process that has the socket."""
    return Machine(tmp_path)


def test_version_2(machine: Machine) -> None:
    """The tightest limit of all parents applies; memory that the kernel can free does not count as used."""
    machine.process(7, "0::/shop.slice/shop.service\n")
    machine.mount("cgroup2", "rw,nsdelegate")
    machine.write("cgroup/shop.slice/shop.service/memory.max", "max\n")
    machine.write("cgroup/shop.slice/memory.max", f"{512 * MIB}\n")
    machine.write("cgroup/shop.slice/memory.current", f"{300 * MIB}\n")
    machine.write("cgroup/shop.slice/memory.stat", f"anon 1\ninactive_file {50 * MIB}\n")
    assert machine.usage() == MemoryUsage(resident=100 * MIB, limit=512 * MIB, used=250 * MIB)


def test_the_limit_with_the_least_free_memory(machine: Machine) -> None:
    """A larger limit applies if other processes have used most of it."""
    machine.process(7, "0::/all/shop\n")
    machine.mount("cgroup2", "rw")
    machine.write("cgroup/all/shop/memory.max", f"{512 * MIB}")
    machine.write("cgroup/all/shop/memory.current", f"{100 * MIB}")
    machine.write("cgroup/all/memory.max", f"{1024 * MIB}")
    machine.write("cgroup/all/memory.current", f"{1000 * MIB}")
    assert machine.usage().limit == 1024 * MIB


def test_version_1(machine: Machine) -> None:
    """Only the hierarchy of the memory controller counts; a huge number means that there is no limit."""
    machine.process(7, "5:cpu,cpuacct:/elsewhere\n4:memory:/shop\n0::/\n")
    machine.mount("cgroup", "rw,cpu,cpuacct", below="/cpu")
    machine.mount("cgroup", "rw,memory", below="/memory")
    machine.mount("cgroup2", "rw", below="/unified")
    machine.write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert machine.usage() == MemoryUsage(resident=100 * MIB, limit=None, used=None)
    machine.write("cgroup/memory/shop/memory.limit_in_bytes", f"{256 * MIB}\n")
    machine.write("cgroup/memory/shop/memory.usage_in_bytes", f"{99 * MIB}\n")
    machine.write("cgroup/memory/shop/memory.stat", f"inactive_file 5\ntotal_inactive_file {9 * MIB}\n")
    assert machine.usage() == MemoryUsage(resident=100 * MIB, limit=256 * MIB, used=90 * MIB)


def test_another_container_of_the_pod(machine: Machine) -> None:
    """A cgroup outside of this namespace is read through the root directory of the process."""
    machine.process(7, "0::/../cri-containerd-shop.scope\n")
    machine.mount("cgroup2", "rw")
    machine.write("cgroup/memory.max", f"{64 * MIB}")  # of this namespace
    machine.write("proc/7/root/sys/fs/cgroup/memory.max", f"{512 * MIB}")
    machine.write("proc/7/root/sys/fs/cgroup/memory.current", f"{80 * MIB}")
    assert machine.usage() == MemoryUsage(resident=100 * MIB, limit=512 * MIB, used=80 * MIB)


def test_a_partial_mount(machine: Machine) -> None:
    """In a container with the cgroup namespace of the host, the mount begins at the cgroup of the container."""
    machine.process(7, "0::/docker/abc/shop\n")
    machine.mount("cgroup2", "rw", root="/docker/abc")
    machine.write("cgroup/shop/memory.max", f"{512 * MIB}")
    assert machine.usage().limit == 512 * MIB


@pytest.mark.parametrize(
    ("host", "address", "table", "listens"),
    [
        ("127.0.0.1", "0100007F:17AC", "tcp", True),
        ("127.0.0.1", "00000000:17AC", "tcp", True),
        ("127.0.0.1", "0" * 32 + ":17AC", "tcp6", True),
        ("::1", "00000000000000000000000001000000:17AC", "tcp6", True),
        ("localhost", "0100007F:17AC", "tcp", True),
        ("localhost", "00000000000000000000000001000000:17AC", "tcp6", True),
        ("127.0.0.1", "0000000000000000FFFF00000100007F:17AC", "tcp6", True),
        ("127.0.0.2", "0100007F:17AC", "tcp", False),
        ("127.0.0.1", "0100007F:17AD", "tcp", False),
        ("localhost", "0100000A:17AC", "tcp", False),
    ],
)
def test_listening_addresses(machine: Machine, host: str, address: str, table: str, listens: bool) -> None:
    """A process may listen at the address, at all addresses or over IPv6; other ports do not count."""
    machine.process(7, "")
    machine.write("proc/net/tcp", "")
    machine.write(f"proc/net/{table}", machine.listening(address, 4711))
    assert (machine.usage(host) == MemoryUsage(resident=100 * MIB)) == listens
    machine.write(f"proc/net/{table}", machine.listening(address, 4711, state="01"))
    assert machine.usage(host) == MemoryUsage()


def test_a_proxy_is_not_the_service(machine: Machine) -> None:
    """A listening process with another [vdso] than the process of the profile is not the service."""
    machine.process(6, "", vdso="7ffe5000")
    assert machine.usage() == MemoryUsage()
    machine.process(7, "")
    assert machine.usage() == MemoryUsage(resident=100 * MIB)
    assert machine.usage(start="") == MemoryUsage()


def test_the_process_is_cached(machine: Machine) -> None:
    """There is no new search until a process with another [vdso] answers."""
    machine.process(7, "0::/\n")
    local = LocalProcesses(machine.proc)
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident
    machine.write("proc/net/tcp", "")
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident
    assert local.usage("127.0.0.1", 0x17AC, "0x7ffe1000") == MemoryUsage()
    machine.write("proc/net/tcp", machine.listening("0100007F:17AC", 4712))
    machine.process(8, "0::/\n", inode=4712, vdso="7ffe1000")
    assert local.usage("127.0.0.1", 0x17AC, "0x7ffe1000").resident


def test_a_process_that_passed_on_its_socket(machine: Machine) -> None:
    """A process without the socket is not the service, even if its [vdso] is that of the new process."""
    machine.process(7, "0::/\n")
    local = LocalProcesses(machine.proc)
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident == 100 * MIB
    (machine.proc / "7" / "fd" / "3").unlink()
    machine.process(8, "0::/\n")
    machine.write("proc/8/status", f"VmRSS:\t{200 * 1024} kB\n")
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident == 200 * MIB


def test_unknown_usage(machine: Machine) -> None:
    """The usage is empty for a process of another PID namespace, with invalid files, or without /proc."""
    assert machine.usage() == MemoryUsage()
    machine.process(7, "nonsense\n0::\n")
    machine.write("proc/7/status", "Name:\n")
    machine.write("proc/self/mountinfo", "one two\n- - cgroup2\n")
    assert machine.usage() == MemoryUsage()
    assert LocalProcesses(machine.proc / "none").usage("127.0.0.1", 80, VDSO) == MemoryUsage()


def test_the_real_proc() -> None:
    """The process of this test is found by its socket, with its resident memory and its limit."""
    maps = Path("/proc/self/maps").read_text()
    match = re.search(r"^([0-9a-f]+)-.*\[vdso\]$", maps, re.MULTILINE)
    assert match
    with socket.create_server(("127.0.0.1", 0)) as server:
        usage = LocalProcesses().usage("localhost", server.getsockname()[1], f"0x{match[1]}")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert usage.resident == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
    assert usage.limit is None or usage.limit > pages


def test_loopback() -> None:
    """Loopback addresses and localhost are local."""
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "example.com", ""))
