"""The Kubernetes manifests and the chart: valid, confined, and in step with what they deploy."""

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
from leakwatch.config import Overrides, load
from leakwatch.discovery.relabel import RelabelConfig, relabel, rules
from tests.support.manifests import (
    CHART,
    FLEET,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    VALUES,
    Document,
    containers,
    documents,
    first,
    kustomized,
    pods,
    rendered,
    resources,
    validate,
)

SIDECARS = sorted((KUBERNETES / "sidecar").glob("*.yaml"))
FOLDERS = ["base", *OVERLAYS]
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "leakwatch.rules.yml").read_text())

ACCEPTED = {
    "CKV_K8S_11": "no limit of CPU: what is throttled scrapes late, and requests keep it in its place",
    "CKV_K8S_15": "the tag is a version, which does not move; Always would make each start depend on the registry",
    "CKV_K8S_21": "the sidecar's example goes where kubectl points, beside the service",
    "CKV_K8S_38": "discovery asks the API server, so the fleet needs its token; nothing else has one",
    "CKV_K8S_43": "a digest exists once an image is published; the chart takes image.digest",
    "CKV_K8S_8": "the pod of helm test asks once and ends",
    "CKV_K8S_9": "so it does, and a sidecar that is not ready would make the service unready",
    "CKV_K8S_35": "for ${VARIABLE} in a configuration, in the set of values that tries it; files work too",
    "CKV2_K8S_6": "the policy of a sidecar's pod is its service's, and the pod of helm test asks once and ends",
}
"""Checks of checkov that may fail, and why."""

WHERE = {
    "CKV_K8S_8": ["/chart-"],
    "CKV_K8S_9": ["/chart-", "/sidecar-classic"],
    "CKV_K8S_21": ["/sidecar-"],
    "CKV_K8S_35": ["/chart-everything"],
    "CKV_K8S_38": ["/fleet-", "/chart-"],
    "CKV2_K8S_6": ["/sidecar-", "Pod.monitoring.leaks-test", "Pod.monitoring.leakwatch-test"],
}
"""And the only places where those of them may that concern few."""


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build kustomize and what makes the Prometheus Operator's schemas."""
    folder = tmp_path_factory.mktemp("kubernetes")
    subprocess.run(["go", "build", "-o", f"{folder}/", "./..."], check=True, cwd=ROOT / "tests" / "deploy")
    return folder


@pytest.fixture(scope="session")
def everything(tools: Path) -> dict[str, list[Document]]:
    """Return name -> resources of all that is shipped, as it would be applied."""
    found = {f"sidecar/{path.name}": documents(path.read_text()) for path in SIDECARS}
    found |= {f"fleet/{folder}": kustomized(tools, folder) for folder in FOLDERS}
    found |= {
        f"fleet/{path.parent.name}": documents(path.read_text())
        for path in FLEET.glob("components/*/*.yaml")
        if path.name.endswith(("monitor.yaml", "rule.yaml"))
    }
    return found | {f"chart/{name}": resources(values) for name, values in VALUES.items()}


