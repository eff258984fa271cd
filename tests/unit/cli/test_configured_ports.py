"""`leakwatch discover --config`: which ports of discovered hosts are probed, and the result."""

import asyncio
from pathlib import Path

import pytest

from leakwatch.cli import configured_ports
from leakwatch.cli.configured_ports import configured_addresses
from leakwatch.cli.discover import WELL_KNOWN_PORTS
from leakwatch.config import parse
from tests.support.answering import answering, http
from tests.support.commands import run_command
from tests.unit.cli.test_discover import INDEX

CONFIG = """
scrape_configs:
  - job_name: pods
    static_configs:
      - targets: ["10.0.0.1:7000"]
        labels:
          __meta_kubernetes_pod_annotation_leakwatch_io_port: "7001"
          __meta_kubernetes_pod_annotation_prometheus_io_port: "7002"
          __meta_kubernetes_pod_annotation_example_com_report: "7003"
          __meta_kubernetes_pod_label_port: "7004"
      - targets: ["10.0.0.2"]
        labels: {__meta_kubernetes_pod_annotation_leakwatch_io_port: "99999"}
      - targets: ["10.0.0.3:7000", "unix:///run/shop.sock"]
    relabel_configs:
      - {source_labels: [__address__], regex: "(10.0.0.1):.*", target_label: __address__, replacement: "$1:7005"}
      - {source_labels: [__address__], regex: "10.0.0.3.*", action: drop}
  - job_name: missing
    file_sd_configs: [{files: ["none/*.json"]}]
"""


def test_the_ports_of_discovered_hosts() -> None:
    """Targets come first, then the declared, annotated and well-known ports, also of hosts that a rule drops."""
    jobs = parse(CONFIG, "c.yml", Path()).jobs()
    found = asyncio.run(configured_addresses(jobs, 60.0))
    assert found.addresses == [
        "10.0.0.1:7005",
        "10.0.0.2:80",
        *(f"10.0.0.1:{port}" for port in (7000, 7001, 7002, *WELL_KNOWN_PORTS)),
        *(f"10.0.0.2:{port}" for port in WELL_KNOWN_PORTS),
        *(f"10.0.0.3:{port}" for port in (7000, *WELL_KNOWN_PORTS)),
    ]
    assert found.watched == {"10.0.0.1:7005", "10.0.0.2:80"}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each port receives one GET without the credentials of the job. Targets are marked, others configured."""
    with answering(http(INDEX)) as target, answering(http(INDEX)) as other:
        ports = [int(server.url.rpartition(":")[2]) for server in (target, other)]
        monkeypatch.setattr(configured_ports, "WELL_KNOWN_PORTS", (ports[1],))
        (tmp_path / "c.yml").write_text(
            f"scrape_configs: [{{job_name: shop, basic_auth: {{username: me, password: hunter2}},"
            f" static_configs: [{{targets: ['localhost:{ports[0]}']}}]}}]"
        )
        completed = run_command("discover", "--config", tmp_path / "c.yml", "--timeout", "60s")
        requests = [*target.requests, *other.requests]
    table, _, config = completed.stdout.decode().partition("\n\n")
    assert completed.returncode == 0
    assert [line.split() for line in table.splitlines()] == [
        [f"localhost:{ports[0]}", "pprof", "a", "target"],
        [f"localhost:{ports[1]}", "pprof"],
    ]
    assert [job.job_name for job in parse(config, "f.yml", Path()).scrape_configs] == [f"localhost:{ports[1]}"]
    assert len(requests) == 2
    assert not any(b"uthorization" in request for request in requests)


def test_addresses_and_a_configuration(tmp_path: Path) -> None:
    """Both at once are an error."""
    completed = run_command("discover", "10.0.0.1", "--config", tmp_path / "c.yml")
    assert completed.returncode == 2
    assert b"--config cannot be combined with addresses" in completed.stderr
