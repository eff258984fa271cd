"""The container image, built from the Dockerfile and run as it is deployed."""

import json
import os
import re
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leakwatch import __version__
from tests.support.containers import IMAGE, ROOT, Container, container, export, image_config, once, podman, python
from tests.support.running import FAST, get
from tests.support.waiting import wait_for

Start = Callable[..., str]

SIZE_LIMIT, PACKED_LIMIT = 110_000_000, 40_000_000
PROBE = """
import os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(os.getuid(), os.getgid(), int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"])
for place in ("/", "/etc", "/opt/leakwatch", "/data"):
    try:
        open(f"{place}/written", "w").close()
        print(place, "can be written")
    except OSError as error:
        print(place, error.strerror)
"""


pytestmark = pytest.mark.usefixtures("image")


def free_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def health(running: Container) -> int:
    """Run the image's own health check; return its exit status."""
    kind, *command = image_config()["Healthcheck"]["Test"]
    assert kind == "CMD"  # not CMD-SHELL: there is no shell
    return running.execute(*command).returncode


@pytest.fixture
def mounted(tmp_path: Path) -> str:
    """Return the option that mounts a configuration where the image looks for one."""
    file = tmp_path / "leakwatch.yml"
    file.write_text(FAST + "scrape_configs: [{job_name: none, static_configs: [{targets: ['127.0.0.1:1']}]}]\n")
    file.chmod(0o644)
    return f"--volume={file}:/etc/leakwatch/leakwatch.yml:ro"


def test_it_names_a_leak_with_nothing_allowed(start: Start, mounted: str) -> None:
    """With all restrictions of engines, leakwatch finds the leak, is healthy, and ends soon after a stop."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = (mounted, f"--env=LEAKWATCH_LISTEN=127.0.0.1:{port}")
    target = f"pipeline={start('w5pipeline')}"
    command = ("run", "--config", "/etc/leakwatch/leakwatch.yml", "--target", target)
    with container(*command, options=options, network="host") as running:
        wait_for(lambda: "leakwatch runs" in running.log())
        assert health(running) == 0

        leaking = re.compile(r'leakwatch_leak_verdict{function="main.FilterService".*verdict="leaking".*} 1')
        wait_for(lambda: leaking.search(get(f"{url}/metrics").text))
        assert running.execute("python3", "-c", PROBE).stdout.splitlines() == [
            "65532 65532 0 0 1",
            "/ Read-only file system",
            "/etc Read-only file system",
            "/opt/leakwatch Read-only file system",
            "/data can be written",
        ]
        assert running.stop() == 0


def test_it_listens_to_the_outside_and_takes_signals_as_the_first_process(mounted: str) -> None:
    """By itself it serves on all addresses, port 9979, and takes the signals that engines send."""
    with container(options=(mounted,)) as running:
        wait_for(lambda: "leakwatch runs" in running.log())
        listening = running.execute("python3", "-c", "print(open('/proc/net/tcp').read())").stdout
        assert f"00000000:{9979:04X} 00000000:0000 0A" in listening
        assert health(running) == 0
        podman("kill", "--signal=HUP", running.name)
        wait_for(lambda: "configuration reloaded" in running.log())
        podman("kill", "--signal=INT", running.name)
        assert podman("wait", running.name).strip() == "0"
        assert "leakwatch stops" in running.log()


def test_it_ends_also_while_it_still_starts(mounted: str) -> None:
    """A first process has no default actions for signals; a SIGTERM during its imports ends it."""
    for seconds in (0.0, 0.2, 0.4):
        with container(options=(mounted,)) as running:
            wait_for(lambda running=running: running.handles(signal.SIGTERM))  # type: ignore[misc]  # bound now
            time.sleep(seconds)
            assert running.stop() == 0


def test_a_new_container_continues_with_the_state_of_the_volume(start: Start, mounted: str) -> None:
    """Without an option the state is on the volume at /data, from which the next container restores the target."""
    name = f"leakwatch-test-state-{os.getpid()}"
    address = f"127.0.0.1:{free_port()}"
    options = (mounted, f"--volume={name}:/data", f"--env=LEAKWATCH_LISTEN={address}")
    command = ("run", "--config", "/etc/leakwatch/leakwatch.yml", "--target", f"shop={start('healthy')}")
    try:
        with container(*command, options=options, network="host") as running:
            wait_for(lambda: "leakwatch runs" in running.log())
            wait_for(lambda: "leakwatch_stack_goroutines{" in get(f"http://{address}/metrics").text)
            assert running.stop() == 0
        with container(*command, options=options, network="host") as running:
            wait_for(lambda: "leakwatch runs" in running.log())
            (restored,) = (line for line in running.log().splitlines() if "state restored" in line)
            assert json.loads(restored)["targets"] == 1
            shown = running.execute("leakwatch", "storage", "info", "/data")
            assert "1 service, 1 target, " in shown.stdout, shown.stderr
    finally:
        podman("volume", "rm", "--force", name)


def test_what_does_not_run_is_not_healthy() -> None:
    """The health check fails if no process listens."""
    kind, *command = image_config()["Healthcheck"]["Test"]
    assert kind == "CMD"
    done = once(*command[1:], options=(f"--entrypoint={command[0]}",))
    assert done.returncode == 1
    assert done.stderr.startswith("leakwatch: no healthy leakwatch at 127.0.0.1, port 9979: ")


def test_without_a_configuration_it_names_what_is_missing() -> None:
    """Run as it is, it looks for its configuration where it is to be mounted."""
    done = once()
    assert done.returncode == 1
    assert "/etc/leakwatch/leakwatch.yml" in done.stderr
    assert done.stderr.count("\n") == 1


def test_its_commands_work(start: Start) -> None:
    """Not only the daemon: what else leakwatch can do, it can do in the image."""
    assert once("--version").stdout == f"leakwatch {__version__}\n"
    rules = (ROOT / "deploy/prometheus/leakwatch.rules.yml").read_text()
    assert once("rules").stdout == rules
    assert once("config-schema").stdout.startswith("{")
    assert "traffic.Worker" in once("scrape", start("healthy"), network="host").stdout


def test_it_is_small(tmp_path: Path) -> None:
    """It stays below its limits, unpacked and packed."""
    assert image_config()["Size"] < SIZE_LIMIT
    podman("push", IMAGE, f"oci:{tmp_path / 'pushed'}")
    assert sum(blob.stat().st_size for blob in (tmp_path / "pushed" / "blobs").rglob("*")) < PACKED_LIMIT


def test_the_labels_of_the_image() -> None:
    """Labels, user, volume, port and signal are what deployments rely on."""
    found = image_config()
    config, labels = found["Config"], found["Labels"]
    prefix = "org.opencontainers.image."
    ours = {name.removeprefix(prefix): text for name, text in labels.items() if name.startswith(prefix)}
    assert ours.keys() == {
        *("title", "description", "source", "licenses", "version", "revision", "created"),
    }
    assert (ours["title"], ours["version"], ours["licenses"]) == ("leakwatch", __version__, "Apache-2.0")
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ours["revision"].removesuffix("-modified") == head.stdout.strip()
    assert datetime.fromisoformat(ours["created"]) < datetime.now(UTC)
    assert config["User"] == "65532:65532"
    assert config["Volumes"] == {"/data": {}}
    assert config["ExposedPorts"] == {"9979/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["python3", "-I", "-m", "leakwatch"]
    assert config["Cmd"] == ["run", "--config", "/etc/leakwatch/leakwatch.yml"]


def test_nothing_is_in_it_that_it_does_not_need(tmp_path: Path) -> None:
    """No shell, no package manager, no file that gives its user more rights, none that its user may change."""
    export(tmp_path / "root.tar")
    with tarfile.open(tmp_path / "root.tar") as root:
        members = [member for member in root if not member.name.startswith(("proc", "sys", "dev", "run"))]
    programs = {m.name for m in members if m.isfile() and m.mode & 0o111 and "bin/" in m.name}
    assert {Path(program).name for program in programs} == {"leakwatch", "python3"}
    assert [m.name for m in members if m.mode & 0o6000] == []
    assert [m.name for m in members if m.uid or m.gid] == ["data"]
    assert [m.name for m in members if m.mode & 0o002 and not m.issym()] == ["tmp"]
    assert {Path(m.name).name for m in members} & {"pip", "setuptools", "ensurepip", "sh", "bash", "apt"} == set()


def test_each_module_can_be_imported() -> None:
    """The image contains each module that a module of leakwatch imports."""
    code = """