def snippets() -> list[tuple[str, str]]:
    """Return language and text of each fenced block of docs/kubernetes.md."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def fleets(everything: dict[str, list[Document]]) -> dict[str, list[Document]]:
    """Return those that have a StatefulSet."""
    return {name: those for name, those in everything.items() if any(d["kind"] == "StatefulSet" for d in those)}


def leakwatches(those: list[Document]) -> list[Document]:
    """Return the containers that run leakwatch."""
    return [part for pod in pods(those) for part in containers(pod) if part["name"] == "leakwatch"]


def configuration(those: list[Document]) -> Any:
    """Return the leakwatch.yml in a ConfigMap."""
    return yaml.safe_load(first(those, "ConfigMap")["data"]["leakwatch.yml"])


def test_every_manifest_is_valid(everything: dict[str, list[Document]], tools: Path) -> None:
    """Kubernetes 1.29 and the Prometheus Operator know every resource and every key of it."""
    wrong = []
    for name, those in everything.items():
        for document in those:
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
def test_a_misspelled_key_is_found(
    everything: dict[str, list[Document]], tools: Path, name: str, path: list[str | int], key: str
) -> None:
    """The schemas refuse keys that the API server would drop without a word."""
    document = deepcopy(everything[name][0])
    part: Any = document
    for step in path:
        part = part[step]
    part[key] = "Always"
    with pytest.raises(jsonschema.ValidationError, match=key):
        validate(document, tools)


def test_both_sidecars_are_the_same_container(everything: dict[str, list[Document]]) -> None:
    """The native and the classic form differ in where leakwatch stands and in restartPolicy, in nothing else."""
    native, classic = (deepcopy(everything[f"sidecar/{form}.yaml"][0]) for form in ("native", "classic"))
    (leakwatch,) = native["spec"]["template"]["spec"].pop("initContainers")
    assert leakwatch.pop("restartPolicy") == "Always"
    native["spec"]["template"]["spec"]["containers"].append(leakwatch)
    assert native == classic


def test_the_chart_gives_the_shipped_sidecar(
    tmp_path: Path, tools: Path, everything: dict[str, list[Document]]
) -> None:
    """A chart that depends on ours gets the shipped sidecar and its volume, by what the docs say."""
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
    given = pod["spec"]["initContainers"][0]
    shipped = everything["sidecar/native.yaml"][0]["spec"]["template"]["spec"]
    expected = shipped["initContainers"][0]
    assert words(given["args"]) == words(expected["args"])
    assert {**given, "args": None} == {**expected, "args": None}
    assert pod["spec"]["volumes"] == shipped["volumes"]
    (classic,) = resources({"leakwatch": {"sidecar": {"native": False, "service": "till"}}}, tmp_path)
    assert "restartPolicy" not in classic["spec"]["initContainers"][0]
    assert {"name": "SERVICE", "value": "till"} in classic["spec"]["initContainers"][0]["env"]


def words(arguments: list[str]) -> list[str]:
    """Return a command line with each option and its value apart."""
    return list(chain.from_iterable(a.split("=", 1) if a.startswith("--") else [a] for a in arguments))


def test_the_chart_gives_the_shipped_fleet(everything: dict[str, list[Document]]) -> None:
    """By default the chart's pods are those of the kustomize base, apart from names and options."""
    base, chart = (
        deepcopy(first(everything[name], "StatefulSet")["spec"]) for name in ("fleet/base", "chart/default")
    )
    assert [base[key] for key in ("replicas", "podManagementPolicy")] == [1, "Parallel"]
    assert [chart[key] for key in ("replicas", "podManagementPolicy")] == [1, "Parallel"]
    ours, theirs = base["template"]["spec"], chart["template"]["spec"]
    for key in ("securityContext", "automountServiceAccountToken", "terminationGracePeriodSeconds"):
        assert ours[key] == theirs[key]
    (one,), (other,) = ours["containers"], theirs["containers"]
    assert [word.replace("$(SHARDS)", "1") for word in one.pop("args")] == other.pop("args")[
        :-1
    ]  # the log's level
    assert one.pop("env") == [{"name": "SHARDS", "value": "1"}]
    assert one == other


def test_a_sidecar_never_holds_its_service_up(everything: dict[str, list[Document]]) -> None:
    """No probe of the sidecar decides whether the pod is ready, or when the service starts."""
    for form in ("native", "classic"):
        (leakwatch,) = leakwatches(everything[f"sidecar/{form}.yaml"])
        assert {"readinessProbe", "startupProbe"} & leakwatch.keys() == set()
        assert leakwatch["livenessProbe"]["failureThreshold"] * leakwatch["livenessProbe"]["periodSeconds"] >= 60


def test_every_pod_is_restricted(everything: dict[str, list[Document]]) -> None:
    """Each pod satisfies the Pod Security Standard "restricted", and says what it needs."""
    seen = 0
    for name, those in everything.items():
        for pod in pods(those):
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
                needs = container["resources"]
                assert {"cpu", "memory"} == needs["requests"].keys(), name
                assert needs["limits"].keys() == {"memory"}, name
                seen += 1
            for volume in pod["spec"].get("volumes", ()):
                assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], name
                assert "hostPath" not in volume, name
    assert seen > 15


