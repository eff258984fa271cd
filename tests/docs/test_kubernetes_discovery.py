"""What docs/kubernetes-discovery.md shows is good, and does what the page says of it."""

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
from leakwatch.discovery.target_group import TargetGroup
from tests.support.api_server import ApiServer, Object, pod, serving
from tests.support.kubernetes_world import fill
from tests.support.running import Process, eventually

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes-discovery.md").read_text()
RECIPE, POD_ROLE, SLICE_ROLE, KEYS = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
REPLICAS = {"kind": "ReplicaSet", "name": "web-7d4b9c6f5d"}

SEEN = [
    {"source_labels": ["__address__"], "target_label": "address"},
    {"source_labels": ["__scheme__"], "target_label": "scheme"},
    {"source_labels": ["__profile_path__"], "target_label": "path"},
    {"target_label": "__address__", "replacement": "127.0.0.1:1"},
    {"target_label": "__scheme__", "replacement": "http"},
]
"""Rules that show what Prometheus keeps to itself, and let it ask nobody else."""


def annotated(name: str, ip: str, **more: Any) -> Object:
    """Return a pod that wants to be watched."""
    annotations = {"leakwatch.io/scrape": "true", **more.pop("annotations", {})}
    return pod(name, ip, annotations=annotations, **more)


async def first(config: dict[str, Any]) -> Sequence[TargetGroup]:
    """Return what a configuration tells first."""
    told: asyncio.Future[Sequence[TargetGroup]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(KubernetesConfig.model_validate(config).run(told.set_result))
    try:
        return await asyncio.wait_for(told, 20)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def relabeled(folder: Path, groups: Sequence[TargetGroup], rules: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the labels that a real Prometheus makes of `groups` by `rules`."""
    (folder / "groups.json").write_text(json.dumps([group.model_dump() for group in groups]))
    files = [{"files": [str(folder / "groups.json")]}]
    job = {"job_name": "kubernetes", "file_sd_configs": files, "relabel_configs": [*rules, *SEEN]}
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1h"}, "scrape_configs": [job]})
    )
    with socket.create_server(("127.0.0.1", 0)) as found:
        listen = f"127.0.0.1:{found.getsockname()[1]}"
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    process = Process(["prometheus", *options, f"--web.listen-address={listen}"])

    def targets() -> list[dict[str, str]]:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"http://{listen}/api/v1/targets", trust_env=False).raise_for_status().json()
            return [one["labels"] for one in answer["data"]["activeTargets"]]
        return []

    try:
        return eventually(targets, 30)
    finally:
        process.stop()


def test_the_recipe_makes_a_target_of_each_annotated_pod(tmp_path: Path) -> None:
    """As Prometheus reads the rules: one target per annotated pod, at its port, named as the page says."""
    many = [
        {"name": "web", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 7070}]},
        {"name": "logs"},
    ]
    said = {"leakwatch.io/port": "7070", "leakwatch.io/path": "/admin/pprof", "leakwatch.io/scheme": "https"}
    name = {"app.kubernetes.io/name": "cart"}
    job = {"kind": "Job", "name": "report-28391820"}
    with serving() as server:
        for one in (
            annotated("web-7d4b9c6f5d-x2", "10.0.0.1", containers=many, annotations=said, owner=REPLICAS),
            annotated("cart-0", "10.0.0.2", labels=name, owner={"kind": "StatefulSet", "name": "cart"}),
            annotated("report-28391820-abcde", "fd00::3", namespace="pay", owner=job, containers=[{"name": "x"}]),
            annotated("agent-q7x", "10.0.0.4", owner={"kind": "DaemonSet", "name": "agent"}),
            annotated("alone", "fd00::5", node="node-2"),
            annotated("odd", "10.0.0.6", annotations={"leakwatch.io/port": "pprof", "leakwatch.io/scheme": "ftp"}),
            pod("silent", "10.0.0.7"),
            pod("no", "10.0.0.8", annotations={"leakwatch.io/scrape": "false"}),
            annotated("done", "10.0.0.9", phase="Succeeded"),
        ):
            server.apply("pods", one)
        (job_config,) = RECIPE["scrape_configs"]
        (config,) = job_config["kubernetes_sd_configs"]
        groups = asyncio.run(first({"api_server": server.url, **config}))
    targets = relabeled(tmp_path, groups, job_config["relabel_configs"])
    made = {
        (one["service"], one["target"], one["address"], one["scheme"], one.get("path", ""), one["node"])
        for one in targets
    }
    assert made == {
        ("shop/web", "web-7d4b9c6f5d-x2", "10.0.0.1:7070", "https", "/admin/pprof", "node-1"),
        ("shop/cart", "cart-0", "10.0.0.2:6060", "http", "", "node-1"),
        ("pay/report", "report-28391820-abcde", "[fd00::3]:6060", "http", "", "node-1"),
        ("shop/agent", "agent-q7x", "10.0.0.4:6060", "http", "", "node-1"),
        ("shop/alone", "alone", "[fd00::5]:6060", "http", "", "node-2"),
        ("shop/odd", "odd", "10.0.0.6:6060", "http", "", "node-1"),
    }
    assert len(targets) == len(made)
    assert all(one["pod"] == one["target"] and one["service"].startswith(one["namespace"]) for one in targets)


def test_the_shipped_file_has_the_same_recipe() -> None:
    """config/leakwatch.yml shows the rules of the page."""
    shipped = yaml.safe_load((ROOT / "config" / "leakwatch.yml").read_text())["scrape_configs"][-1]
    assert shipped["relabel_configs"] == RECIPE["scrape_configs"][0]["relabel_configs"]


def allowed(role: Any) -> set[tuple[str, str]]:
    """Return the verbs and resources that a role allows."""
    return {(verb, what) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize(("role", "written"), [("pod", POD_ROLE), ("endpointslice", SLICE_ROLE)])
def test_the_rights_are_those_that_are_used(role: str, written: Any) -> None:
    """Each right on the page is used, and no other is."""

    async def run(server: ApiServer) -> None:
        await first({"api_server": server.url, "role": role})

    with serving() as server:
        fill(server)
        asyncio.run(run(server))
        wanted = {asked.resource for asked in server.asked}
        used = {(verb, resource) for resource in wanted for verb in ("list", "watch")}
        assert {(asked.verb, asked.resource) for asked in server.asked if asked.verb == "list"} <= used
    assert allowed(written) == used
    groups = {"endpointslices": "discovery.k8s.io"}
    assert all(
        [groups.get(what, "")] == rule["apiGroups"] for rule in written["rules"] for what in rule["resources"]
    )


def test_all_keys_are_good() -> None:
    """The example of all keys is taken as it stands."""
    (job,) = KEYS["scrape_configs"]
    (config,) = job["kubernetes_sd_configs"]
    assert KubernetesConfig.model_validate(config).namespaces.names == ("shop", "pay")
