"""The configurations in docs/kubernetes-discovery.md are valid, and have the effect that the page describes."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.kubernetes.credential_cache import EXPIRY_MARGIN, RETRY_PAUSE
from leakwatch.discovery.kubernetes.exec_plugin import MAX_OUTPUT, TIMEOUT
from leakwatch.discovery.kubernetes.kubeconfig import read_kubeconfig
from leakwatch.discovery.target_group import TargetGroup
from tests.support.api_server import Object, pod, serving
from tests.support.kubernetes_discovery import discovering
from tests.support.kubernetes_world import fill
from tests.support.running import Process, eventually
from tests.support.waiting import HANG

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes-discovery.md").read_text()
RECIPE, POD_ROLE, SLICE_ROLE, KEYS, KUBECONFIG = map(
    yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)
REPLICAS = {"kind": "ReplicaSet", "name": "web-7d4b9c6f5d"}

VISIBLE_LABELS = [
    {"source_labels": ["__address__"], "target_label": "address"},
    {"source_labels": ["__scheme__"], "target_label": "scheme"},
    {"source_labels": ["__profile_path__"], "target_label": "path"},
    {"target_label": "__address__", "replacement": "127.0.0.1:1"},
    {"target_label": "__scheme__", "replacement": "http"},
]
"""Rules that copy hidden labels into visible ones, and direct Prometheus's scrapes to a closed port."""


def annotated(name: str, ip: str, **more: Any) -> Object:
    """Return a pod with the annotation for leakwatch."""
    annotations = {"leakwatch.io/scrape": "true", **more.pop("annotations", {})}
    return pod(name, ip, annotations=annotations, **more)


def grafana(**values: str) -> dict[str, str]:
    """Return the annotations of a pod that Grafana Alloy scrapes."""
    return {f"profiles.grafana.com/goroutine.{key}": value for key, value in {"scrape": "true", **values}.items()}


PYROSCOPE = {
    "pyroscope.io/scrape": "true",
    "pyroscope.io/port": "4041",
    "pyroscope.io/profile-goroutine-path": "/p/goroutine",
}


async def first_update(config: dict[str, Any]) -> Sequence[TargetGroup]:
    """Return the target groups of the first update of discovery."""
    async with discovering(config) as discovery:
        await discovery.until(lambda: discovery.updates)
        return discovery.updates[0]


