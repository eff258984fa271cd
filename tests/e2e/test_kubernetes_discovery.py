"""Kubernetes discovery in a running leakwatch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from leakwatch.config import parse
from tests.support.api_server import pod, serving
from tests.support.manifests import configuration, first, leakwatches, resources
from tests.support.running import Daemon, get
from tests.support.waiting import wait_for


def test_the_daemon_follows_the_cluster(
    leakwatch: Callable[..., Daemon], start: Callable[..., str], tmp_path: Path
) -> None:
    """A pod with a real Go service is scraped until it is deleted."""
    port = int(start("healthy", "-period", "40s").rpartition(":")[2])
    ports = [{"name": "pprof", "containerPort": port}]
    config = tmp_path / "c.yml"
    with serving() as server:
        config.write_text(
            "scrape_configs:\n"
            f"  - {{job_name: shop, kubernetes_sd_configs: [{{role: pod, api_server: '{server.url}'}}]}}\n"
        )
        assert parse(config.read_text(), "c.yml", tmp_path).scrape_configs[0].discoverer_configs()
        daemon = leakwatch("--config", config)
        assert wait_for(lambda: daemon.get("/-/ready").status_code == 200)
        server.apply("pods", pod("a", "127.0.0.1", containers=[{"name": "app", "ports": ports}]))
        assert wait_for(lambda: daemon.series("leakwatch_up")) == [
            ({"service": "shop", "target": f"127.0.0.1:{port}"}, 1.0)
        ]
        server.delete("pods", "a")
        assert wait_for(lambda: not daemon.series("leakwatch_up"))


@pytest.mark.parametrize("is_declared", [False, True], ids=["number", "name"])
def test_a_fresh_chart_watches_pods_that_alloy_scrapes(
    leakwatch: Callable[..., Daemon], start: Callable[..., str], tmp_path: Path, *, is_declared: bool
) -> None:
    """With default values, a pod is a target if it has Grafana's annotation and its port, as number or as name."""
    port = start("healthy", "-period", "40s").rpartition(":")[2]
    grafana = "profiles.grafana.com/goroutine"
    annotations = {f"{grafana}.scrape": "true"}
    annotations |= {f"{grafana}.port_name": "debug"} if is_declared else {f"{grafana}.port": port}
    ports = [{"name": "http", "containerPort": 80}, {"name": "debug", "containerPort": int(port)}]
    shop = {"name": "app", "ports": ports if is_declared else []}
    config = configuration(resources({}))
    with serving() as server:
        config["scrape_configs"][0]["kubernetes_sd_configs"][0]["api_server"] = server.url
        (tmp_path / "c.yml").write_text(yaml.safe_dump(config))
        server.apply("pods", pod("shop-0", "127.0.0.1", containers=[shop], annotations=annotations))
        server.apply("pods", pod("db-0", "127.0.0.1", containers=[{"name": "db"}]))
        daemon = leakwatch("--config", tmp_path / "c.yml")
        up = [({"service": "shop/shop-0", "target": "shop-0"}, 1.0)]
        assert wait_for(lambda: daemon.series("leakwatch_up") == up)


def test_a_chart_with_an_ingress_serves_its_host(leakwatch: Callable[..., Daemon]) -> None:
    """With the chart's arguments, leakwatch serves only the host of the Ingress, and links alerts to it."""
    ingress = {"enabled": True, "hosts": [{"host": "leaks.example.com"}], "tls": [{"secretName": "leaks"}]}
    (container,) = leakwatches([first(resources({"ingress": ingress}), "StatefulSet")])
    options = [word for word in container["args"] if word.startswith("--web.")]
    daemon = leakwatch("--target", "shop=http://127.0.0.1:1", *options)
    hosts = ("leaks.example.com", "leaks.example.org")
    statuses = [get(f"{daemon.url}/", headers={"Host": host}).status_code for host in hosts]
    assert statuses == [200, 403]
    ((labels, _),) = daemon.series("leakwatch_web_info")
    assert labels["url"] == "https://leaks.example.com/"