import importlib, pkgutil, leakwatch
names = [found.name for found in pkgutil.walk_packages(leakwatch.__path__, "leakwatch.")]
print(len([importlib.import_module(name) for name in names if not name.endswith("__main__")]))
"""
    assert int(python(code)) > 100


def test_numpy_does_not_use_the_packages_that_the_image_lacks() -> None:
    """Only numpy's attributes and two modules, unused by leakwatch, refer to packages that rootfs.py removes."""
    code = """
import marshal, pathlib, numpy
def names(code):
    yield from code.co_names
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            yield from names(constant)
root = pathlib.Path(numpy.__file__).parent
lacks = {"f2py", "fft", "polynomial", "random", "testing"} - {path.name for path in root.iterdir()}
print(len(lacks))
for path in root.rglob("*.pyc"):
    if lacks & {*names(marshal.loads(path.read_bytes()[16:]))}:
        print(path.relative_to(root))
"""
    count, *modules = python(code).split()
    assert (int(count), {*modules}) == (5, {"__init__.pyc", "matlib.pyc", "ma/testutils.pyc"})


def test_all_is_compiled() -> None:
    """Each module has bytecode, as a read-only root cannot store any; only leakwatch has sources, too."""
    code = """
import importlib.util, pathlib, sys
sources = [p for place in ("/opt/leakwatch", *sys.path) for p in pathlib.Path(place).rglob("*.py")]
assert sources
print({p for p in sources if "site-packages/leakwatch/" not in str(p)},
      {p for p in sources if not pathlib.Path(importlib.util.cache_from_source(p)).exists()})
"""
    assert python(code) == "set() set()\n"


def test_what_is_installed_is_what_is_pinned() -> None:
    """The lock is what the image has, all of it and nothing else."""
    code = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    installed = {name.lower().replace("_", "-") for name in python(code).split()}
    lock = (ROOT / "deploy/image/requirements.txt").read_text()
    assert installed == {*re.findall(r"^\S+==\S+", lock, re.MULTILINE), f"leakwatch=={__version__}"}


def test_it_trusts_whom_its_base_trusts() -> None:
    """Certificate authorities are there for scraping by TLS."""
    code = "import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])"
    assert int(python(code)) > 50