def test_only_the_fleet_gets_a_token(everything: dict[str, list[Document]]) -> None:
    """A pod has the API server's token where it discovers pods, and nowhere else."""
    for name, those in everything.items():
        for pod in pods(those):
            discovers = any("--config=/etc/leakwatch/leakwatch.yml" in c.get("args", ()) for c in containers(pod))
            discovers = discovers and "kubernetes_sd_configs" in first(those, "ConfigMap")["data"]["leakwatch.yml"]
            assert pod["spec"]["automountServiceAccountToken"] is discovers, name


def test_rights_are_to_see_pods_and_no_more(everything: dict[str, list[Document]]) -> None:
    """Every role lets its holder see pods; where namespaces are named there is none for the cluster."""
    scopes = {}
    for name, those in everything.items():
        roles = [document for document in those if document["kind"] in {"Role", "ClusterRole"}]
        for role in roles:
            assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
        for binding in those:
            if binding["kind"].endswith("Binding"):
                (subject,) = binding["subjects"]
                assert binding["roleRef"]["name"] in {role["metadata"]["name"] for role in roles}
                account = first(those, "ServiceAccount")["metadata"]
                assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
        scopes[name] = sorted((role["kind"], role["metadata"].get("namespace")) for role in roles)
    assert scopes["fleet/base"] == [("ClusterRole", None)]
    assert scopes["fleet/overlays/namespace-only"] == [("Role", "shop")]
    assert scopes["chart/default"] == [("ClusterRole", None)]
    assert scopes["chart/namespaces"] == [("Role", "cart"), ("Role", "shop")]
    assert scopes["chart/static"] == scopes["chart/sidecars"] == []


def test_discovery_looks_where_it_may(everything: dict[str, list[Document]]) -> None:
    """Where rights end at a namespace, discovery asks for that namespace alone."""
    asked = {
        name: [sd for job in configuration(those)["scrape_configs"] for sd in job.get("kubernetes_sd_configs", ())]
        for name, those in fleets(everything).items()
    }
    assert asked["fleet/base"] == asked["chart/default"] == [{"role": "pod"}]
    assert asked["fleet/overlays/namespace-only"] == [{"role": "pod", "namespaces": {"own_namespace": True}}]
    assert asked["chart/namespaces"] == [{"role": "pod", "namespaces": {"names": ["shop", "cart"]}}]
    assert asked["chart/static"] == []


