"""Kubernetes manifests for tests: rendered by the real kustomize and Helm, checked against the real schemas."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
FLEET = KUBERNETES / "fleet"
CHART = ROOT / "deploy" / "helm" / "leakwatch"
OVERLAYS = sorted(
    path.parent.relative_to(FLEET).as_posix() for path in FLEET.glob("overlays/*/kustomization.yaml")
)
VERSION = "1.29"
"""Of Kubernetes: the oldest with native sidecars."""

Document = dict[str, Any]

VALUES: Mapping[str, Document] = {
    "default": {},
    "shards": {
        "shards": 3,
        "warmFrom": "http://prometheus-operated.monitoring.svc:9090",
        "restartOnConfigChange": True,
        "web": {"externalUrl": "https://example.com/leakwatch"},
        "podMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}, "interval": "30s"},
        "prometheusRule": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    },
    "namespaces": {"discovery": {"namespaces": ["shop", "cart"]}, "serviceMonitor": {"enabled": True}},
    "static": {
        "discovery": {"enabled": False},
        "scrapeConfigs": [{"job_name": "legacy", "static_configs": [{"targets": ["10.0.0.7:6060"]}]}],
        "networkPolicy": {"extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        "persistence": {"enabled": False, "size": "512Mi"},
    },
    "secured": {
        "web": {
            "externalUrl": "https://leaks.example.com/leakwatch",
            "routePrefix": "/leakwatch",
            "configSecret": {"name": "leakwatch-web", "tls": True},
        },
        "serviceMonitor": {
            "enabled": True,
            "endpoint": {
                "tlsConfig": {"ca": {"secret": {"name": "leakwatch-web", "key": "ca.crt"}}},
                "basicAuth": {
                    "username": {"name": "leakwatch-scrape", "key": "username"},
                    "password": {"name": "leakwatch-scrape", "key": "password"},
                },
            },
        },
    },
    "everything": {
        "fullnameOverride": "leaks",
        "image": {"repository": "registry.example.com/leakwatch", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "config": {
            "owners": {"example.com/shop/": "team-shop"},
            "ignore": [{"function": "example.com/shop/cart.*", "reason": "by design"}],
        },
        "scrapeConfigs": [
            {
                "job_name": "token",
                "authorization": {"credentials": "${TOKEN}"},
                "file_sd_configs": [{"files": ["/etc/targets/*.yml"]}],
            }
        ],
        "logLevel": "debug",
        "persistence": {
            "size": "10Gi",
            "storageClass": "fast",
            "accessModes": ["ReadWriteOncePod"],
            "annotations": {"example.com/backup": "no"},
        },
        "extraEnv": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}],
        "extraVolumes": [{"name": "targets", "configMap": {"name": "targets"}}],
        "extraVolumeMounts": [{"name": "targets", "mountPath": "/etc/targets", "readOnly": True}],
        "podAnnotations": {"example.com/team": "platform"},
        "podLabels": {"team": "platform"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "monitoring", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "leakwatch"}},
            }
        ],
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "serviceAccount": {"create": False, "name": "watcher"},
        "rbac": {"create": False},
        "networkPolicy": {"pprofPorts": [6060, 8080], "apiServer": {"cidrs": ["10.96.0.1/32"], "ports": [443]}},
    },
    "pages": {
        "shards": 2,
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/auth-url": "https://oauth2.example.com/oauth2/auth"},
            "hosts": [{"host": "leaks-0.example.com"}, {"host": "leaks-1.example.com", "path": "/leakwatch"}],
            "tls": [{"secretName": "leaks-tls", "hosts": ["leaks-0.example.com", "leaks-1.example.com"]}],
        },
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True, "recording": True},
        "grafana": {"dashboards": {"enabled": True, "namespace": "grafana"}},
    },
    "sidecars": {
        "mode": "sidecar",
        "podMonitor": {"enabled": True, "namespaces": ["shop"]},
        "prometheusRule": {"enabled": True},
    },
}
"""The values of the chart in each rendering."""


def documents(text: str) -> list[Document]:
    """Return the resources in a text."""
    return [document for document in yaml.safe_load_all(text) if document]


def kustomized(programs: Path, folder: str) -> list[Document]:
    """Return what kustomize makes of a folder of the fleet."""
    done = subprocess.run(
        [programs / "kustomize", FLEET / folder], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def rendered(values: Document, chart: Path = CHART) -> dict[str, str]:
    """Return template -> text of the chart with these values; raises HelmError."""
    with helm_python.Chart.load(chart) as loaded:
        return loaded.render(values, name="leakwatch", namespace="monitoring")


def resources(values: Document, chart: Path = CHART) -> list[Document]:
    """Return the resources of the chart with these values."""
    texts = rendered(values, chart)
    return [document for name, text in texts.items() if name.endswith(".yaml") for document in documents(text)]


@cache
def operator_schemas(programs: Path) -> dict[str, Document]:
    """Return kind -> schema of the Prometheus Operator's resources; an unknown key is an error."""
    text = subprocess.run([programs / "crds"], check=True, capture_output=True, cwd=ROOT / "tests" / "deploy")
    schemas: dict[str, Document] = json.loads(text.stdout)
    for schema in schemas.values():
        _close(schema)
    return schemas


def _close(schema: Any) -> None:
    """Forbid unknown keys: the API server would drop them without a word."""
    if isinstance(schema, list):
        for part in schema:
            _close(part)
    elif isinstance(schema, dict):
        for part in schema.values():
            _close(part)
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)


def validate(document: Document, programs: Path) -> None:
    """Raise jsonschema.ValidationError, or what kubernetes_validate raises for a kind that it does not know."""
    if document["apiVersion"].startswith("monitoring.coreos.com/"):
        assert document["metadata"]["name"]
        jsonschema.Draft202012Validator(operator_schemas(programs)[document["kind"]]).validate(document)
    else:
        assert kubernetes_validate.validate(document, VERSION, strict=True) == VERSION


def pods(those: list[Document]) -> Iterator[Document]:
    """Yield the pods, and the templates of pods."""
    for document in those:
        if document["kind"] == "Pod":
            yield document
        elif document["kind"] in {"Deployment", "StatefulSet"}:
            yield document["spec"]["template"]


def containers(pod: Document) -> list[Document]:
    """Return all containers of a pod."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def first(those: list[Document], kind: str) -> Document:
    """Return the only resource of a kind."""
    (found,) = (document for document in those if document["kind"] == kind)
    return found


def leakwatches(manifests: list[Document]) -> list[Document]:
    """Return the containers that run leakwatch."""
    return [part for pod in pods(manifests) for part in containers(pod) if part["name"] == "leakwatch"]


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Return whether `selector`, with or without matchLabels, selects `labels`."""
    required = selector.get("matchLabels", selector)
    return bool(required) and required.items() <= labels.items()


def of_all_shards(manifests: list[Document]) -> list[Document]:
    """Return the resources without the Services of single shards, which have a cluster IP."""
    return [m for m in manifests if m["kind"] != "Service" or m["spec"].get("clusterIP") == "None"]


def config_text(manifests: list[Document]) -> str:
    """Return the leakwatch.yml of its ConfigMap; another one can have the dashboards."""
    (text,) = (m["data"]["leakwatch.yml"] for m in manifests if "leakwatch.yml" in m.get("data", ()))
    return str(text)


def configuration(manifests: list[Document]) -> Any:
    """Return the parsed leakwatch.yml of the ConfigMap."""
    return yaml.safe_load(config_text(manifests))
