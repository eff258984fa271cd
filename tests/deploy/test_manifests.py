"""The Kubernetes manifests and the Helm chart are valid, need few permissions, and match leakwatch and docs."""

import json
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from itertools import chain
from pathlib import Path
from textwrap import indent
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml

from leakwatch import __version__
from leakwatch.cli.main import app
from leakwatch.config import Config, Overrides, load
from leakwatch.discovery.relabel import RelabelConfig, relabel, rules
from leakwatch.settings.units import parse_size
from tests.support.manifests import (
    CHART,
    FLEET,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    VALUES,
    Document,
    config_text,
    configuration,
    containers,
    documents,
    first,
    kustomized,
    leakwatches,
    of_all_shards,
    pods,
    rendered,
    resources,
    selects,
    validate,
)

SIDECARS = sorted((KUBERNETES / "sidecar").glob("*.yaml"))
FOLDERS = ["base", *OVERLAYS]
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "leakwatch.rules.yml").read_text())
RECORDING = yaml.safe_load((ROOT / "deploy" / "prometheus" / "leakwatch.recording.yml").read_text())
DASHBOARDS = {file.name: file.read_text() for file in (ROOT / "deploy" / "grafana").glob("*.json")}

ACCEPTED = {
    "CKV_K8S_11": "a CPU limit would throttle leakwatch and delay its scrapes",
    "CKV_K8S_15": "tags are versions and do not move; with Always, each start would depend on the registry",
    "CKV_K8S_21": "the sidecar example has no namespace, so kubectl applies it to the namespace of the service",
    "CKV_K8S_38": "discovery requests the API server, so the fleet needs a token; no other pod has one",
    "CKV_K8S_43": "there is no digest before an image is published; the chart has image.digest",
    "CKV_K8S_8": "the pod of helm test sends one request and ends",
    "CKV_K8S_9": "a sidecar that is not ready would make the pod of the service unready",
    "CKV_K8S_35": "only the values that test ${VARIABLE} in a configuration; files work too",
    "CKV2_K8S_6": "a pod with a sidecar needs the policy of its service; the pod of helm test sends one request",
}
"""Checks of checkov that fail, with the reasons."""

PLACES = {
    "CKV_K8S_8": ["/chart-"],
    "CKV_K8S_9": ["/chart-", "/sidecar-classic"],
    "CKV_K8S_21": ["/sidecar-"],
    "CKV_K8S_35": ["/chart-everything"],
    "CKV_K8S_38": ["/fleet-", "/chart-"],
    "CKV2_K8S_6": ["/sidecar-", "Pod.monitoring.leaks-test", "Pod.monitoring.leakwatch-test"],
}
"""The only manifests in which a check fails, for checks that do not fail in all of them."""


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the compiled programs of tests/deploy, `kustomize` and `crds`."""
    folder = tmp_path_factory.mktemp("kubernetes")
    subprocess.run(["go", "build", "-o", f"{folder}/", "./..."], check=True, cwd=ROOT / "tests" / "deploy")
    return folder


@pytest.fixture(scope="session")
def everything(tools: Path) -> dict[str, list[Document]]:
    """Return name -> resources of all sidecars, fleets and components, and of the chart with each of VALUES."""
    by_name = {f"sidecar/{path.name}": documents(path.read_text()) for path in SIDECARS}
    by_name |= {f"fleet/{folder}": kustomized(tools, folder) for folder in FOLDERS}
    by_name |= {
        f"fleet/{path.parent.name}": documents(path.read_text())
        for path in FLEET.glob("components/*/*.yaml")
        if path.name.endswith(("monitor.yaml", "rule.yaml"))
    }
    return by_name | {f"chart/{name}": resources(values) for name, values in VALUES.items()}


def snippets() -> list[tuple[str, str]]:
    """Return language and text of each fenced block of docs/kubernetes.md."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def fleets(everything: dict[str, list[Document]]) -> dict[str, list[Document]]:
    """Return the entries of `everything` with a StatefulSet."""
    return {
        name: manifests
        for name, manifests in everything.items()
        if any(manifest["kind"] == "StatefulSet" for manifest in manifests)
    }


def test_every_manifest_is_valid(everything: dict[str, list[Document]], tools: Path) -> None:
    """The schemas of Kubernetes 1.29 and of the Prometheus Operator have all kinds and keys."""
    wrong = []
    for name, manifests in everything.items():
        for document in manifests:
            try:
                validate(document, tools)
            except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                wrong.append(f"{name}: {document['kind']}: {list(getattr(error, 'path', ()))} {error.message}")
    assert wrong == []
    assert len(everything) == len(SIDECARS) + len(FOLDERS) + 3 + len(VALUES)


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("sidecar/native.yaml", ["spec", "template", "spec", "initContainers", 0], "restartpolicy"),
        ("sidecar/podmonitor.yaml", ["spec", "podMetricsEndpoints", 0], "honorlabels"),
        ("fleet/prometheus-rule", ["spec", "groups", 0, "rules", 0], "keepFiringFor"),
    ],
)
def test_a_misspelled_key_is_invalid(
    everything: dict[str, list[Document]], tools: Path, name: str, path: list[str | int], key: str
) -> None:
    """The schemas reject an unknown key, which the API server would silently drop."""
    document = deepcopy(everything[name][0])
    part: Any = document
    for step in path:
        part = part[step]
    part[key] = "Always"
    with pytest.raises(jsonschema.ValidationError, match=key):
        validate(document, tools)