def test_shards_are_as_many_as_pods(everything: dict[str, list[Document]]) -> None:
    """Every fleet divides the services by the number of its replicas, or some would be watched twice or never."""
    counts = {}
    for name, those in fleets(everything).items():
        leakwatch = leakwatches([first(those, "StatefulSet")])[0]
        environment = {variable["name"]: variable.get("value") for variable in leakwatch.get("env", ())}
        (shard,) = (word for word in leakwatch["args"] if word.startswith("--shard=auto/"))
        told = shard.removeprefix("--shard=auto/").replace("$(SHARDS)", environment.get("SHARDS") or "")
        counts[name] = first(those, "StatefulSet")["spec"]["replicas"]
        assert int(told) == counts[name], name
    assert (counts["fleet/base"], counts["fleet/overlays/three-shards"], counts["chart/shards"]) == (1, 3, 3)


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Tell whether a selector of matchLabels, or the plain one of a Service, selects these labels."""
    wanted = selector.get("matchLabels", selector)
    return bool(wanted) and wanted.items() <= labels.items()


def test_selectors_select(everything: dict[str, list[Document]]) -> None:
    """Services, monitors, budgets and policies select the pods of the fleet and ports that those have."""
    for name, those in fleets(everything).items():
        template = first(those, "StatefulSet")["spec"]["template"]
        labels = template["metadata"]["labels"]
        ports = {port["name"] for container in containers(template) for port in container["ports"]}
        service = first(those, "Service")
        assert first(those, "StatefulSet")["spec"]["serviceName"] == service["metadata"]["name"], name
        kinds = set()
        for document in those:
            spec = document.get("spec", {})
            kind = document["kind"]
            if kind in {"Service", "StatefulSet", "PodDisruptionBudget", "PodMonitor"}:
                assert selects(spec["selector"], labels), (name, kind)
            elif kind == "NetworkPolicy":
                assert selects(spec["podSelector"], labels), name
            elif kind == "ServiceMonitor":
                assert selects(spec["selector"], service["metadata"]["labels"]), name
            elif kind == "Pod":  # of helm test: no shard, but let in
                assert not selects(service["spec"]["selector"], document["metadata"]["labels"])
                (rule,) = first(those, "NetworkPolicy")["spec"]["ingress"]
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


def test_the_policy_lets_through_what_is_needed(everything: dict[str, list[Document]]) -> None:
    """The fleet reaches names, the API server and the default pprof port of pods; Prometheus reaches the fleet."""
    for name, those in fleets(everything).items():
        policy = first(those, "NetworkPolicy")["spec"]
        out = {port["port"] for rule in policy["egress"] for port in rule.get("ports", ())}
        wanted = {53, 6060} | ({443} if configuration(those)["scrape_configs"][0]["job_name"] == "pods" else set())
        assert wanted <= out, name
        assert all(port["port"] == 9979 for rule in policy["ingress"] for port in rule["ports"]), name
        peers = [peer for rule in policy["ingress"] for peer in rule["from"] if "namespaceSelector" in peer]
        assert peers == [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
            }
        ], name


def test_passwords_and_probes_go_together(everything: dict[str, list[Document]]) -> None:
    """With a web configuration the kubelet, which has no password, asks for an open port; else for health."""
    for name, those in fleets(everything).items():
        leakwatch = leakwatches([first(those, "StatefulSet")])[0]
        secured = any(word.startswith("--web.config.file=") for word in leakwatch["args"])
        assert secured is (name in {"fleet/overlays/web-config", "chart/secured"})
        for probe, path in (("startup", "healthy"), ("liveness", "healthy"), ("readiness", "ready")):
            asked = leakwatch[f"{probe}Probe"]
            assert ("tcpSocket" in asked, "httpGet" in asked) == (secured, not secured), name
            assert secured or asked["httpGet"]["path"] == f"/-/{path}"
        if secured:
            folders = {mount["mountPath"] for mount in leakwatch["volumeMounts"]}
            assert "/etc/leakwatch-web" in folders
            assert (
                "prometheus.io/scrape"
                not in first(those, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
            )


def test_secured_chart_is_scraped_securely(everything: dict[str, list[Document]]) -> None:
    """Scheme, prefix and credentials of the monitor are those of the web configuration."""
    (endpoint,) = first(everything["chart/secured"], "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["path"]) == ("https", "/leakwatch/metrics")
    assert endpoint["basicAuth"]["username"]["key"] == "username"


def test_dashboards_are_taken_by_grafana(tools: Path) -> None:
    """deploy/grafana is a ConfigMap of the three dashboards, with the label that Grafana's sidecar looks for."""
    source = ROOT / "deploy" / "grafana"
    (made,) = kustomized(tools, str(source))
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["data"] == {file.name: file.read_text() for file in source.glob("*.json")}
    assert sum(map(len, made["data"].values())) < 900_000  # of the 1 MiB that a ConfigMap may hold


def test_copies_are_what_they_are_copies_of(everything: dict[str, list[Document]]) -> None:
    """Rules and configuration are those of their one source; .ci/copies.sh makes them so."""
    source = ROOT / "deploy" / "prometheus" / "leakwatch.rules.yml"
    assert (CHART / "files" / source.name).read_text() == source.read_text()
    assert (CHART / "files" / "leakwatch.yml").read_text() == (FLEET / "base" / "leakwatch.yml").read_text()
    made = [
        document for those in everything.values() for document in those if document["kind"] == "PrometheusRule"
    ]
    assert len(made) == 5
    assert all(rule["spec"] == RULES for rule in made)
    base = configuration(everything["fleet/base"])
    assert configuration(everything["chart/default"]) == base
    own = configuration(everything["fleet/overlays/namespace-only"])
    del own["scrape_configs"][0]["kubernetes_sd_configs"][0]["namespaces"]
    assert own == base


