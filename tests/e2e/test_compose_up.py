"""deploy/compose, brought up as a whole by podman-compose: from the leaking shop to Alertmanager.

The images of Prometheus and Alertmanager are made from the programs that are installed here. All share one network
namespace without other processes, so the fixed ports of the file are free and the outside is not reachable.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.containers import ROOT, podman, shop
from tests.support.running import FAST
from tests.support.waiting import wait_for

PROJECT = f"leakwatch-test-{os.getpid()}"
COMPOSE = ROOT / "deploy/compose"
DEBIAN_TEMPLATES = Path("/usr/share/prometheus/alertmanager")
"""Of notifications, without which Debian's Alertmanager does not start."""

CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=2048:2048"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""

STAND_IN = """
FROM scratch
COPY root /
COPY --chown=65534:65534 empty /{name}
USER 65534:65534
WORKDIR /{name}
VOLUME /{name}
ENV PATH=/bin
ENTRYPOINT ["/bin/{name}"]
CMD ["--config.file=/etc/{name}/{name}.yml", "--storage.tsdb.path=/{name}"]
"""


def program(name: str) -> Path:
    """Return where a program is, also under the name that Debian gave it."""
    found = shutil.which(name) or shutil.which(f"prometheus-{name}")
    assert found, f"{name} is not installed"
    return Path(found)


def stand_in(folder: Path, name: str, tool: str) -> str:
    """Make an image of an installed program and its tool, laid out as the official one; return its name."""
    root = folder / name / "root"
    for target, source in (("bin/" + name, program(name)), ("bin/" + tool, program(tool))):
        linked = subprocess.run(["ldd", source], check=False, capture_output=True, text=True).stdout
        for file in (target, *re.findall(r"/(\S+) \(0x", linked)):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source if file == target else f"/{file}", root / file)
    if DEBIAN_TEMPLATES.is_dir():
        shutil.copytree(DEBIAN_TEMPLATES, root / DEBIAN_TEMPLATES.relative_to("/"))
    (folder / name / "empty").mkdir()
    (folder / name / "Dockerfile").write_text(STAND_IN.format(name=name))
    image = f"{PROJECT}-{name}"
    podman("build", "--quiet", "--isolation=chroot", f"--tag={image}", folder / name)
    return image


def faster(folder: Path, images: dict[str, str]) -> Path:
    """Return what changes for the test: shorter intervals, images that exist here, one network for all."""
    watched = (COMPOSE / "leakwatch.yml").read_text().partition("block: 6s}\n")[2]
    assert watched
    (folder / "leakwatch.yml").write_text(FAST + watched)
    prometheus = (COMPOSE / "prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text(prometheus.replace("interval: 15s", "interval: 1s"))
    names = ("shop", "leakwatch", "prometheus", "alertmanager")
    services: dict[str, dict[str, Any]] = {
        name: {
            "network_mode": "host",  # which is the namespace that podman-compose runs in
            "extra_hosts": [f"{other}:127.0.0.1" for other in names],
            "healthcheck": {"disable": True},  # podman's timers need systemd
            "pids_limit": 0,
        }
        for name in names
    }
    for name in ("leakwatch", "prometheus"):
        services[name]["volumes"] = [f"{folder}/{name}.yml:/etc/{name}/{name}.yml:ro"]
    for name, image in images.items():
        services[name]["image"] = image
    services["shop"]["command"] = [
        "-listen",
        "0.0.0.0:6060",
        "-leak",
        "40",
    ]
    services["prometheus"]["depends_on"] = {"leakwatch": {"condition": "service_started"}}
    file = folder / "override.yml"
    file.write_text(yaml.safe_dump({"services": services}))
    return file


@pytest.fixture
def namespace() -> Iterator[list[str]]:
    """Make a network namespace with nothing but loopback; give what runs a command in it."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"up\n"
    yield ["nsenter", f"--target={holder.pid}", "--net"]
    holder.kill()
    holder.wait()
    holder.stdout.close()


@pytest.mark.usefixtures("image")
def test_from_the_leaking_shop_to_alertmanager(namespace: list[str], tmp_path: Path) -> None:
    """The leak arrives at Alertmanager under the name of the function; all is taken down again."""
    podman("build", "--quiet", "--tag=shop:0.1.0", shop(tmp_path / "shop"))
    images = {"prometheus": stand_in(tmp_path, "prometheus", "promtool")}
    images["alertmanager"] = stand_in(tmp_path, "alertmanager", "amtool")
    (tmp_path / "containers.conf").write_text(CONTAINERS)
    environment = os.environ | {"CONTAINERS_CONF": str(tmp_path / "containers.conf")}
    files = ["-f", f"{COMPOSE}/compose.yml", "-f", f"{faster(tmp_path, images)}"]
    compose = [*namespace, "podman-compose", "--in-pod=false", "-p", PROJECT, *files]
    up, down = [*compose, "up", "--detach", "--no-build"], [*compose, "down", "--volumes"]
    try:
        subprocess.run(up, check=True, capture_output=True, env=environment)
        ask = [*namespace, "podman", "exec", f"{PROJECT}_alertmanager_1"]
        amtool = [*ask, "amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "--output=json"]

        def alerts() -> list[dict[str, Any]]:
            done = subprocess.run(amtool, check=False, capture_output=True, text=True, env=environment)
            found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
            return [alert for alert in found if alert["labels"]["alertname"] == "GoroutineLeak"]

        labels = wait_for(alerts)[0]["labels"]
        assert (labels["service"], labels["function"]) == ("shop", "example.com/shop/pipeline.FilterService")
    finally:
        subprocess.run(down, check=True, capture_output=True, env=environment)
        podman("rmi", "--force", *images.values())
    assert podman("ps", "--all", f"--filter=name={PROJECT}", "--quiet") == ""
