"""What this machine knows of the process behind a loopback address: made-up /proc trees, and the real one."""

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
    """A made-up /proc with cgroups."""

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
        """Return the table of sockets with one of them."""
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
        """Return what is known of who listens there."""
        return LocalProcesses(self.proc).usage(host, port, start)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine on which nobody has the socket yet."""
    return Machine(tmp_path)


def test_version_2(machine: Machine) -> None:
    """What is left below the tightest limit on the way up counts; what the kernel can drop is not used."""
    machine.process(7, "0::/shop.slice/shop.service\n")
    machine.mount("cgroup2", "rw,nsdelegate")
    machine.write("cgroup/shop.slice/shop.service/memory.max", "max\n")
    machine.write("cgroup/shop.slice/memory.max", f"{512 * MIB}\n")
    machine.write("cgroup/shop.slice/memory.current", f"{300 * MIB}\n")
    machine.write("cgroup/shop.slice/memory.stat", f"anon 1\ninactive_file {50 * MIB}\n")
    assert machine.usage() == MemoryUsage(resident=100 * MIB, limit=512 * MIB, used=250 * MIB)


def test_the_limit_with_the_least_room_counts(machine: Machine) -> None:
    """A larger limit that others have nearly used up is reached before a smaller one."""
    machine.process(7, "0::/all/shop\n")
    machine.mount("cgroup2", "rw")
    machine.write("cgroup/all/shop/memory.max", f"{512 * MIB}")
    machine.write("cgroup/all/shop/memory.current", f"{100 * MIB}")
    machine.write("cgroup/all/memory.max", f"{1024 * MIB}")
    machine.write("cgroup/all/memory.current", f"{1000 * MIB}")
    assert machine.usage().limit == 1024 * MIB


def test_version_1(machine: Machine) -> None:
    """The hierarchy of memory, beside the others; without a limit it says an absurd number."""
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
    """A cgroup outside of our namespace is read through the process's own root."""
    machine.process(7, "0::/../cri-containerd-shop.scope\n")
    machine.mount("cgroup2", "rw")
    machine.write("cgroup/memory.max", f"{64 * MIB}")  # ours
    machine.write("proc/7/root/sys/fs/cgroup/memory.max", f"{512 * MIB}")
    machine.write("proc/7/root/sys/fs/cgroup/memory.current", f"{80 * MIB}")
    assert machine.usage() == MemoryUsage(resident=100 * MIB, limit=512 * MIB, used=80 * MIB)


def test_a_mount_that_shows_a_part(machine: Machine) -> None:
    """In a container with the machine's cgroup namespace, the mount begins at the container's own."""
    machine.process(7, "0::/docker/abc/shop\n")
    machine.mount("cgroup2", "rw", root="/docker/abc")
    machine.write("cgroup/shop/memory.max", f"{512 * MIB}")
    assert machine.usage().limit == 512 * MIB


@pytest.mark.parametrize(
    ("host", "address", "table", "found"),
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
def test_who_listens(machine: Machine, host: str, address: str, table: str, found: bool) -> None:
    """On the address, on all of them, and over IPv6; nobody else's port."""
    machine.process(7, "")
    machine.write("proc/net/tcp", "")
    machine.write(f"proc/net/{table}", machine.listening(address, 4711))
    assert (machine.usage(host) == MemoryUsage(resident=100 * MIB)) == found
    machine.write(f"proc/net/{table}", machine.listening(address, 4711, state="01"))
    assert machine.usage(host) == MemoryUsage()


def test_a_proxy_is_not_the_service(machine: Machine) -> None:
    """Who listens but has its [vdso] elsewhere than the process that answered is somebody else."""
    machine.process(6, "", vdso="7ffe5000")
    assert machine.usage() == MemoryUsage()
    machine.process(7, "")
    assert machine.usage() == MemoryUsage(resident=100 * MIB)
    assert machine.usage(start="") == MemoryUsage()


def test_a_process_that_was_found_is_not_looked_for_again(machine: Machine) -> None:
    """As long as its [vdso] is where the one that answers says; a new process behind the address is found anew."""
    machine.process(7, "0::/\n")
    local = LocalProcesses(machine.proc)
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident
    machine.write("proc/net/tcp", "")
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident
    assert local.usage("127.0.0.1", 0x17AC, "0x7ffe1000") == MemoryUsage()
    machine.write("proc/net/tcp", machine.listening("0100007F:17AC", 4712))
    machine.process(8, "0::/\n", inode=4712, vdso="7ffe1000")
    assert local.usage("127.0.0.1", 0x17AC, "0x7ffe1000").resident


def test_a_process_that_has_handed_its_socket_on_is_left(machine: Machine) -> None:
    """One that lives on without its socket is no longer it, even if its [vdso] is where that of the new one is."""
    machine.process(7, "0::/\n")
    local = LocalProcesses(machine.proc)
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident == 100 * MIB
    (machine.proc / "7" / "fd" / "3").unlink()
    machine.process(8, "0::/\n")
    machine.write("proc/8/status", f"VmRSS:\t{200 * 1024} kB\n")
    assert local.usage("127.0.0.1", 0x17AC, VDSO).resident == 200 * MIB


def test_what_cannot_be_seen_is_not_known(machine: Machine) -> None:
    """A process of another PID namespace, garbage in its files, or no /proc at all."""
    assert machine.usage() == MemoryUsage()
    machine.process(7, "nonsense\n0::\n")
    machine.write("proc/7/status", "Name:\n")
    machine.write("proc/self/mountinfo", "one two\n- - cgroup2\n")
    assert machine.usage() == MemoryUsage()
    assert LocalProcesses(machine.proc / "none").usage("127.0.0.1", 80, VDSO) == MemoryUsage()


def test_the_real_one() -> None:
    """Our own socket on this machine is found, with our own resident memory and a limit that is one."""
    maps = Path("/proc/self/maps").read_text()
    match = re.search(r"^([0-9a-f]+)-.*\[vdso\]$", maps, re.MULTILINE)
    assert match
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = LocalProcesses().usage("localhost", server.getsockname()[1], f"0x{match[1]}")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert found.resident == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
    assert found.limit is None or found.limit > pages


def test_loopback() -> None:
    """Our own machine, by its usual names."""
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "example.com", ""))