def test_replicas_with_sidecars_are_told_apart(everything: dict[str, list[Document]]) -> None:
    """Every sidecar's target is at the same address of its own pod, so the series take the name of the pod."""
    for name in ("sidecar/podmonitor.yaml", "chart/sidecars"):
        (endpoint,) = first(everything[name], "PodMonitor")["spec"]["podMetricsEndpoints"]
        (rule,) = endpoint["metricRelabelings"]
        ours = {re.sub("[A-Z]", lambda big: f"_{big[0].lower()}", key): value for key, value in rule.items()}
        series = {"pod": "shop-1", "target": "127.0.0.1:6060"}
        made = relabel(series, rules([RelabelConfig.model_validate(ours)]))
        assert made == {"pod": "shop-1", "target": "shop-1:6060"}


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://prometheus.monitoring:9090/p", 9090),
        ("https://mimir.example.com/prometheus", 443),
        ("http://a", 80),
    ],
)
def test_the_policy_lets_warming_through(url: str, port: int) -> None:
    """Whom the chart tells leakwatch to ask for its past, it may ask."""
    policy = first(resources({"warmFrom": url, "networkPolicy": {"enabled": True}}), "NetworkPolicy")
    ports = [one["port"] for rule in policy["spec"]["egress"] for one in rule["ports"]]
    assert port in ports