def test_both_sidecars_are_the_same_container(everything: dict[str, list[Document]]) -> None:
    """The native sidecar is the classic container, but in initContainers and with a restartPolicy."""
    native, classic = (deepcopy(everything[f"sidecar/{form}.yaml"][0]) for form in ("native", "classic"))
    (leakwatch,) = native["spec"]["template"]["spec"].pop("initContainers")
    assert leakwatch.pop("restartPolicy") == "Always"
    native["spec"]["template"]["spec"]["containers"].append(leakwatch)
    assert native == classic


def test_the_chart_renders_the_shipped_sidecar(
    tmp_path: Path, tools: Path, everything: dict[str, list[Document]]
) -> None:
    """A chart that includes the snippet of the docs has the shipped sidecar and its volume."""
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "leakwatch").symlink_to(CHART)
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(
        "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
        "dependencies: [{name: leakwatch, version: 0.1.0, repository: 'file://../leakwatch'}]\n"
    )
    (tmp_path / "values.yaml").write_text("leakwatch: {mode: sidecar}\n")
    (block,) = (text for language, text in snippets() if not language)
    (tmp_path / "templates" / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: shop\n  labels:\n"
        '    {{- include "leakwatch.sidecar.labels" .Subcharts.leakwatch | nindent 4 }}\n'
        f"spec:\n  containers: [{{name: shop, image: shop}}]\n{indent(block, '  ')}"
    )
    (pod,) = resources({}, tmp_path)
    validate(pod, tools)
    sidecar = pod["spec"]["initContainers"][0]
    shipped = everything["sidecar/native.yaml"][0]["spec"]["template"]["spec"]
    expected = shipped["initContainers"][0]
    assert words(sidecar["args"]) == words(expected["args"])
    assert {**sidecar, "args": None} == {**expected, "args": None}
    assert pod["spec"]["volumes"] == shipped["volumes"]
    (classic,) = resources({"leakwatch": {"sidecar": {"native": False, "service": "till"}}}, tmp_path)
    assert "restartPolicy" not in classic["spec"]["initContainers"][0]
    assert {"name": "SERVICE", "value": "till"} in classic["spec"]["initContainers"][0]["env"]


def words(arguments: list[str]) -> list[str]:
    """Return the arguments with `--option=value` split into option and value."""
    return list(chain.from_iterable(a.split("=", 1) if a.startswith("--") else [a] for a in arguments))


def test_the_chart_renders_the_shipped_fleet(everything: dict[str, list[Document]]) -> None:
    """The default pods of the chart equal those of the kustomize base, except for `SHARDS` and the log level."""
    base, chart = (
        deepcopy(first(everything[name], "StatefulSet")["spec"]) for name in ("fleet/base", "chart/default")
    )
    assert [base[key] for key in ("replicas", "podManagementPolicy")] == [1, "Parallel"]
    assert [chart[key] for key in ("replicas", "podManagementPolicy")] == [1, "Parallel"]
    base_pod, chart_pod = base["template"]["spec"], chart["template"]["spec"]
    for key in ("securityContext", "automountServiceAccountToken", "terminationGracePeriodSeconds"):
        assert base_pod[key] == chart_pod[key]
    (base_container,), (chart_container,) = base_pod["containers"], chart_pod["containers"]
    *arguments, _log_level = chart_container.pop("args")
    assert [word.replace("$(SHARDS)", "1") for word in base_container.pop("args")] == arguments
    assert base_container.pop("env") == [{"name": "SHARDS", "value": "1"}]
    assert base_container == chart_container
    (base_claim,), (chart_claim,) = base["volumeClaimTemplates"], chart["volumeClaimTemplates"]
    assert base_claim["spec"] == chart_claim["spec"]


def test_state_and_evidence_fit_on_their_volume(everything: dict[str, list[Document]]) -> None:
    """The volume at /data is larger than the limits of the configuration, by at least 64 MiB for files of SQLite.

    A sidecar has the state of one service, which is small.
    """
    limits = Config()
    checked = 0
    for name, manifests in everything.items():
        for document in manifests:
            for pod in pods([document]):
                if name == "chart/static" or not leakwatches([document]):
                    continue
                is_sidecar = name.startswith("sidecar/")
                state = 0 if is_sidecar else limits.storage.size_limit
                mounts = leakwatches([document])[0]["volumeMounts"]
                (volume,) = (mount["name"] for mount in mounts if mount["mountPath"] == "/data")
                size = parse_size(size_of_volume(document, pod, volume))
                assert size >= state + limits.evidence.size_limit + (64 << 20), name
                checked += 1
    assert checked > 8


