"""deploy/compose: read as docker compose reads it; its parts are run."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from leakwatch import __version__
from leakwatch.config import load
from tests.support.running import Process
from tests.support.waiting import wait_for

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
COMPOSE = ROOT / "deploy" / "compose"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return the services, all defaults and anchors resolved."""
    command = ["go", "run", ".", str(COMPOSE / "compose.yml")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=TESTS / "composefile")
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.fixture
def inside(services: dict[str, Any], tmp_path: Path) -> Path:
    """Return a folder with the files that are mounted, under the names they have in the containers."""
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                target = tmp_path / volume["target"].lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(volume["source"], target)
    return tmp_path


def test_nobody_has_more_rights_than_it_needs(services: dict[str, Any]) -> None:
    """Read-only root, no capabilities, no new privileges, a limit on memory, ports on loopback only."""
    assert services.keys() == {"shop", "leakwatch", "prometheus", "alertmanager"}
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}
        assert all(v["type"] == "volume" or v["read_only"] for v in service.get("volumes", []))


def test_images_are_pinned_or_built_here(services: dict[str, Any]) -> None:
    """Each image has a fixed version, and each image that is built here has a Dockerfile."""
    assert services["leakwatch"]["image"] == f"leakwatch:{__version__}"
    for service in services.values():
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])
        if "build" in service:
            assert (Path(service["build"]["context"]) / service["build"]["dockerfile"]).is_file()


def test_who_is_named_is_there(services: dict[str, Any], inside: Path) -> None:
    """Targets are services of the file, at the ports they listen on; Prometheus scrapes as our example does."""
    watched = load(inside / "etc/leakwatch/leakwatch.yml").scrape_configs[0].static_configs[0].targets
    assert [str(target) for target in watched] == ["shop:6060"]
    assert "0.0.0.0:6060" in services["shop"]["command"]
    prometheus = yaml.safe_load((inside / "etc/prometheus/prometheus.yml").read_text())
    example = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert prometheus["rule_files"] == example["rule_files"]
    assert prometheus["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]
    for job, theirs in zip(prometheus["scrape_configs"], example["scrape_configs"], strict=True):
        assert job == theirs | {"static_configs": [{"targets": ["leakwatch:9979"]}]}


def test_each_configuration_is_good(inside: Path) -> None:
    """Prometheus and Alertmanager accept their configurations, including the rules."""
    checks = (
        ["promtool", "check", "config", f"{inside}/etc/prometheus/prometheus.yml"],
        ["amtool", "check-config", f"{inside}/etc/alertmanager/alertmanager.yml"],
    )
    for command in checks:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


PARTS = {
    "prometheus": ("prometheus", ["--storage.tsdb.path={folder}/tsdb"], 9090),
    "alertmanager": (
        "prometheus-alertmanager",
        ["--storage.path={folder}/state", "--cluster.listen-address="],
        9093,
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_it_runs_and_its_health_check_passes(services: dict[str, Any], inside: Path, name: str) -> None:
    """The real one starts with its configuration; its health check holds while it runs, and no longer."""
    debian, options, port = PARTS[name]
    command = [
        shutil.which(name) or debian,
        f"--config.file={inside}/etc/{name}/{name}.yml",
        "--web.listen-address=127.0.0.1:0",
        *(option.format(folder=inside) for option in options),
    ]
    process = Process(command)
    try:
        listening = re.compile(r'msg="Listening on".* address=(\S+)')
        address = wait_for(lambda: next((m[1] for m in map(listening.search, list(process.said)) if m), ""))
        kind, *check = services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        check = [word.replace(f"127.0.0.1:{port}", address) for word in check]
        assert any(address in word for word in check)
        wait_for(lambda: healthy(check))
    finally:
        process.stop()
    assert not healthy(check)


def healthy(check: list[str]) -> bool:
    """Return whether a health check succeeds."""
    return subprocess.run(check, check=False, capture_output=True).returncode == 0