def test_versions_are_ours(everything: dict[str, list[Document]]) -> None:
    """Images and chart have the version of leakwatch."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    images = {c["image"] for those in everything.values() for c in leakwatches(those)}
    assert images == {f"leakwatch:{__version__}", "registry.example.com/leakwatch@sha256:" + "0" * 64}


def test_options_exist(everything: dict[str, list[Document]]) -> None:
    """Every option in a manifest is one of `leakwatch run`."""
    command = typer.main.get_command(app)
    assert hasattr(command, "commands")
    known = {option for parameter in command.commands["run"].params for option in parameter.opts}
    seen = set()
    for those in everything.values():
        for container in leakwatches(those):
            assert container["args"][0] == "run"
            seen |= {word for word in words(container["args"]) if word.startswith("--")}
    assert {"--target", "--config", "--listen", "--shard", "--warm-from", "--web.config.file"} <= seen
    assert seen - known == set()


def test_configurations_are_accepted(everything: dict[str, list[Document]], tmp_path: Path) -> None:
    """`leakwatch check-config` accepts every leakwatch.yml in a ConfigMap."""
    file = tmp_path / "leakwatch.yml"
    texts = {first(those, "ConfigMap")["data"]["leakwatch.yml"] for those in fleets(everything).values()}
    assert len(texts) >= 5
    for text in texts:
        file.write_text(text)
        command = [sys.executable, "-m", "leakwatch", "check-config", str(file)]
        secrets = os.environ | {"TOKEN": "from a Secret, as extraEnv says"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=secrets)
        assert done.returncode == 0, done.stderr


def test_checkov_finds_nothing_else(everything: dict[str, list[Document]], tmp_path: Path) -> None:
    """Checkov complains of nothing but what is accepted above, and all of that is still needed."""
    for name, those in everything.items():
        (tmp_path / f"{name.replace('/', '-').removesuffix('.yaml')}.yaml").write_text(yaml.safe_dump_all(those))
    checkov = ROOT / ".venv" / "checkov" / "bin" / "checkov"
    if not checkov.exists():
        pytest.fail("checkov is missing: run `make setup`")
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "--output", "json"]
    done = subprocess.run([checkov, "-d", tmp_path, *options], check=False, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 1000
    failed: dict[str, list[str]] = {}
    for check in report["results"]["failed_checks"]:
        failed.setdefault(check["check_id"], []).append(
            f"{check['check_name']}: {check['file_path']} {check['resource']}"
        )
    assert {check: places for check, places in failed.items() if check not in ACCEPTED} == {}
    assert failed.keys() == ACCEPTED.keys()
    for check, places in WHERE.items():
        assert all(any(part in place for part in places) for place in failed[check]), (check, failed[check])


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_lints(name: str) -> None:
    """Helm finds nothing to warn of, whatever the values."""
    report = helm_python.lint(CHART, VALUES[name], strict=True, namespace="monitoring", kube_version="v1.29.0")
    told = [message for message in report["messages"] if message["error"] != "icon is recommended"]
    assert (told, report["errors"]) == ([], [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "daemonset"}, "'/mode': value must be one of 'fleet', 'sidecar'"),
        ({"shards": 0}, "'/shards': minimum: got 0, want 1"),
        ({"shard": 3}, "additional properties 'shard' not allowed"),
        ({"image": {"digest": "sha256:abc"}}, "'/image/digest'"),
        ({"warmFrom": "prometheus:9090"}, "'/warmFrom'"),
        ({"web": {"routePrefix": "leakwatch/"}}, "'/web/routePrefix'"),
        ({"networkPolicy": {"pprofPorts": ["pprof"]}}, "'/networkPolicy/pprofPorts/0': got string, want integer"),
        ({"config": {"web": {"listen": ":80"}}}, "config.web: use the values web.externalUrl"),
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
    ],
)
def test_nonsense_is_refused(values: Document, message: str) -> None:
    """A value that makes no sense is named."""
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert message in str(refused.value)


def test_probes_ask_where_the_pages_are(everything: dict[str, list[Document]]) -> None:
    """The prefix comes from the external URL unless it is told; so it is told, and the probes know it."""
    leakwatch = leakwatches(everything["chart/shards"])[0]
    assert "--web.external-url=https://example.com/leakwatch" in leakwatch["args"]
    assert "--web.route-prefix=/" in leakwatch["args"]
    assert leakwatch["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    prefixed = first(resources({"web": {"routePrefix": "/leakwatch"}}), "StatefulSet")
    (leakwatch,) = leakwatches([prefixed])
    assert "--web.route-prefix=/leakwatch" in leakwatch["args"]
    assert leakwatch["readinessProbe"]["httpGet"]["path"] == "/leakwatch/-/ready"


def test_a_change_of_configuration_restarts_if_asked(everything: dict[str, list[Document]]) -> None:
    """The chart's pods change with their configuration, unless that is switched off."""

    def annotations(values: Document) -> Any:
        return first(resources(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]

    owners = {"config": {"owners": {"example.com/": "team"}}}
    assert annotations({})["checksum/config"] != annotations(owners)["checksum/config"]
    assert annotations(owners) == annotations(owners)
    assert "checksum/config" not in annotations({"restartOnConfigChange": False})
    assert first(everything["fleet/base"], "ConfigMap")["metadata"]["name"] == "leakwatch"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "default",
            ["annotated pods of all namespaces with 1 process.", "Prometheus does not scrape leakwatch yet"],
        ),
        ("shards", ["with 3 processes."]),
        ("namespaces", ["annotated pods of shop, cart"]),
        ("static", ["the targets of scrapeConfigs"]),
        ("secured", ["https://127.0.0.1:9979/leakwatch/"]),
        (
            "sidecars",
            ['{{- include "leakwatch.sidecar" .Subcharts.leakwatch | nindent 8 }}', "does not run a pod"],
        ),
    ],
)
def test_notes_say_what_next(name: str, told: list[str]) -> None:
    """What Helm prints after an installation is true of it."""
    notes = rendered(VALUES[name])["leakwatch/templates/NOTES.txt"]
    assert all(text in notes for text in told)
    assert ("No alert rules" in notes) is (not VALUES[name].get("prometheusRule", {}).get("enabled", False))