def size_of_volume(document: Document, pod: Document, name: str) -> str:
    """Return the size of a volume: of its claim, or of its emptyDir."""
    for claim in document["spec"].get("volumeClaimTemplates", ()):
        if claim["metadata"]["name"] == name:
            return str(claim["spec"]["resources"]["requests"]["storage"])
    (volume,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == name)
    return str(volume["emptyDir"]["sizeLimit"])


def test_the_volumes_of_the_chart(everything: dict[str, list[Document]]) -> None:
    """`persistence` describes a claim per pod, or the limit of an emptyDir."""
    (claim,) = first(everything["chart/everything"], "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["annotations"] == {"example.com/backup": "no"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "10Gi"}},
    }
    without = first(everything["chart/static"], "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in without
    assert {"name": "data", "emptyDir": {"sizeLimit": "512Mi"}} in without["template"]["spec"]["volumes"]


def test_a_sidecar_does_not_delay_its_service(everything: dict[str, list[Document]]) -> None:
    """Sidecars have only a liveness probe, which tolerates failures for a minute."""
    for form in ("native", "classic"):
        (leakwatch,) = leakwatches(everything[f"sidecar/{form}.yaml"])
        assert {"readinessProbe", "startupProbe"} & leakwatch.keys() == set()
        assert leakwatch["livenessProbe"]["failureThreshold"] * leakwatch["livenessProbe"]["periodSeconds"] >= 60


def test_every_pod_is_restricted(everything: dict[str, list[Document]]) -> None:
    """Each pod satisfies the Pod Security Standard "restricted", and has requests and a memory limit."""
    checked = 0
    for name, manifests in everything.items():
        for pod in pods(manifests):
            security = pod["spec"]["securityContext"]
            assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 65532), name
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
            for container in containers(pod):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "capabilities": {"drop": ["ALL"]},
                }, (name, container["name"])
                required = container["resources"]
                assert {"cpu", "memory"} == required["requests"].keys(), name
                assert required["limits"].keys() == {"memory"}, name
                checked += 1
            for volume in pod["spec"].get("volumes", ()):
                assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], name
                assert "hostPath" not in volume, name
    assert checked > 15


def test_only_the_fleet_gets_a_token(everything: dict[str, list[Document]]) -> None:
    """Pods with Kubernetes discovery mount a token of the API server, and no other pods do."""
    for name, manifests in everything.items():
        for pod in pods(manifests):
            has_config = any("--config=/etc/leakwatch/leakwatch.yml" in c.get("args", ()) for c in containers(pod))
            has_token = pod["spec"]["automountServiceAccountToken"]
            assert has_token is (has_config and "kubernetes_sd_configs" in config_text(manifests)), name


def test_roles_only_permit_reading_pods(everything: dict[str, list[Document]]) -> None:
    """Roles permit only to list and watch pods, and only in the configured namespaces."""
    scopes = {}
    for name, manifests in everything.items():
        roles = [document for document in manifests if document["kind"] in {"Role", "ClusterRole"}]
        for role in roles:
            assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
        for binding in manifests:
            if binding["kind"].endswith("Binding"):
                (subject,) = binding["subjects"]
                assert binding["roleRef"]["name"] in {role["metadata"]["name"] for role in roles}
                account = first(manifests, "ServiceAccount")["metadata"]
                assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
        scopes[name] = sorted((role["kind"], role["metadata"].get("namespace")) for role in roles)
    assert scopes["fleet/base"] == [("ClusterRole", None)]
    assert scopes["fleet/overlays/namespace-only"] == [("Role", "shop")]
    assert scopes["chart/default"] == [("ClusterRole", None)]
    assert scopes["chart/namespaces"] == [("Role", "cart"), ("Role", "shop")]
    assert scopes["chart/static"] == scopes["chart/sidecars"] == []


def test_discovery_requests_the_permitted_namespaces(everything: dict[str, list[Document]]) -> None:
    """If roles are limited to namespaces, discovery requests only these namespaces."""
    requested = {
        name: [
            sd for job in configuration(manifests)["scrape_configs"] for sd in job.get("kubernetes_sd_configs", ())
        ]
        for name, manifests in fleets(everything).items()
    }
    assert requested["fleet/base"] == requested["chart/default"] == [{"role": "pod"}]
    assert requested["fleet/overlays/namespace-only"] == [{"role": "pod", "namespaces": {"own_namespace": True}}]
    assert requested["chart/namespaces"] == [{"role": "pod", "namespaces": {"names": ["shop", "cart"]}}]
    assert requested["chart/static"] == []


def test_the_number_of_shards_is_the_number_of_pods(everything: dict[str, list[Document]]) -> None:
    """`--shard` has the number of replicas; otherwise some services would be scraped twice or not at all."""
    counts = {}
    for name, manifests in fleets(everything).items():
        leakwatch = leakwatches([first(manifests, "StatefulSet")])[0]
        environment = {variable["name"]: variable.get("value") for variable in leakwatch.get("env", ())}
        (shard,) = (word for word in leakwatch["args"] if word.startswith("--shard=auto/"))
        shards = shard.removeprefix("--shard=auto/").replace("$(SHARDS)", environment.get("SHARDS") or "")
        counts[name] = first(manifests, "StatefulSet")["spec"]["replicas"]
        assert int(shards) == counts[name], name
    assert (counts["fleet/base"], counts["fleet/overlays/three-shards"], counts["chart/shards"]) == (1, 3, 3)