def relabeled(folder: Path, groups: Sequence[TargetGroup], rules: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the labels of the active targets of a Prometheus that relabels `groups` by `rules`."""
    (folder / "groups.json").write_text(json.dumps([group.model_dump() for group in groups]))
    files = [{"files": [str(folder / "groups.json")]}]
    job = {"job_name": "kubernetes", "file_sd_configs": files, "relabel_configs": [*rules, *VISIBLE_LABELS]}
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1h"}, "scrape_configs": [job]})
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"127.0.0.1:{server.getsockname()[1]}"
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    process = Process(["prometheus", *options, f"--web.listen-address={listen}"])

    def targets() -> list[dict[str, str]]:
        with contextlib.suppress(httpx.HTTPError):
            response = httpx.get(
                f"http://{listen}/api/v1/targets", trust_env=False, timeout=HANG
            ).raise_for_status()
            return [target["labels"] for target in response.raise_for_status().json()["data"]["activeTargets"]]
        return []

    try:
        return eventually(targets, 30)
    finally:
        process.stop()


def test_the_rules_for_annotated_pods(tmp_path: Path) -> None:
    """In Prometheus, the rules produce one target per annotated pod, with the address and labels of the page."""
    pair = [
        {"name": "web", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 7070}]},
        {"name": "logs"},
    ]
    annotations = {
        "leakwatch.io/port": "7070",
        "leakwatch.io/path": "/admin/pprof",
        "leakwatch.io/scheme": "https",
    }
    name = {"app.kubernetes.io/name": "cart"}
    job = {"kind": "Job", "name": "report-28391820"}
    with serving() as server:
        for item in (
            annotated("web-7d4b9c6f5d-x2", "10.0.0.1", containers=pair, annotations=annotations, owner=REPLICAS),
            annotated("cart-0", "10.0.0.2", labels=name, owner={"kind": "StatefulSet", "name": "cart"}),
            annotated("report-28391820-abcde", "fd00::3", namespace="pay", owner=job, containers=[{"name": "x"}]),
            annotated("agent-q7x", "10.0.0.4", owner={"kind": "DaemonSet", "name": "agent"}),
            annotated("alone", "fd00::5", node="node-2"),
            annotated("odd", "10.0.0.6", annotations={"leakwatch.io/port": "pprof", "leakwatch.io/scheme": "ftp"}),
            pod("silent", "10.0.0.7"),
            pod("no", "10.0.0.8", annotations={"leakwatch.io/scrape": "false"}),
            pod(
                "alloy-1",
                "10.0.0.12",
                annotations=grafana(port="4040", path="/admin/pprof/goroutine", scheme="https"),
            ),
            pod("alloy-2", "10.0.0.13", containers=pair, annotations=grafana(port_name="http")),
            pod("alloy-3", "10.0.0.14", containers=pair, annotations=grafana(port_name="none")),
            pod("alloy-off", "10.0.0.15", annotations={"leakwatch.io/scrape": "false", **grafana(port="1")}),
            pod("pyroscope", "10.0.0.16", annotations=PYROSCOPE),
            annotated("both", "10.0.0.17", annotations={"leakwatch.io/port": "7000", **PYROSCOPE}),
            annotated(
                "otel", "10.0.0.18", labels=name, annotations={"resource.opentelemetry.io/service.name": "x"}
            ),
            pod("metrics", "10.0.0.19", annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "9"}),
            annotated("starting", "10.0.0.9", phase="Pending"),
            annotated("done", "10.0.0.10", phase="Succeeded"),
            annotated("crashed", "10.0.0.11", phase="Failed"),
        ):
            server.apply("pods", item)
        (job_config,) = RECIPE["scrape_configs"]
        (config,) = job_config["kubernetes_sd_configs"]
        groups = asyncio.run(first_update({"api_server": server.url, **config}))
    targets = relabeled(tmp_path, groups, job_config["relabel_configs"])
    rows = {
        (
            labels["service"],
            labels["target"],
            labels["address"],
            labels["scheme"],
            labels.get("path", ""),
            labels["node"],
        )
        for labels in targets
    }
    assert rows == {
        ("shop/web", "web-7d4b9c6f5d-x2", "10.0.0.1:7070", "https", "/admin/pprof", "node-1"),
        ("shop/cart", "cart-0", "10.0.0.2:6060", "http", "", "node-1"),
        ("pay/report", "report-28391820-abcde", "[fd00::3]:6060", "http", "", "node-1"),
        ("shop/agent", "agent-q7x", "10.0.0.4:6060", "http", "", "node-1"),
        ("shop/alone", "alone", "[fd00::5]:6060", "http", "", "node-2"),
        ("shop/odd", "odd", "10.0.0.6:6060", "http", "", "node-1"),
        ("shop/alloy-1", "alloy-1", "10.0.0.12:4040", "https", "/admin/pprof", "node-1"),
        ("shop/alloy-2", "alloy-2", "10.0.0.13:8080", "http", "", "node-1"),
        ("shop/pyroscope", "pyroscope", "10.0.0.16:4041", "http", "/p", "node-1"),
        ("shop/both", "both", "10.0.0.17:7000", "http", "/p", "node-1"),
        ("shop/x", "otel", "10.0.0.18:6060", "http", "", "node-1"),
    }
    assert len(targets) == len(rows)
    for labels in targets:
        assert labels["pod"] == labels["target"]
        assert labels["service"].startswith(labels["namespace"])


def test_the_shipped_file_has_the_same_rules() -> None:
    """config/leakwatch.yml has the rules of the page."""
    shipped = yaml.safe_load((ROOT / "config" / "leakwatch.yml").read_text())["scrape_configs"][-1]
    assert shipped["relabel_configs"] == RECIPE["scrape_configs"][0]["relabel_configs"]


def permissions(role: Any) -> set[tuple[str, str]]:
    """Return the verbs and resources that a role permits."""
    return {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize(("role", "cluster_role"), [("pod", POD_ROLE), ("endpointslice", SLICE_ROLE)])
def test_the_permissions(role: str, cluster_role: Any) -> None:
    """The ClusterRole on the page has the permissions that discovery needs, and no others."""
    with serving() as server:
        fill(server)
        asyncio.run(first_update({"api_server": server.url, "role": role}))
        resources = {request.resource for request in server.requests}
    assert permissions(cluster_role) == {(verb, resource) for resource in resources for verb in ("list", "watch")}
    groups = {"endpointslices": "discovery.k8s.io"}
    for rule in cluster_role["rules"]:
        assert all(rule["apiGroups"] == [groups.get(resource, "")] for resource in rule["resources"])


def test_all_keys_are_valid() -> None:
    """The example with all keys is valid."""
    (job,) = KEYS["scrape_configs"]
    (config,) = job["kubernetes_sd_configs"]
    assert KubernetesConfig.model_validate(config).namespaces.names == ("shop", "pay")


def test_the_kubeconfig(tmp_path: Path) -> None:
    """The kubeconfig is valid, and its plugin has the keys of the page."""
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(KUBECONFIG))
    access = read_kubeconfig(path)
    assert access.plugin
    assert (access.plugin.command, access.plugin.config.args) == (
        "aws",
        ("eks", "get-token", "--cluster-name", "shop"),
    )
    assert access.plugin.config.interactive_mode == "Never"


def test_the_limits_of_plugins() -> None:
    """The page has the timeouts and limits of the code."""
    assert f"until {EXPIRY_MARGIN:g} s before `expirationTimestamp`" in PAGE
    assert f"runs for more than {TIMEOUT:g} s is killed" in PAGE
    assert f"limited to {MAX_OUTPUT >> 20} MiB" in PAGE
    assert f"after {RETRY_PAUSE:g} s at the earliest" in PAGE
