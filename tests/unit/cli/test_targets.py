"""`leakwatch targets`: targets, dropped and invalid addresses with the reason, and failures of discovery."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.api_server import pod, serving
from tests.support.commands import output_of, run_command
from tests.support.manifests import first, resources

JOB = """
scrape_configs:
  - job_name: shop
    params: {authKey: [hunter2]}
    static_configs:
      - targets: ["a:1", "a:1", "b:2", "c:3", "d:4", ""]
    relabel_configs:
      - {source_labels: [__address__], regex: "b:.*", action: drop}
      - {source_labels: [__address__], regex: "c:.*", target_label: target, replacement: "a:1"}
      - {source_labels: [__address__], regex: "d:.*", target_label: __scheme__, replacement: ftp}
  - job_name: empty
    file_sd_configs: [{files: ["none/*.json"]}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration with an address of each status."""
    path = tmp_path / "leakwatch.yml"
    path.write_text(JOB)
    return path


def test_the_text(config: Path) -> None:
    """Targets come first, with URL and labels; the other addresses have the rule or the error."""
    lines = output_of("targets", "-c", config).splitlines()
    assert lines[0] == "job shop: 1 target, 1 dropped, 1 duplicate, 2 invalid"
    assert lines[1:3] == [
        "  shop  a:1  http://a:1/debug/pprof/goroutine?debug=1&authKey=hidden",
        '      job="shop"',
    ]
    others = {line.split()[0]: reason.strip() for line, reason in zip(lines[3:-1:2], lines[4:-1:2], strict=True)}
    assert others["b:2"] == "relabel_configs[0]: drop 'b:.*', __address__ is 'b:2'"
    assert others["d:4"] == "__scheme__ 'ftp' must be 'http' or 'https'"
    assert lines[-1] == "job empty: 0 targets"


def test_the_json(config: Path) -> None:
    """An address has its labels before and after relabeling, without secrets."""
    output = output_of("targets", "-c", config, "--format", "json")
    addresses = json.loads(output)
    assert [(each["address"], each["status"]) for each in addresses][:3] == [
        ("a:1", "target"),
        ("b:2", "dropped"),
        ("c:3", "duplicate"),
    ]
    assert addresses[0]["labels"] == {"job": "shop"}
    assert addresses[1]["discovered_labels"]["__address__"] == "b:2"
    assert "hunter2" not in output


def test_pods_of_a_cluster(tmp_path: Path) -> None:
    """With the rules of the chart, the output names the rule that drops a pod and the value that it tested."""
    config = yaml.safe_load(first(resources({}), "ConfigMap")["data"]["leakwatch.yml"])
    annotations = {"leakwatch.io/scrape": "true"}
    with serving() as server:
        config["scrape_configs"][0]["kubernetes_sd_configs"][0]["api_server"] = server.url
        (tmp_path / "c.yml").write_text(yaml.safe_dump(config))
        server.apply("pods", pod("web-0", "10.0.0.1", annotations=annotations))
        server.apply("pods", pod("web-1", "10.0.0.2", annotations=annotations, phase="Pending"))
        server.apply("pods", pod("db-0", "10.0.0.3"))
        lines = output_of("targets", "-c", tmp_path / "c.yml").splitlines()
    assert lines[0] == "job pods: 1 target, 2 dropped"
    assert lines[1].split() == ["shop/web-0", "web-0", "http://10.0.0.1:6060/debug/pprof/goroutine?debug=1"]
    reasons = {line.split()[0]: reason.strip() for line, reason in zip(lines[3::2], lines[4::2], strict=True)}
    assert reasons["10.0.0.2:6060"] == (
        "relabel_configs[1]: drop 'Pending', __meta_kubernetes_pod_phase is 'Pending'"
    )
    assert reasons["10.0.0.3:6060"].startswith("relabel_configs[0]: keep 'true;.*")


def test_a_discoverer_that_fails(tmp_path: Path) -> None:
    """The targets of the others are printed, the failure is an error, and the exit status is 1."""
    path = tmp_path / "c.yml"
    path.write_text(
        "scrape_configs:\n"
        "  - {job_name: a, static_configs: [{targets: ['a:1']}]}\n"
        "  - {job_name: b, http_sd_configs: [{url: 'http://127.0.0.1:1/'}]}\n"
        "  - {job_name: c, target_limit: 1, static_configs: [{targets: ['a:1', 'b:1']}]}\n"
    )
    completed = run_command("targets", "-c", path)
    assert completed.returncode == 1
    assert completed.stdout.startswith(b"job a: 1 target\n")
    messages = completed.stderr.decode()
    assert "leakwatch: job b: http discovery failed\n" in messages
    assert "leakwatch: job c: 2 targets exceed target_limit 1, none is scraped\n" in messages
