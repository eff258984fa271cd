"""The parts that only the Helm chart has: Ingress, dashboards, schema of the configuration."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from leakwatch.config import parse
from tests.support.manifests import (
    CHART,
    ROOT,
    VALUES,
    Document,
    config_text,
    configuration,
    first,
    leakwatches,
    of_all_shards,
    resources,
    selects,
)

DASHBOARDS = {file.name: file.read_text() for file in (ROOT / "deploy" / "grafana").glob("*.json")}


def test_the_dashboards_of_the_chart() -> None:
    """The chart has the same ConfigMap, in the namespace of Grafana, if enabled."""
    (config_map,) = (m for m in resources(VALUES["pages"]) if m["metadata"]["name"] == "leakwatch-dashboards")
    assert config_map["metadata"]["namespace"] == "grafana"
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["metadata"]["annotations"] == {"grafana_folder": "leakwatch"}
    assert config_map["data"] == DASHBOARDS
    other = {"labels": {"grafana_dashboard": None, "dashboards": "yes"}, "annotations": {"grafana_folder": None}}
    renamed = resources({"mode": "sidecar", "grafana": {"dashboards": {"enabled": True, **other}}})
    metadata = first(renamed, "ConfigMap")["metadata"]
    assert metadata["namespace"] == "monitoring"
    assert metadata["labels"]["dashboards"] == "yes"
    assert "grafana_dashboard" not in metadata["labels"]
    assert "annotations" not in metadata


def test_the_ingress_leads_to_the_pages_of_each_shard() -> None:
    """Each host leads to one shard, which accepts the host; the default has no Ingress."""
    manifests = resources(VALUES["pages"])
    spec = first(manifests, "Ingress")["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == VALUES["pages"]["ingress"]["tls"]
    backends = {
        (rule["host"], path["path"], path["pathType"]): path["backend"]["service"]["name"]
        for rule in spec["rules"]
        for path in rule["http"]["paths"]
    }
    assert backends == {
        ("leaks-0.example.com", "/", "Prefix"): "leakwatch-0",
        ("leaks-1.example.com", "/leakwatch", "Prefix"): "leakwatch-1",
    }
    (leakwatch,) = leakwatches([first(manifests, "StatefulSet")])
    hosts = [word for word in leakwatch["args"] if word.startswith("--web.allowed-host")]
    assert hosts == ["--web.allowed-host=leaks-0.example.com", "--web.allowed-host=leaks-1.example.com"]
    assert not any(word.startswith("--web.external-url") for word in leakwatch["args"])
    assert not any(document["kind"] == "Ingress" for document in resources({}))


def test_each_shard_has_a_service_for_the_ingress() -> None:
    """Such a Service selects the pod of its name only, and the ServiceMonitor does not select it."""
    manifests = resources(VALUES["pages"])
    services = [m for m in manifests if m["kind"] == "Service" and m not in of_all_shards(manifests)]
    assert [service["metadata"]["name"] for service in services] == ["leakwatch-0", "leakwatch-1"]
    labels = first(manifests, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for service in services:
        assert not selects(service["spec"]["selector"], labels)
        pod_name = {"statefulset.kubernetes.io/pod-name": service["metadata"]["name"]}
        assert selects(service["spec"]["selector"], labels | pod_name)
        monitor = first(manifests, "ServiceMonitor")["spec"]["selector"]
        assert not selects(monitor, service["metadata"]["labels"])


@pytest.mark.parametrize(
    ("ingress", "web", "url"),
    [
        ({"hosts": [{"host": "a.example.com"}, {"host": "b.example.com"}]}, {}, "http://a.example.com"),
        ({"hosts": [{"host": "a.example.com"}], "tls": [{"secretName": "a"}]}, {}, "https://a.example.com"),
        ({"hosts": [{"host": "a.example.com"}]}, {"routePrefix": "/lw"}, "http://a.example.com/lw"),
        ({"hosts": [{"host": "a.example.com", "path": "/lw/"}]}, {}, "http://a.example.com/lw"),
        (
            {"hosts": [{"host": "a.example.com"}]},
            {"externalUrl": "https://b.example.com"},
            "https://b.example.com",
        ),
        ({"hosts": [{"host": "*.example.com"}]}, {}, None),
    ],
)
def test_alerts_link_to_the_ingress(ingress: Document, web: Document, url: str | None) -> None:
    """With one shard, the first host is the external URL, unless `web.externalUrl` is set."""
    manifests = resources({"ingress": {"enabled": True, **ingress}, "web": web})
    (leakwatch,) = leakwatches([first(manifests, "StatefulSet")])
    urls = [word for word in leakwatch["args"] if word.startswith("--web.external-url=")]
    assert urls == ([f"--web.external-url={url}"] if url else [])
    assert any(word.startswith("--web.route-prefix=") for word in leakwatch["args"]) == bool(url)


def test_each_key_of_leakwatch_yml_is_a_value() -> None:
    """The chart accepts config/leakwatch.yml, with each key and an unquoted date, and `${NAME}` as a secret."""
    text = (ROOT / "config" / "leakwatch.yml").read_text()
    config = json.loads(json.dumps(yaml.safe_load(text), default=str))
    del config["web"]
    jobs = config.pop("scrape_configs")
    jobs[0]["authorization"] = {"credentials": "${TOKEN}"}
    config["storage"]["size_limit"] = 1 << 30
    written = configuration(resources({"config": config, "scrapeConfigs": jobs}))
    assert written["scrape_configs"][1:] == jobs
    assert {key: written[key] for key in config} == config


def test_the_documented_commands_install_the_chart(tmp_path: Path) -> None:
    """The chart and leakwatch accept the values of each `helm` command in docs/kubernetes.md."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "kubernetes.md").read_text(), re.DOTALL)
    commands = re.findall(r"^helm (?:install|upgrade) .*", "\n".join(blocks).replace("\\\n", ""), re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        values: Document = {}
        for path, value in re.findall(r"--set (\S+)=(\S+)", command):
            *parents, key = path.split(".")
            part = values
            for parent in parents:
                part = part.setdefault(parent, {})
            part[key] = yaml.safe_load(value)
        assert parse(config_text(resources(values)), "leakwatch.yml", tmp_path).scrape_configs


def test_the_schema_of_the_configuration_is_current(tmp_path: Path) -> None:
    """The script does not change the committed values.schema.json, which is a schema of draft 7."""
    committed = CHART / "values.schema.json"
    written = tmp_path / committed.name
    shutil.copy(committed, written)
    command = [sys.executable, str(CHART.parent / "values_schema.py"), str(written)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert written.read_text() == committed.read_text(), "values.schema.json is stale: run `make docs`"
    jsonschema.Draft7Validator.check_schema(json.loads(written.read_text()))
