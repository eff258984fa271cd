"""Comparison with the targets that Prometheus's own discovery finds in the same cluster.

tests/kubernetes/record.py recorded them with the code of Prometheus 3.12. (Debian builds Prometheus without
Kubernetes discovery.)
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.target_group import TargetGroup
from tests.support.api_server import ApiServer, serving
from tests.support.kubernetes_discovery import discovering
from tests.support.kubernetes_world import CONFIGS, REFUSED, change, fill

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[3] / "kubernetes" / "recorded.json").read_text())

Labels = dict[str, str]


def ordered(groups: Sequence[TargetGroup]) -> list[Labels]:
    """Return the labels of all targets in a fixed order."""
    targets = [{"__address__": address, **group.labels} for group in groups for address in group.targets]
    return sorted(targets, key=lambda labels: json.dumps(labels, sort_keys=True))


def expected(name: str, time: str) -> list[Labels]:
    """Return the targets of Prometheus with leakwatch's two differences.

    Completed pods are not targets, and IPv6 addresses without a port are in brackets.
    """
    recorded: list[Labels] = RECORDED[time][name]
    completed = ("Succeeded", "Failed")
    targets = [dict(labels) for labels in recorded if labels.get("__meta_kubernetes_pod_phase") not in completed]
    for labels in targets:
        if labels["__address__"] == labels.get("__meta_kubernetes_pod_ip") == "fd00::7":
            labels["__address__"] = "[fd00::7]"
    return sorted(targets, key=lambda labels: json.dumps(labels, sort_keys=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_targets_equal_those_of_prometheus(name: str) -> None:
    """Every configuration gives the targets that Prometheus finds, label by label, also after changes."""

    async def run(server: ApiServer) -> None:
        fill(server)
        async with discovering({"api_server": server.url, **CONFIGS[name]}) as discovery:
            for time in ("before", "after"):
                if time == "after":
                    change(server)
                targets = expected(name, time)
                with contextlib.suppress(TimeoutError):
                    await discovery.until(lambda: discovery.updates and ordered(discovery.updates[-1]) == targets)  # noqa: B023  awaited here
                assert ordered(discovery.updates[-1]) == targets
                assert targets

    with serving() as server:
        asyncio.run(run(server))


def accepts(config: dict[str, Any]) -> bool:
    """Return whether leakwatch accepts a configuration."""
    try:
        KubernetesConfig.model_validate(config)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", REFUSED)
def test_rejects_what_prometheus_rejects(name: str) -> None:
    """The configurations that Prometheus rejects are invalid."""
    assert RECORDED["refused"][name]
    assert not accepts(REFUSED[name])


@pytest.mark.parametrize("kind", ["label", "field"])
def test_selectors_equal_those_of_prometheus(kind: str) -> None:
    """The selectors that Prometheus and the API server accept are valid, all others are not."""
    accepted = {
        text: accepts({"role": "pod", "api_server": "http://h", "selectors": [{"role": "pod", kind: text}]})
        for text in RECORDED[kind]
    }
    assert accepted == RECORDED[kind]
