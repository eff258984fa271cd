"""Kubernetes discovery in a running leakwatch."""

from collections.abc import Callable
from pathlib import Path

from leakwatch.config import parse
from tests.support.api_server import pod, serving
from tests.support.running import Daemon
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