POD = {"namespace": "prod", "pod_name": "shop-1", "pod_ip": "10.0.0.1", "pod_phase": "Running"}
ASKED = {"pod_annotation_leakwatch_io_scrape": "true"}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (POD, None),
        (POD | {"pod_annotation_leakwatch_io_scrape": "false"}, None),
        (
            POD | ASKED | {"pod_label_app_kubernetes_io_name": "shop", "pod_controller_name": "s-5f"},
            ("10.0.0.1:6060", "http", None, "prod/shop"),
        ),
        (
            POD | ASKED | {"pod_controller_kind": "ReplicaSet", "pod_controller_name": "shop-5f7d"},
            ("10.0.0.1:6060", "http", None, "prod/shop"),
        ),
        (
            POD | ASKED | {"pod_controller_kind": "StatefulSet", "pod_controller_name": "shop-db"},
            ("10.0.0.1:6060", "http", None, "prod/shop-db"),
        ),
        (POD | ASKED, ("10.0.0.1:6060", "http", None, "prod/shop-1")),
        (POD | ASKED | {"pod_ip": "fd00::1"}, ("[fd00::1]:6060", "http", None, "prod/shop-1")),
        (
            POD
            | ASKED
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
            | ASKED
            | {"pod_annotation_leakwatch_io_port": "pprof", "pod_annotation_leakwatch_io_scheme": "ftp"},
            ("10.0.0.1:6060", "http", None, "prod/shop-1"),
        ),
    ],
)
def test_annotations_mean_what_they_say(
    everything: dict[str, list[Document]],
    tmp_path: Path,
    pod: dict[str, str],
    expected: tuple[str | None, ...] | None,
) -> None:
    """By Prometheus's own relabeling the recipe makes one target of a pod, however many ports it has."""
    (job,) = configuration(everything["fleet/base"])["scrape_configs"]
    labels = {f"__meta_kubernetes_{name}": value for name, value in pod.items()}
    host = f"[{pod['pod_ip']}]" if ":" in pod["pod_ip"] else pod["pod_ip"]
    (tmp_path / "pods.json").write_text(
        json.dumps([{"targets": [f"{host}:{port}"], "labels": labels} for port in (80, 6060, 9090)])
    )
    del job["kubernetes_sd_configs"]
    job["file_sd_configs"] = [{"files": ["pods.json"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    command = ["promtool", "check", "service-discovery", "--timeout=1s", "prometheus.yml", "pods"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    found = [target["labels"] for target in json.loads(done.stdout)]
    if expected is None:
        assert not any(found)
        return
    assert len(found) in {1, 3}
    assert all(labels == found[0] for labels in found)
    told = found[0]
    given = (told["__address__"], told["__scheme__"], told.get("__profile_path__"), told.get("service"))
    assert given == expected
    assert (told["target"], told["namespace"]) == ("shop-1", "prod")


def test_documented_manifests_are_valid(tools: Path, tmp_path: Path) -> None:
    """Every YAML block of docs/kubernetes.md is a resource, an overlay or values that are good."""
    shutil.copytree(FLEET, tmp_path / "fleet")
    overlay = tmp_path / "fleet" / "overlays" / "documented"
    overlay.mkdir()
    seen = []
    for text in (text for language, text in snippets() if language == "yaml"):
        if text.startswith("# values of the chart\n"):
            those = resources(yaml.safe_load(text))
        elif "kind: Kustomization" in text:
            (overlay / "kustomization.yaml").write_text(text)
            those = kustomized(tools, str(overlay))
        else:
            those = documents(text)
        for document in those:
            validate(document, tools)
            if document["kind"] == "ConfigMap" and document["metadata"]["name"] == "shop-leakwatch":
                file = tmp_path / "leakwatch.yml"
                file.write_text(document["data"]["leakwatch.yml"])
                assert load(file, Overrides(["shop=http://127.0.0.1:6060"])).owners
        seen.append(len(those))
    assert len(seen) == 5
    assert all(seen)


def test_documented_commands_name_what_is_there(everything: dict[str, list[Document]]) -> None:
    """Files, folders, releases' values and objects in the shell blocks of docs/kubernetes.md exist."""
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


def test_documented_links_lead_somewhere() -> None:
    """Links of the docs page and of deploy/README.md lead to files and folders."""
    for page in (ROOT / "docs" / "kubernetes.md", ROOT / "deploy" / "README.md"):
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
        assert links
        assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
