"""Kubernetes discovery next to Prometheus's own: what that finds in the same cluster was recorded.

kubernetes/record.py made the recording with the code of Prometheus 3.12 (Debian's Prometheus is built without it).
"""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from leakwatch.discovery.kubernetes.config import KubernetesConfig
from leakwatch.discovery.kubernetes.discoverer import Timing
from leakwatch.discovery.target_group import TargetGroup
from tests.support.api_server import ApiServer, serving
from tests.support.kubernetes_world import CONFIGS, REFUSED, change, fill
from tests.support.running import eventually

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[3] / "kubernetes" / "recorded.json").read_text())

Labels = dict[str, str]


def ordered(groups: Sequence[TargetGroup]) -> list[Labels]:
    """Return the labels of all targets, in an order that is always the same."""
    found = [{"__address__": address, **group.labels} for group in groups for address in group.targets]
    return sorted(found, key=lambda labels: json.dumps(labels, sort_keys=True))


def expected(name: str, when: str) -> list[Labels]:
    """Return what Prometheus found, but for what differs on purpose.

    Pods that have run to their end are no targets to us, and IPv6 addresses without a port stand in brackets.
    """
    over = ("Succeeded", "Failed")
    found: list[Labels] = RECORDED[when][name]
    kept = [dict(labels) for labels in found if labels.get("__meta_kubernetes_pod_phase") not in over]
    for labels in kept:
        if labels["__address__"] == labels.get("__meta_kubernetes_pod_ip") == "fd00::7":
            labels["__address__"] = "[fd00::7]"
    return sorted(kept, key=lambda labels: json.dumps(labels, sort_keys=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_targets_as_prometheus(name: str) -> None:
    """Every configuration finds the targets that Prometheus finds, label for label, also after changes."""
    with serving() as server:
        asyncio.run(compare(server, name))


async def compare(server: ApiServer, name: str) -> None:
    """Compare with what was recorded, before and after changes."""
    told: dict[str, Sequence[TargetGroup]] = {}
    fill(server)
    settings = KubernetesConfig.model_validate({"api_server": server.url, **CONFIGS[name]})
    task = asyncio.create_task(settings.run(partial(told.__setitem__, name), timing=Timing(debounce=0.02)))
    for when, happens in (("before", lambda _: None), ("after", change)):
        happens(server)
        wanted = expected(name, when)
        await asyncio.to_thread(eventually, lambda wanted=wanted: ordered(told.get(name, ())) == wanted, 10)
        assert ordered(told[name]) == wanted
        assert wanted
    task.cancel()


def accepts(config: dict[str, Any]) -> bool:
    """Return whether we take a configuration."""
    try:
        KubernetesConfig.model_validate(config)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", REFUSED)
def test_what_prometheus_refuses(name: str) -> None:
    """What Prometheus does not take as a configuration, we do not take either."""
    assert RECORDED["refused"][name]
    assert not accepts(REFUSED[name])


@pytest.mark.parametrize("kind", ["label", "field"])
def test_selectors_as_prometheus_reads_them(kind: str) -> None:
    """A selector is good or bad as Prometheus and the API server see it: a bad one is found before it is used."""
    selected = {
        text: accepts({"role": "pod", "api_server": "http://h", "selectors": [{"role": "pod", kind: text}]})
        for text in RECORDED[kind]
    }
    assert selected == RECORDED[kind]
