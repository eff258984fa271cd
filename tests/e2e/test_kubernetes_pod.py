"""Manifests run as real pods by `podman play kube`: the image, a Go service, and the restrictions of the pod.

Podman 4.3 knows no native sidecars (it waits for an init container to end, and refuses probes of one), so the
classic form runs here; tests/deploy/test_manifests.py holds both to the same container.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from leakwatch import __version__
from tests.support.manifests import KUBERNETES, ROOT, Document, documents, first, pods, resources
from tests.support.running import FAST
from tests.support.waiting import wait_for

NAME = f"leakwatch-pod-{os.getpid()}"
LEAK = "example.com/shop/pipeline.FilterService"
CONTAINERS = """
[containers]
log_driver = "k8s-file"
# Podman's own defaults are more than a build machine without an engine may have.
default_ulimits = ["nofile=4096:4096", "nproc=2048:2048"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
LEAK_ON = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/leak', b'rate=40', timeout=60)"
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], 'written').write_text('here')"


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a command and return what it prints; fail with what it complains of."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=os.environ | environment
    )
    assert done.returncode == 0, f"{command[0]} {command[1]}: {done.stderr}{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def images(image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # noqa: ARG001  it only has to be there
    """Build an image of the demo's service that has nothing but its program, beside leakwatch's image."""
    folder = tmp_path_factory.mktemp("shop")
    run("go", "build", "-o", folder / "shop", ".", cwd=ROOT / "deploy" / "demo" / "service", CGO_ENABLED="0")
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "copy", container, folder / "shop", "/shop")
    run("buildah", "config", "--entrypoint", '["/shop"]', "--user", "65532:65532", container)
    run("buildah", "commit", "--quiet", "--rm", container, "localhost/shop:1.0.0")
    yield
    run("podman", "rmi", "--force", "localhost/shop:1.0.0")


def for_podman(template: Document) -> Document:
    """Return a pod by this template without what Podman 4.3 cannot do.

    No ports, which it cannot map without a network; no probes, which it makes from curl, and the images have none;
    and one pod, since it gives all replicas the same emptyDir.
    """
    for container in template["spec"]["containers"]:
        for key in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(key, None)
    metadata = {"name": f"{NAME}-0", "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def sidecar() -> list[Document]:
    """Return the shipped pod with the classic sidecar, judging blocks of a second.

    $(SERVICE) is filled in, as a kubelet does and Podman does not.
    """
    (template,) = pods(documents((KUBERNETES / "sidecar" / "classic.yaml").read_text()))
    pod = for_podman(template)
    _, leakwatch = template["spec"]["containers"]
    name = template["metadata"]["labels"]["app.kubernetes.io/name"]
    leakwatch["args"] = [word.replace("$(SERVICE)", name) for word in leakwatch["args"]]
    leakwatch["args"] += ["--config", "/etc/leakwatch/leakwatch.yml"]
    leakwatch["volumeMounts"] += [{"name": "config", "mountPath": "/etc/leakwatch", "readOnly": True}]
    (data,) = template["spec"]["volumes"]
    data["name"] = leakwatch["volumeMounts"][0]["name"] = f"{NAME}-data"
    template["spec"]["volumes"].append({"name": "config", "configMap": {"name": NAME}})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"leakwatch.yml": FAST}}
    return [config, pod]


def fleet() -> list[Document]:
    """Return the chart's pod, watching a service that is put beside it, since there is no network."""
    static = {"job_name": "shop", "static_configs": [{"targets": ["127.0.0.1:6060"]}]}
    values = {"fullnameOverride": NAME, "discovery": {"enabled": False}, "scrapeConfigs": [static]}
    those = resources(values)
    pod = for_podman(first(those, "StatefulSet")["spec"]["template"])
    (beside,) = pods(documents((KUBERNETES / "sidecar" / "classic.yaml").read_text()))
    pod["spec"]["containers"].append(for_podman(beside)["spec"]["containers"][0])
    (claim,) = first(those, "StatefulSet")["spec"]["volumeClaimTemplates"]
    volume = {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": f"{NAME}-data"}}
    pod["spec"]["volumes"].append(volume)  # as the controller of a StatefulSet does
    return [first(those, "ConfigMap"), pod]


class Pod:
    """A running pod, looked at from within, since it has no network but its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._configuration = str(file.parent / "containers.conf")

    def podman(self, *arguments: str | Path) -> str:
        """Run podman."""
        # In the manifest's folder: a folder named like an image would be built.
        return run("podman", *arguments, cwd=self._file.parent, CONTAINERS_CONF=self._configuration)

    def python(self, script: str, *arguments: str) -> str:
        """Run Python in leakwatch's container."""
        return self.podman("exec", f"{NAME}-0-leakwatch", "python", "-c", script, *arguments)

    def log(self) -> str:
        """Return what leakwatch has logged."""
        command = ["podman", "logs", f"{NAME}-0-leakwatch"]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ).stdout

    def state(self, container: str) -> Any:
        """Return what podman knows of a container."""
        return json.loads(self.podman("inspect", f"{NAME}-0-{container}"))[0]["State"]

    def metrics(self) -> str:
        """Return leakwatch's metrics, "" while it starts."""
        try:
            return self.python(ASK, "http://127.0.0.1:9979/metrics")
        except AssertionError:
            return ""