def test_selectors_select(everything: dict[str, list[Document]]) -> None:
    """Services, monitors, disruption budgets and network policies select the pods, and monitors existing ports."""
    for name, manifests in fleets(everything).items():
        template = first(manifests, "StatefulSet")["spec"]["template"]
        labels = template["metadata"]["labels"]
        ports = {port["name"] for container in containers(template) for port in container["ports"]}
        service = first(of_all_shards(manifests), "Service")
        assert first(manifests, "StatefulSet")["spec"]["serviceName"] == service["metadata"]["name"], name
        kinds = set()
        for document in of_all_shards(manifests):
            spec = document.get("spec", {})
            kind = document["kind"]
            if kind in {"Service", "StatefulSet", "PodDisruptionBudget", "PodMonitor"}:
                assert selects(spec["selector"], labels), (name, kind)
            elif kind == "NetworkPolicy":
                assert selects(spec["podSelector"], labels), name
            elif kind == "ServiceMonitor":
                assert selects(spec["selector"], service["metadata"]["labels"]), name
            elif kind == "Pod":  # the pod of helm test, which is not a shard but has access
                assert not selects(service["spec"]["selector"], document["metadata"]["labels"])
                (rule,) = first(manifests, "NetworkPolicy")["spec"]["ingress"]
                assert any(
                    selects(peer["podSelector"], document["metadata"]["labels"])
                    for peer in rule["from"]
                    if "namespaceSelector" not in peer
                ), name
            kinds.add(kind)
            for endpoint in [*spec.get("podMetricsEndpoints", ()), *spec.get("endpoints", ())]:
                assert endpoint["port"] in ports
                assert endpoint["honorLabels"] is True
        assert {"Service", "PodDisruptionBudget", "NetworkPolicy"} <= kinds, name
    for form in ("native", "classic"):
        template = everything[f"sidecar/{form}.yaml"][0]["spec"]["template"]
        for monitor in (
            everything["sidecar/podmonitor.yaml"][0],
            first(everything["chart/sidecars"], "PodMonitor"),
        ):
            assert selects(monitor["spec"]["selector"], template["metadata"]["labels"])
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            assert endpoint["port"] in {port["name"] for c in containers(template) for port in c["ports"]}


def is_profiles(rule: Document) -> bool:
    """Return whether an egress rule permits profiles: it selects pods, but not those of DNS."""
    dns = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    peers = rule.get("to", ())
    return dns not in peers and any("ipBlock" not in peer for peer in peers)


def test_the_network_policy_permits_the_required_traffic(everything: dict[str, list[Document]]) -> None:
    """The fleet can reach DNS, the API server and all ports of pods, and Prometheus can reach the fleet."""
    for name, manifests in fleets(everything).items():
        policy = first(manifests, "NetworkPolicy")["spec"]
        egress = {port["port"] for rule in policy["egress"] for port in rule.get("ports", ())}
        api_server = {443} if configuration(manifests)["scrape_configs"][0]["job_name"] == "pods" else set()
        assert {53} | api_server <= egress, name
        ports = [rule.get("ports") for rule in policy["egress"] if is_profiles(rule)]
        restricted = [[{"port": 6060, "protocol": "TCP"}, {"port": 8080, "protocol": "TCP"}]]
        assert ports == (restricted if name == "chart/everything" else [None]), name
        assert all(port["port"] == 9979 for rule in policy["ingress"] for port in rule["ports"]), name
        peers = [peer for rule in policy["ingress"] for peer in rule["from"] if "namespaceSelector" in peer]
        prometheus = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
        }
        nginx = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
        assert peers == ([prometheus, nginx] if name == "chart/pages" else [prometheus]), name