@contextlib.contextmanager
def playing(those: list[Document], folder: Path) -> Iterator[Pod]:
    """Run these for a while."""
    file = folder / "pod.yaml"
    file.write_text(yaml.safe_dump_all(those))
    (folder / "containers.conf").write_text(CONTAINERS)
    pod = Pod(file)
    try:
        pod.podman("play", "kube", "--network", "none", file)
        yield pod
    finally:
        pod.podman("pod", "rm", "--force", "--time", "5", "--ignore", f"{NAME}-0")
        pod.podman("volume", "rm", "--force", f"{NAME}-data", NAME)


@pytest.fixture(scope="module")
def pod(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:  # noqa: ARG001  they only have to be there
    """Run the sidecar's pod for all tests; the last one stops leakwatch."""
    with playing(sidecar(), tmp_path_factory.mktemp("sidecar")) as pod:
        yield pod


def test_the_pod_of_the_chart_runs(images: None, tmp_path: Path) -> None:  # noqa: ARG001  they only have to be there
    """The fleet's pod starts by the chart's options, configuration and mounts, and scrapes its targets."""
    with playing(fleet(), tmp_path) as pod:
        up = 'leakwatch_up{service="shop",target="127.0.0.1:6060"} 1.0'
        wait_for(lambda: up in pod.metrics(), show=pod.log)
        assert "leakwatch is ready" in pod.python(ASK, "http://127.0.0.1:9979/-/ready")


def test_the_sidecar_names_the_leak_of_its_pod(pod: Pod) -> None:
    """In the shipped pod leakwatch scrapes the service beside it, names its leak, and is confined."""
    up = 'leakwatch_up{service="shop",target="127.0.0.1:6060"} 1.0'
    wait_for(lambda: up in pod.metrics(), show=pod.log)
    scraped = re.compile(r'^leakwatch_scrapes_total{.*"success".*} \d{2}', re.MULTILINE)
    wait_for(lambda: scraped.search(pod.metrics()), show=pod.metrics)
    pod.python(LEAK_ON)  # after ten scrapes without a leak
    leak = re.compile(rf'leakwatch_leak_verdict{{.*function="{re.escape(LEAK)}".*verdict="leaking".*}} 1')
    wait_for(lambda: leak.search(pod.metrics()), show=pod.metrics)
    assert f'version="{__version__}"' in pod.metrics()

    for path in ("/-/healthy", "/-/ready"):
        assert "leakwatch is" in pod.python(ASK, f"http://127.0.0.1:9979{path}")
    lines = pod.python("print(open('/proc/1/status').read())").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) == {"65532"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    pod.python(WRITE, "/data")
    with pytest.raises(AssertionError, match="Read-only file system"):
        pod.python(WRITE, "/")


def test_the_service_does_not_notice_when_leakwatch_dies(pod: Pod) -> None:
    """When leakwatch dies it comes back by itself, and watches again; the service beside it runs on."""
    wait_for(lambda: "leakwatch_up{" in pod.metrics())
    service, before = pod.state("shop"), pod.state("leakwatch")
    os.kill(before["Pid"], signal.SIGKILL)  # podman would not restart the container after podman kill
    wait_for(lambda: pod.state("leakwatch")["Pid"] not in {0, before["Pid"]})
    wait_for(lambda: "leakwatch_up{" in pod.metrics())
    assert pod.state("shop")["Pid"] == service["Pid"]


def test_it_reloads_a_changed_configuration(pod: Pod) -> None:
    """A change of the mounted ConfigMap takes effect without a restart."""
    loaded = re.compile(r"leakwatch_config_last_reload_success_timestamp_seconds (\S+)")
    wait_for(lambda: loaded.search(pod.metrics()))
    before = loaded.findall(pod.metrics())
    folder = Path(pod.podman("volume", "inspect", "--format={{.Mountpoint}}", NAME).strip())
    (file,) = folder.glob("*.yml")
    file.write_text(file.read_text() + "# a comment\n")
    wait_for(lambda: loaded.findall(pod.metrics()) not in ([], before))


def test_it_ends_on_sigterm(pod: Pod) -> None:
    """After a stop, leakwatch ends without an error before a kubelet would kill it."""
    wait_for(lambda: "leakwatch_up{" in pod.metrics())
    pod.podman("stop", "--time", "300", f"{NAME}-0-leakwatch")
    state = pod.state("leakwatch")
    assert (state["Status"], state["ExitCode"]) == ("exited", 0), pod.log()