def test_probes_do_not_need_a_password(everything: dict[str, list[Document]]) -> None:
    """Probes request health and readiness. With a web configuration they only connect, without a password."""
    for name, manifests in fleets(everything).items():
        leakwatch = leakwatches([first(manifests, "StatefulSet")])[0]
        secured = any(word.startswith("--web.config.file=") for word in leakwatch["args"])
        assert secured is (name in {"fleet/overlays/web-config", "chart/secured"})
        for probe, path in (("startup", "healthy"), ("liveness", "healthy"), ("readiness", "ready")):
            settings = leakwatch[f"{probe}Probe"]
            assert ("tcpSocket" in settings, "httpGet" in settings) == (secured, not secured), name
            assert secured or settings["httpGet"]["path"] == f"/-/{path}"
        if secured:
            folders = {mount["mountPath"] for mount in leakwatch["volumeMounts"]}
            assert "/etc/leakwatch-web" in folders
            assert (
                "prometheus.io/scrape"
                not in first(manifests, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
            )


def test_the_monitor_of_a_secured_chart(everything: dict[str, list[Document]]) -> None:
    """The ServiceMonitor has the scheme, prefix and credentials of the web configuration."""
    (endpoint,) = first(everything["chart/secured"], "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["path"]) == ("https", "/leakwatch/metrics")
    assert endpoint["basicAuth"]["username"]["key"] == "username"


def test_the_dashboards_are_a_config_map(tools: Path) -> None:
    """deploy/grafana is a ConfigMap of the dashboards, with the label that the sidecar of Grafana selects."""
    (config_map,) = kustomized(tools, str(ROOT / "deploy" / "grafana"))
    assert config_map["kind"] == "ConfigMap"
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["data"] == DASHBOARDS
    assert sum(map(len, config_map["data"].values())) < 900_000  # a ConfigMap is limited to 1 MiB


def test_copies_are_up_to_date(everything: dict[str, list[Document]]) -> None:
    """All copies of rules and configuration equal their source; .ci/copies.sh updates them."""
    source = ROOT / "deploy" / "prometheus" / "leakwatch.rules.yml"
    assert (CHART / "files" / source.name).read_text() == source.read_text()
    assert {file.name: file.read_text() for file in (CHART / "files" / "dashboards").iterdir()} == DASHBOARDS
    assert (CHART / "files" / "leakwatch.yml").read_text() == (FLEET / "base" / "leakwatch.yml").read_text()
    copies = [
        manifest
        for manifests in everything.values()
        for manifest in manifests
        if manifest["kind"] == "PrometheusRule"
    ]
    recording = [rule for rule in copies if rule["metadata"]["name"].endswith("-recording")]
    assert [rule["spec"] for rule in recording] == [RECORDING]
    assert [rule["spec"] for rule in copies if rule not in recording] == [RULES] * 6
    base = configuration(everything["fleet/base"])
    assert configuration(everything["chart/default"]) == base
    namespace_only = configuration(everything["fleet/overlays/namespace-only"])
    del namespace_only["scrape_configs"][0]["kubernetes_sd_configs"][0]["namespaces"]
    assert namespace_only == base


def test_replicas_with_sidecars_have_different_series(everything: dict[str, list[Document]]) -> None:
    """The label target gets the name of the pod, because all sidecars scrape the same loopback address."""
    for name in ("sidecar/podmonitor.yaml", "chart/sidecars"):
        (endpoint,) = first(everything[name], "PodMonitor")["spec"]["podMetricsEndpoints"]
        (rule,) = endpoint["metricRelabelings"]
        config = {re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", key): rule[key] for key in rule}
        series = {"pod": "shop-1", "target": "127.0.0.1:6060"}
        relabeled = relabel(series, rules([RelabelConfig.model_validate(config)]))
        assert relabeled == {"pod": "shop-1", "target": "shop-1:6060"}


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://prometheus.monitoring:9090/p", 9090),
        ("https://mimir.example.com/prometheus", 443),
        ("http://a", 80),
    ],
)
def test_the_network_policy_permits_the_backfill(url: str, port: int) -> None:
    """The egress rules have the port of `warmFrom`."""
    policy = first(resources({"warmFrom": url, "networkPolicy": {"enabled": True}}), "NetworkPolicy")
    assert port in [entry["port"] for rule in policy["spec"]["egress"] for entry in rule.get("ports", ())]


def test_the_versions_are_current(everything: dict[str, list[Document]]) -> None:
    """The images and the chart have the version of leakwatch."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    images = {c["image"] for manifests in everything.values() for c in leakwatches(manifests)}
    assert images == {f"leakwatch:{__version__}", "registry.example.com/leakwatch@sha256:" + "0" * 64}


def test_options_exist(everything: dict[str, list[Document]]) -> None:
    """`leakwatch run` has every option of the manifests."""
    command = typer.main.get_command(app)
    assert hasattr(command, "commands")
    options = {option for parameter in command.commands["run"].params for option in parameter.opts}
    used = set()
    for manifests in everything.values():
        for container in leakwatches(manifests):
            assert container["args"][0] == "run"
            used |= {word for word in words(container["args"]) if word.startswith("--")}
    assert {"--target", "--config", "--listen", "--shard", "--warm-from", "--web.config.file"} <= used
    assert used - options == set()


def test_configurations_are_accepted(everything: dict[str, list[Document]], tmp_path: Path) -> None:
    """`leakwatch check-config` accepts the leakwatch.yml of every ConfigMap."""
    file = tmp_path / "leakwatch.yml"
    texts = set(map(config_text, fleets(everything).values()))
    assert len(texts) >= 5
    for text in texts:
        file.write_text(text)
        command = [sys.executable, "-m", "leakwatch", "check-config", str(file)]
        secrets = os.environ | {"TOKEN": "the value of extraEnv"}
        completed = subprocess.run(command, check=False, capture_output=True, text=True, env=secrets)
        assert completed.returncode == 0, completed.stderr


def test_checkov_only_reports_accepted_checks(everything: dict[str, list[Document]], tmp_path: Path) -> None:
    """Checkov reports exactly the accepted checks, and some of them only in some manifests."""
    for name, manifests in everything.items():
        file = tmp_path / f"{name.replace('/', '-').removesuffix('.yaml')}.yaml"
        file.write_text(yaml.safe_dump_all(manifests))
    checkov = ROOT / ".venv" / "checkov" / "bin" / "checkov"
    if not checkov.exists():
        pytest.fail("checkov is missing: run `make setup`")
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "--output", "json"]
    completed = subprocess.run([checkov, "-d", tmp_path, *options], check=False, capture_output=True, text=True)
    report = json.loads(completed.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 1000
    failed: dict[str, list[str]] = {}
    for check in report["results"]["failed_checks"]:
        failed.setdefault(check["check_id"], []).append(
            f"{check['check_name']}: {check['file_path']} {check['resource']}"
        )
    assert {check: places for check, places in failed.items() if check not in ACCEPTED} == {}
    assert failed.keys() == ACCEPTED.keys()
    for check, places in PLACES.items():
        assert all(any(part in place for part in places) for place in failed[check]), (check, failed[check])


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_lints(name: str) -> None:
    """`helm lint --strict` reports nothing except the missing icon, for each set of VALUES."""
    report = helm_python.lint(CHART, VALUES[name], strict=True, namespace="monitoring", kube_version="v1.29.0")
    messages = [message for message in report["messages"] if message["error"] != "icon is recommended"]
    assert (messages, report["errors"]) == ([], [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "daemonset"}, "'/mode': value must be one of 'fleet', 'sidecar'"),
        ({"shards": 0}, "'/shards': minimum: got 0, want 1"),
        ({"shard": 3}, "additional properties 'shard' not allowed"),
        ({"image": {"digest": "sha256:abc"}}, "'/image/digest'"),
        ({"warmFrom": "prometheus:9090"}, "'/warmFrom'"),
        ({"persistence": {"size": "large"}}, "'/persistence/size'"),
        ({"persistence": {"accessModes": ["ReadOnlyMany"]}}, "'/persistence/accessModes/0'"),
        ({"web": {"routePrefix": "leakwatch/"}}, "'/web/routePrefix'"),
        ({"web": {"allowedHosts": ["https://lw.example.com"]}}, "'/web/allowedHosts/0'"),
        ({"networkPolicy": {"pprofPorts": ["pprof"]}}, "'/networkPolicy/pprofPorts/0': got string, want integer"),
        ({"config": {"web": {"listen": ":80"}}}, "config.web: use the values web.externalUrl"),
        ({"config": {"owner": {"example.com/": "team"}}}, "'/config': additional properties 'owner' not allowed"),
        ({"config": {"detection": {"block": "5"}}}, "'/config/detection/block': '5' does not match pattern"),
        ({"config": {"storage": {"size_limit": "1 gigabyte"}}}, "'/config/storage/size_limit'"),
        ({"config": {"warm_from": {"uri": "http://a"}}}, "additional properties 'uri' not allowed"),
        ({"scrapeConfigs": [{"job_name": "shop", "static_config": []}]}, "additional properties 'static_config'"),
        ({"scrapeConfigs": [{"static_configs": []}]}, "'/scrapeConfigs/0': missing property 'job_name'"),
        ({"podMonitor": {"interval": "30"}}, "'/podMonitor/interval'"),
        ({"discovery": {"namespaces": ["Shop"]}}, "'/discovery/namespaces/0'"),
        (
            {"discovery": {"enabled": False}},
            "nothing to watch: discovery.enabled is false and scrapeConfigs is empty",
        ),
        ({"config": {"scrape_configs": []}}, "config.scrape_configs: write jobs in scrapeConfigs"),
        (
            {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}},
            "both would scrape leakwatch twice",
        ),
        ({"mode": "sidecar", "serviceMonitor": {"enabled": True}}, "sidecars have no Service"),
        ({"ingress": {"enabled": True}}, "'/ingress/hosts': minItems: got 0, want 1"),
        ({"ingress": {"hosts": ["a.example.com"]}}, "'/ingress/hosts/0': got string, want object"),
        ({"ingress": {"hosts": [{"host": "https://a"}]}}, "'/ingress/hosts/0/host'"),
        (
            {"shards": 3, "ingress": {"enabled": True, "hosts": [{"host": "a.example.com"}]}},
            "ingress.hosts: each shard has its own pages, so 3 shards need 3 hosts",
        ),
        ({"grafana": {"dashboards": {"folder": "x"}}}, "'/grafana/dashboards': additional properties 'folder'"),
    ],
)
def test_invalid_values_are_rejected(values: Document, message: str) -> None:
    """The error of Helm names the invalid value."""
    with pytest.raises(helm_python.HelmError) as error:
        rendered(values)
    assert message in str(error.value)


def test_probes_have_the_route_prefix(everything: dict[str, list[Document]]) -> None:
    """The chart always passes the route prefix, by default /, and the paths of the probes begin with it."""
    leakwatch = leakwatches(everything["chart/shards"])[0]
    assert "--web.external-url=https://example.com/leakwatch" in leakwatch["args"]
    assert "--web.route-prefix=/" in leakwatch["args"]
    assert leakwatch["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    prefixed = first(resources({"web": {"routePrefix": "/leakwatch"}}), "StatefulSet")
    (leakwatch,) = leakwatches([prefixed])
    assert "--web.route-prefix=/leakwatch" in leakwatch["args"]
    assert leakwatch["readinessProbe"]["httpGet"]["path"] == "/leakwatch/-/ready"


def test_host_names_are_passed_on() -> None:
    """Each of `web.allowedHosts` is an argument of leakwatch."""
    hosts = ["lw.example.com", "*.ops.example.com"]
    (leakwatch,) = leakwatches([first(resources({"web": {"allowedHosts": hosts}}), "StatefulSet")])
    assert [f"--web.allowed-host={host}" for host in hosts] == [
        argument for argument in leakwatch["args"] if "allowed-host" in argument
    ]


def test_a_change_of_configuration_restarts_the_pods(everything: dict[str, list[Document]]) -> None:
    """With `restartOnConfigChange`, the checksum in the pod template changes with the configuration."""

    def annotations(values: Document) -> Any:
        return first(resources(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]

    restart = {"restartOnConfigChange": True}
    owners = {**restart, "config": {"owners": {"example.com/": "team"}}}
    assert annotations(restart)["checksum/config"] != annotations(owners)["checksum/config"]
    assert annotations(owners) == annotations(owners)
    assert "checksum/config" not in annotations({})
    assert first(everything["fleet/base"], "ConfigMap")["metadata"]["name"] == "leakwatch"


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "default",
            ["annotated pods of all namespaces with 1 process.", "Prometheus does not scrape leakwatch yet"],
        ),
        ("shards", ["with 3 processes."]),
        ("namespaces", ["annotated pods of shop, cart"]),
        ("static", ["the targets of scrapeConfigs"]),
        ("secured", ["https://127.0.0.1:9979/leakwatch/"]),
        ("pages", ["https://leaks-1.example.com/leakwatch/", "leakwatch has no login: everyone"]),
        (
            "sidecars",
            ['{{- include "leakwatch.sidecar" .Subcharts.leakwatch | nindent 8 }}', "does not run a pod"],
        ),
    ],
)
def test_the_notes_match_the_values(name: str, texts: list[str]) -> None:
    """The notes after an installation contain the texts for its values."""
    notes = rendered(VALUES[name])["leakwatch/templates/NOTES.txt"]
    assert all(text in notes for text in texts)
    assert ("No alert rules" in notes) is (not VALUES[name].get("prometheusRule", {}).get("enabled", False))


POD = {"namespace": "prod", "pod_name": "shop-1", "pod_ip": "10.0.0.1", "pod_phase": "Running"}
ANNOTATED = {"pod_annotation_leakwatch_io_scrape": "true"}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (POD, None),
        (POD | {"pod_annotation_leakwatch_io_scrape": "false"}, None),
        (POD | ANNOTATED | {"pod_phase": "Pending"}, None),
        (
            POD | ANNOTATED | {"pod_label_app_kubernetes_io_name": "shop", "pod_controller_name": "s-5f"},
            ("10.0.0.1:6060", "http", None, "prod/shop"),
        ),
        (
            POD | ANNOTATED | {"pod_controller_kind": "ReplicaSet", "pod_controller_name": "shop-5f7d"},
            ("10.0.0.1:6060", "http", None, "prod/shop"),
        ),
        (
            POD | ANNOTATED | {"pod_controller_kind": "StatefulSet", "pod_controller_name": "shop-db"},
            ("10.0.0.1:6060", "http", None, "prod/shop-db"),
        ),
        (POD | ANNOTATED, ("10.0.0.1:6060", "http", None, "prod/shop-1")),
        (POD | ANNOTATED | {"pod_ip": "fd00::1"}, ("[fd00::1]:6060", "http", None, "prod/shop-1")),
        (
            POD
            | ANNOTATED
            | {
                "pod_ip": "fd00::1",
                "pod_annotation_leakwatch_io_port": "8443",
                "pod_annotation_leakwatch_io_path": "/internal/pprof",
                "pod_annotation_leakwatch_io_scheme": "https",
            },
            ("[fd00::1]:8443", "https", "/internal/pprof", "prod/shop-1"),
        ),
        (
            POD
            | ANNOTATED
            | {"pod_annotation_leakwatch_io_port": "pprof", "pod_annotation_leakwatch_io_scheme": "ftp"},
            ("10.0.0.1:6060", "http", None, "prod/shop-1"),
        ),
    ],
)
def test_the_annotations_of_pods(
    everything: dict[str, list[Document]],
    tmp_path: Path,
    pod: dict[str, str],
    expected: tuple[str | None, ...] | None,
) -> None:
    """In promtool, the relabel rules produce one target per annotated pod, for any number of ports."""
    (job,) = configuration(everything["fleet/base"])["scrape_configs"]
    targets = relabeled(job, pod, tmp_path)
    if expected is None:
        assert not any(targets)
        return
    assert len(targets) in {1, 3}
    (first_target, *others) = targets
    assert all(other == first_target for other in others)
    names = ("__address__", "__scheme__", "__profile_path__", "service")
    assert tuple(map(first_target.get, names)) == expected
    assert (first_target["target"], first_target["namespace"]) == ("shop-1", "prod")


def relabeled(job: Document, pod: dict[str, str], folder: Path) -> list[dict[str, str]]:
    """Return the labels of the targets that promtool makes of a pod with three declared ports; {} if dropped."""
    labels = {f"__meta_kubernetes_{name}": value for name, value in pod.items()}
    host = f"[{pod['pod_ip']}]" if ":" in pod["pod_ip"] else pod["pod_ip"]
    (folder / "pods.json").write_text(
        json.dumps([{"targets": [f"{host}:{port}"], "labels": labels} for port in (80, 6060, 9090)])
    )
    del job["kubernetes_sd_configs"]
    job["file_sd_configs"] = [{"files": ["pods.json"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    command = ["promtool", "check", "service-discovery", "--timeout=1s", "prometheus.yml", "pods"]
    completed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return [target["labels"] for target in json.loads(completed.stdout)]


METRICS = {
    "pod_annotation_prometheus_io_scrape": "true",
    "pod_annotation_prometheus_io_port": "8443",
    "pod_annotation_prometheus_io_scheme": "https",
}


@pytest.mark.parametrize(
    ("enabled", "pod", "address", "scheme"),
    [
        (False, POD | METRICS, None, None),
        (True, POD | METRICS, "10.0.0.1:8443", "https"),
        (True, POD | METRICS | ANNOTATED, "10.0.0.1:6060", "http"),
        (True, POD | METRICS | {"pod_annotation_leakwatch_io_scrape": "false"}, None, None),
        (True, POD, None, None),
    ],
)
def test_the_annotations_of_prometheus_are_an_option(
    tmp_path: Path, *, enabled: bool, pod: dict[str, str], address: str | None, scheme: str | None
) -> None:
    """The chart watches pods with prometheus.io annotations only if enabled; the other annotations come first."""
    manifests = resources({"discovery": {"prometheusAnnotations": enabled}})
    (job,) = configuration(manifests)["scrape_configs"]
    for labels in relabeled(job, pod, tmp_path):
        assert (labels.get("__address__"), labels.get("__scheme__")) == (address, scheme)


def test_documented_manifests_are_valid(tools: Path, tmp_path: Path) -> None:
    """Each YAML block of docs/kubernetes.md is a valid resource, overlay or set of values."""
    shutil.copytree(FLEET, tmp_path / "fleet")
    overlay = tmp_path / "fleet" / "overlays" / "documented"
    overlay.mkdir()
    counts = []
    for text in (text for language, text in snippets() if language == "yaml"):
        if text.startswith("# values of the chart\n"):
            manifests = resources(yaml.safe_load(text))
        elif "kind: Kustomization" in text:
            (overlay / "kustomization.yaml").write_text(text)
            manifests = kustomized(tools, str(overlay))
        else:
            manifests = documents(text)
        for document in manifests:
            validate(document, tools)
            if document["kind"] == "ConfigMap" and document["metadata"]["name"] == "shop-leakwatch":
                file = tmp_path / "leakwatch.yml"
                file.write_text(document["data"]["leakwatch.yml"])
                assert load(file, Overrides(["shop=http://127.0.0.1:6060"])).owners
        counts.append(len(manifests))
    assert len(counts) == 9
    assert all(counts)


def test_documented_commands_are_valid(everything: dict[str, list[Document]]) -> None:
    """The files, values and objects in the shell blocks of docs/kubernetes.md exist."""
    text = "\n".join(text for language, text in snippets() if language == "sh").replace("\\\n", "")
    files = re.findall(r"(?<=\s)deploy/[\w/.-]+", text)
    assert len(files) > 8
    assert [file for file in files if not (ROOT / file).exists()] == []
    values: Document = {}
    for key in re.findall(r"--set (\w+)\.enabled=true", text):
        values[key] = {"enabled": True}
    assert {"PodMonitor", "PrometheusRule"} <= {document["kind"] for document in resources(values)}
    names = {(d["kind"].lower(), d["metadata"]["name"]) for d in everything["fleet/overlays/three-shards"]}
    assert set(re.findall(r"(statefulset)/(\w+)", text)) <= names
    secured = first(everything["fleet/overlays/web-config"], "StatefulSet")["spec"]["template"]["spec"]
    assert {"name": "web-config", "secret": {"secretName": "leakwatch-web"}} in secured["volumes"]
    assert "create secret generic leakwatch-web --from-file=web.yml" in text


def test_documented_links_are_valid() -> None:
    """Relative links in docs/kubernetes.md and deploy/README.md lead to existing files and folders."""
    for page in (ROOT / "docs" / "kubernetes.md", ROOT / "deploy" / "README.md"):
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
        assert links
        assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
